//! The `config` table.

use serde::Deserialize;
use std::{path::PathBuf, time::Duration};
use twarga_plugin_api::{Error, Result, duration, is_metric_name};

/// The `config` table of this plugin.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder whose files are read.
    pub directory: PathBuf,
    /// What the names of the metrics begin with.
    pub prefix: String,
    /// A file that was not written for so long is stale.
    #[serde(deserialize_with = "duration::deserialize")]
    pub max_age: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self { directory: PathBuf::new(), prefix: "textfile_".into(), max_age: None }
    }
}

impl Config {
    /// What the types don't say.
    pub(crate) fn check(&self) -> Result<()> {
        if self.directory.as_os_str().is_empty() {
            return Err(Error::config(
                "directory",
                "no folder is named: write directory = \"/var/lib/twarga-agent/textfile\"",
            ));
        }
        if !self.directory.is_absolute() {
            return Err(Error::config("directory", "write the whole path, from /"));
        }
        if !(self.prefix.is_empty() || is_metric_name(&self.prefix)) {
            let message = format!("`{}` can't begin a metric's name: letters, digits and _ can", self.prefix);
            return Err(Error::config("prefix", message));
        }
        Ok(())
    }
}
