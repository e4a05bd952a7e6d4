//! Finds plugin files, refuses the bad ones with a reason, loads the others, and runs their collectors.
//!
//! A file goes through `discover` (where is it) → `trust` (who may have written it) → `digest` (is it the one that was
//! pinned) → `preflight` (what does it say it is; nothing of it runs) → `library` (dlopen, ABI check) → `claims` (whose
//! metrics) → `instance` (a collector).

mod approve;
mod c;
mod claims;
mod digest;
mod discover;
mod entries;
mod error;
mod identity;
mod instance;
mod intake;
pub mod isolated;
mod layout;
mod leave;
mod library;
mod mapped;
mod metadata;
mod preflight;
mod series_table;
pub mod threads;
mod trust;

pub use approve::{Provenance, provenance, would_load};
pub use claims::Claims;
pub use discover::{Candidate, Catalogue, Found, discover};
pub use error::{LoadError, Refusal};
pub use identity::Identity;
pub use instance::{Instance, InstanceOptions};
pub use intake::Refused;
pub use leave::leave;
pub use library::{Library, load, load_pinned};
pub use mapped::room_for;
pub use metadata::{DeclaredMetric, Metadata};
pub use preflight::{Preflight, Strategy, describe, open_file, preflight};
