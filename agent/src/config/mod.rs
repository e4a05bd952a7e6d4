//! `agent.toml`: read, checked with all errors at once, defaults filled in.
//!
//! The way of a key: `files` finds and reads the files → `document` parses each into a tree that knows its places →
//! `merge` makes one tree of them → one module a section reads it by `table` and `values`, and reports to `check`.

mod agent;
mod alerts;
mod check;
mod diff;
mod document;
mod environment;
mod examined;
mod files;
mod http;
mod limits;
mod merge;
mod place;
mod plugin_schema;
mod plugins;
mod problem;
mod schema;
mod storage;
mod suggest;
mod syntax;
mod table;
mod values;

pub use diff::Diff;
pub use environment::Environment;
pub use examined::{Examined, Level, RulePlace};
pub use place::{plugin_key_line, plugin_key_place};
pub(crate) use plugin_schema::{DURATION as DURATION_FORMAT, compiled as compiled_pattern};
pub use plugin_schema::{Fault, Violation, validate};
pub use plugins::{DEFAULT_SERIES, OWN_NAME};
pub use problem::{ConfigErrors, Problem};
pub use schema::{
    Agent, AlertRule, AlignOffset, Comparison, Config, Http, Limits, Mode, Place, Plugin, Storage,
    TimestampStyle, Views,
};

pub(crate) use problem::key_below;
pub(crate) use suggest::did_you_mean;

use check::{Check, Problems};
use document::{Node, Source};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};
use table::Table;

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`: this file and no other.
    pub config: Option<PathBuf>,
    /// `--listen`: in place of `http.listen`.
    pub listen: Option<SocketAddr>,
    /// `--data-dir`: in place of `agent.data_dir`.
    pub data_dir: Option<PathBuf>,
    /// `--plugin-dir`: searched before all others.
    pub plugin_dirs: Vec<PathBuf>,
    /// `--interval`: in place of every interval. Deadlines, offsets and jitters that don't fit into it are shortened.
    pub interval: Option<Duration>,
}

/// A configuration without errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed but hardly meant.
    pub warnings: Vec<Problem>,
}

/// Finds, reads and checks the configuration for this process.
pub fn load(flags: &Flags) -> Result<Loaded, ConfigErrors> {
    load_in(flags, &Environment::of_process())
}

/// [`load`] in a given environment.
pub fn load_in(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigErrors> {
    examine_in(flags, environment).finish()
}

/// As [`load`], for who has more to check before the errors are told.
pub fn examine(flags: &Flags) -> Examined {
    examine_in(flags, &Environment::of_process())
}

/// [`examine`] in a given environment.
pub fn examine_in(flags: &Flags, environment: &Environment) -> Examined {
    let mut problems = Problems::default();
    let found = files::find(flags, environment, &mut problems);
    let numbered = found.iter().enumerate();
    let sources: Vec<Source> =
        numbered.map(|(index, path)| Source::read(index, path, environment, &mut problems)).collect();
    let mut check = Check::new(&sources, environment, problems);
    let mut trees = Vec::new();
    for index in 0..sources.len() {
        trees.extend(document::parse(index, &mut check));
    }
    let root = merge::merge(trees, &mut check);
    let (config, rule_places) = read(&root, flags, &mut check);
    Examined::new(config, &rule_places, check)
}

/// Reads the merged tree. What it returns counts only if no error was found.
fn read(root: &Node, flags: &Flags, check: &mut Check<'_>) -> (Config, BTreeMap<String, alerts::Places>) {
    let mut top = Table::root(root);
    let has_files = !check.sources.is_empty();
    let agent = agent::read(top.get("agent"), flags, check);
    let http = http::read(top.get("http"), flags, check);
    let storage = storage::read(top.get("storage"), check);
    let views = storage::read_views(top.get("views"), check);
    let plugins = match top.get("plugins") {
        None if !has_files => plugins::built_in(&agent),
        given => plugins::read(given, &agent, flags, check),
    };
    let alerts = alerts::read(top.get("alert"), check);
    top.refuse_others(check, suggest::top_level);
    if has_files && !plugins.values().any(|plugin| plugin.enabled) {
        let hint = "name one, such as [plugins.host-cpu]";
        check.problems.warn_file(
            0,
            &check.sources[0].shown,
            "no plugin is enabled: nothing is collected",
            hint,
        );
    }
    let files = check.sources.iter().map(|source| source.path.clone()).collect();
    let config = Config { files, agent: agent.agent, http, storage, views, plugins, alerts: alerts.rules };
    (config, alerts.places)
}
