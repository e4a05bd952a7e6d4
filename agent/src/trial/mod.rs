//! A plugin on trial: run without an agent or a history (`plugins run`), and certified (`plugins certify`).
//!
//! `certify` looks at what the file says of itself, then starts children of this very executable, which load the plugin,
//! run it and tell what they see as they see it. A plugin that crashes or hangs ends a child, and fails the check that
//! had begun there.

mod certify;
mod child;
mod cycles;
mod names;
mod plugin;
mod process;
mod report;
mod schema;

pub use certify::certify;
pub use child::child;
pub use plugin::{Collector, Plugin, kind_word};
pub use report::{Answer, CHECKS, Outcome, Report};
