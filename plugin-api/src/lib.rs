//! placeholder
#![deny(missing_docs)]

#[doc(hidden)]
#[allow(missing_docs, reason = "the derives' generated items")]
pub mod abi;
mod collector;
mod error;
#[macro_use]
mod macros;
mod metric;
pub mod pseudo_file;
pub mod testing;

pub use collector::{Collector, Family, Host, Level, Series, Sink};
pub use error::{Context, Error, ErrorKind, Result};
pub use metric::{Kind, MAX_HELP, MAX_LABELS, MAX_NAME, Metric, Unit};
#[doc(hidden)]
pub use metric::{declaration_problem, is_metric_name, label_keys_problem};

#[doc(hidden)]
pub use abi_stable;
pub use serde;
pub use serde_json;

/// What a plugin's crate uses: `use twarga_plugin_api::prelude::*;`
pub mod prelude {
    pub use crate::{
        Collector, Context, Error, Family, Host, Kind, Level, Metric, Result, Series, Sink, Unit,
        export_plugin,
    };
    pub use serde::Deserialize;
}
