//! The `config` table.

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use twarga_plugin_api::{
    Error, Result, duration,
    formats::{Format, prefix_of},
    is_metric_name,
};

/// How long a run may take that doesn't say otherwise: less than the agent's usual interval.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How much is read of one output.
const MAX_OUTPUT: u64 = 4 << 20;
/// The bounds of `max_output`.
const OUTPUTS: std::ops::RangeInclusive<u64> = 1024..=64 << 20;
/// How long a series of a stream lives that is not printed.
const EXPIRE: Duration = Duration::from_secs(300);
/// The shortest and the longest duration.
const DURATIONS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);

/// The `config` table of this plugin.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The program and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// What it prints.
    pub format: Format,
    /// Whether it ends or runs on.
    pub run: Run,
    /// How long a run may take; of a stream, how long it may print nothing.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Option<Duration>,
    /// What the names of its metrics begin with. Without it, the program's name.
    pub prefix: Option<String>,
    /// Variables beside those few that every program needs.
    pub environment: BTreeMap<String, String>,
    /// Where it is started.
    pub directory: PathBuf,
    /// How many bytes are read of one run, or of a stream in one collection.
    #[serde(deserialize_with = "size")]
    pub max_output: u64,
    /// How long a series of a stream lives that is not printed again.
    #[serde(deserialize_with = "duration::deserialize")]
    pub expire: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            format: Format::default(),
            run: Run::default(),
            timeout: None,
            prefix: None,
            environment: BTreeMap::new(),
            directory: "/".into(),
            max_output: MAX_OUTPUT,
            expire: None,
        }
    }
}

/// How the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// It is started at every interval, prints, and ends.
    #[default]
    Once,
    /// It runs on and prints when it likes.
    Stream,
}

impl Config {
    /// What the types don't say.
    pub(crate) fn check(&self) -> Result<()> {
        let program = self.command.first().map_or("", String::as_str);
        if program.is_empty() {
            return Err(Error::config(
                "command",
                "no program is named: write command = [\"/path/to/program\", \"argument\"]",
            ));
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            return Err(Error::config("command", "a NUL can't be passed to a program"));
        }
        if self.command.len() == 1 && program.contains(' ') && !program.contains('/') {
            return Err(Error::config(
                "command",
                format_args!("no shell splits `{program}`: write each argument as a text of its own"),
            ));
        }
        if program.contains('/') && !program.starts_with('/') {
            return Err(Error::config(
                "command[0]",
                format_args!("`{program}` may be anywhere: write the whole path, from /"),
            ));
        }
        if !self.directory.is_absolute() {
            return Err(Error::config("directory", "write the whole path, from /"));
        }
        if let Some(prefix) = self.prefix.as_deref()
            && !(prefix.is_empty() || is_metric_name(prefix))
        {
            return Err(Error::config(
                "prefix",
                format_args!("`{prefix}` can't begin a metric's name: letters, digits and _ can"),
            ));
        }
        let bad = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
        if let Some(name) = self.environment.keys().find(bad) {
            return Err(Error::config("environment", format_args!("`{name}` can't be a variable's name")));
        }
        if !OUTPUTS.contains(&self.max_output) {
            return Err(Error::config("max_output", "write a size from 1KiB to 64MiB"));
        }
        for (key, value) in [("timeout", self.timeout), ("expire", self.expire)] {
            value.map_or(Ok(()), |value| duration::in_range(key, value, DURATIONS))?;
        }
        Ok(())
    }

    pub(crate) fn prefix(&self) -> String {
        match (&self.prefix, self.command.first()) {
            (Some(prefix), _) => prefix.clone(),
            (None, Some(program)) => prefix_of(program),
            (None, None) => String::new(),
        }
    }

    /// How long a run may take.
    pub(crate) fn run_timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    pub(crate) fn expiry(&self) -> Duration {
        self.expire.unwrap_or(EXPIRE)
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse::<ByteSize>() {
        Ok(size) => Ok(size.as_u64()),
        Err(_) => Err(D::Error::custom(format_args!("`{text}` is not a size such as \"4MiB\""))),
    }
}
