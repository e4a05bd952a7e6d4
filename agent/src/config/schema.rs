//! The configuration as the agent uses it: read, checked, defaults filled in.

use crate::model::{Labels, Severity};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// The whole configuration: `agent.toml`, its drop-ins, and the command line's flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The files it was read from, the main one first; empty where there was none.
    pub files: Vec<PathBuf>,
    /// `[agent]`
    pub agent: Agent,
    /// `[http]`
    pub http: Http,
    /// `[storage]`
    pub storage: Storage,
    /// `[views]`
    pub views: Views,
    /// `[plugins.NAME]`, by name.
    pub plugins: BTreeMap<String, Plugin>,
    /// `[[alert]]`, the four defaults included, removed ones left out.
    pub alerts: Vec<AlertRule>,
}

/// `[agent]`
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Default interval of every plugin.
    pub interval: Duration,
    /// Where the store and the admin token lie.
    pub data_dir: PathBuf,
    /// Where plugins are looked for, in this order: the command line's, the configuration's, the executable's own
    /// directory, `/usr/lib/twarga-agent/plugins`.
    pub plugin_dirs: Vec<PathBuf>,
    /// Labels added to every exported series.
    pub labels: Labels,
    /// Where ticks lie within an interval.
    pub align_offset: AlignOffset,
    /// Whether changes of the configuration's files and of plugins' files are noticed.
    pub watch: bool,
}

/// Where ticks lie within an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlignOffset {
    /// On the wall clock's round times.
    None,
    /// At an offset made from the machine id, so that many machines don't work all at once.
    Host,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// How the flat routes write times.
    pub timestamps: TimestampStyle,
    /// A file with one user token a line.
    pub user_tokens: Option<PathBuf>,
    /// A file with one admin token a line.
    pub admin_tokens: Option<PathBuf>,
    /// Host names under which the agent is reached, beside its addresses and `localhost` (`http.hosts`).
    pub hosts: Vec<String>,
}

/// How the flat routes write times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampStyle {
    /// `2026-11-20T22:00:05.000000Z`
    Rfc3339,
    /// As the old system: `2026-11-20T22:00:05`
    Legacy,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// How long raw samples are kept.
    pub retention: Duration,
    /// How long roll-ups of a minute are kept.
    pub retention_1m: Duration,
    /// How long roll-ups of an hour are kept.
    pub retention_1h: Duration,
    /// The most history that a power cut may cost.
    pub max_loss: Duration,
    /// The most bytes that the file may take.
    pub max_size: u64,
}

/// `[views]`
#[derive(Clone, Debug, PartialEq)]
pub struct Views {
    /// The mount point of the flat disk keys.
    pub disk: String,
}

/// How a plugin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the agent's own process.
    InProcess,
    /// In a child process.
    Isolated,
}

/// `[plugins.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// The plugin's name; by default the table's key.
    pub plugin: String,
    /// Whether it is loaded and run.
    pub enabled: bool,
    /// Time between two collections.
    pub interval: Duration,
    /// Time that one may take; by default the interval.
    pub deadline: Duration,
    /// A fixed offset of its ticks, in place of the host's.
    pub offset: Option<Duration>,
    /// Ticks are spread over this much time at random.
    pub jitter: Duration,
    /// How it runs.
    pub mode: Mode,
    /// The most series that it may have at a time.
    pub max_series: usize,
    /// What it may cost and touch.
    pub limits: Limits,
    /// Its own table, for the plugin.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Where its tables stand, so that an error of the plugin can name the line.
    pub place: Place,
}

/// What a plugin may cost and touch. All but the digest and the share of a processor bind an isolated one alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The SHA-256 digest that its file must have.
    pub sha256: Option<[u8; 32]>,
    /// The share of one processor that it may use, 0 to 1; beyond it its interval is stretched.
    pub cpu: Option<f64>,
    /// Bytes of memory.
    pub memory: u64,
    /// Processes and threads.
    pub processes: usize,
    /// Open files.
    pub files: usize,
    /// Whom its process belongs to, by name or number; the agent's own user where it is not said.
    pub user: Option<String>,
    /// Environment variables that it is given, beside a few harmless ones.
    pub environment: Vec<String>,
    /// Folders that it may write to.
    pub writable: Vec<PathBuf>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sha256: None,
            cpu: None,
            memory: 512 * 1024 * 1024,
            processes: 64,
            files: 256,
            user: None,
            environment: Vec::new(),
            writable: Vec::new(),
        }
    }
}

/// A place in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file; nothing for a default.
    pub file: Option<PathBuf>,
    /// The line, from 1; 0 for a default.
    pub line: usize,
    /// The lines of the keys of a plugin's `config` table, by path below it: `mounts.exclude[2]`.
    pub keys: BTreeMap<String, usize>,
    /// Of those keys, the ones that stand in another file, such as a drop-in.
    pub elsewhere: BTreeMap<String, PathBuf>,
    /// File and line of `sha256`, where it is given.
    pub pin: Option<(PathBuf, usize)>,
}

/// How an alert rule compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparison {
    /// Whether `value OP threshold` holds.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
        }
    }

    /// As it is written in the configuration.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }
}

/// `[[alert]]`
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    /// Its name, and the type of its event.
    pub name: String,
    /// A metric or a view.
    pub metric: String,
    /// Only series with these label values.
    pub labels: Labels,
    /// How the value is compared.
    pub op: Comparison,
    /// With what.
    pub threshold: f64,
    /// How long the comparison must hold before the rule fires.
    pub hold: Duration,
    /// Of its event.
    pub severity: Severity,
    /// Of its event; `{value}` stands for the value with one decimal.
    pub message: String,
}
