//! Finds plugin files, refuses the bad ones with a reason, loads the others, and runs their collectors.
//!
//! A file goes through `discover` (where is it) → `trust` (who may have written it) → `preflight` (what does it say
//! it is; nothing of it runs) → `library` (dlopen, ABI check) → `claims` (whose metrics) → `instance` (a collector).

mod claims;
mod discover;
mod entries;
mod error;
mod instance;
mod layout;
mod library;
mod metadata;
mod preflight;
mod series_table;
mod trust;

pub use claims::Claims;
pub use discover::{Candidate, Catalogue, Found, discover};
pub use error::{LoadError, Refusal};
pub use instance::{Instance, InstanceOptions, Refused};
pub use library::{Library, load};
pub use metadata::{DeclaredMetric, Metadata};
pub use preflight::{Preflight, describe, open_file, preflight};
