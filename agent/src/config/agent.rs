//! `[agent]`, and what the command line says in its place.

use super::{
    Agent, AlignOffset, Flags,
    check::Check,
    suggest::other_section,
    table::{Field, Table},
    values::{INTERVALS, out_of},
};
use std::{path::PathBuf, time::Duration};
use twarga_plugin_api::duration;

const OFFSETS: [(&str, AlignOffset); 2] = [("none", AlignOffset::None), ("host", AlignOffset::Host)];

/// Names that can't be a label of every exported series.
const RESERVED: [(&str, &str); 4] = [
    ("instance", "reserved: it tells the instances of one plugin apart"),
    ("vm", "reserved: it tells machines apart"),
    ("le", "reserved by Prometheus for histograms"),
    ("quantile", "reserved by Prometheus for summaries"),
];

/// `[agent]`, and whether its interval is the one that was meant.
pub(super) struct AgentSection {
    pub(super) agent: Agent,
    /// The interval, unless what stands there could not be understood.
    pub(super) interval: Option<Duration>,
}

/// Reads `[agent]`.
pub(super) fn read(field: Option<Field<'_>>, flags: &Flags, check: &mut Check<'_>) -> AgentSection {
    let mut table = Table::of(field, "[agent]", check);
    let interval = match table.get("interval") {
        Some(field) => field.duration(&INTERVALS, check),
        None if check.incomplete => None,
        None => Some(Duration::from_secs(5)),
    };
    let data_dir = table.get("data_dir").map(|field| field.path("/var/lib/twarga-agent", check));
    let plugin_dirs = table.get("plugin_dirs").and_then(|field| plugin_dirs(&field, check));
    let labels = table.get("labels").and_then(|field| field.labels(&RESERVED, check));
    let align_offset = table.get("align_offset").and_then(|field| field.word(&OFFSETS, check));
    let watch = table.get("watch").and_then(|field| field.flag(check));
    table.refuse_others(check, other_section);
    check_interval_flag(flags, check);
    let agent = Agent {
        interval: flags.interval.or(interval).unwrap_or_default(),
        data_dir: data_dir_of(data_dir, flags, check),
        plugin_dirs: search_path(plugin_dirs.unwrap_or_default(), flags, check),
        labels: labels.unwrap_or_default(),
        align_offset: align_offset.unwrap_or(AlignOffset::Host),
        watch: watch.unwrap_or(true),
    };
    AgentSection { agent, interval }
}

fn check_interval_flag(flags: &Flags, check: &mut Check<'_>) {
    let Some(interval) = flags.interval else { return };
    if let Some(side) = out_of(interval, &INTERVALS) {
        let message = format!("{} is too {side}", duration::words(interval));
        check.problems.flag("--interval", message, &format!("write a duration of {}", INTERVALS.words()));
    }
}

fn plugin_dirs(field: &Field<'_>, check: &mut Check<'_>) -> Option<Vec<PathBuf>> {
    let example = "/opt/twarga-agent/plugins";
    let items = field.items(&format!("[{example:?}]"), check)?;
    Some(items.iter().filter_map(|item| item.path(example, check)).collect())
}

/// The flag's, else the file's, else the default's. `given` is something where the file has the key, be it a bad one.
fn data_dir_of(given: Option<Option<PathBuf>>, flags: &Flags, check: &mut Check<'_>) -> PathBuf {
    if let Some(flag) = &flags.data_dir {
        return check.environment.absolute(flag);
    }
    if let Some(given) = given {
        return given.unwrap_or_default();
    }
    check.environment.data_dir().unwrap_or_else(|| {
        if !check.incomplete {
            let message = "there is no default, because HOME is not set".to_owned();
            check.problems.flag("agent.data_dir", message, "set it, or give --data-dir");
        }
        PathBuf::new()
    })
}

/// Where plugins are looked for: the command line's folders, the file's, the executable's own, the system's.
fn search_path(given: Vec<PathBuf>, flags: &Flags, check: &Check<'_>) -> Vec<PathBuf> {
    let environment = check.environment;
    let all = flags.plugin_dirs.iter().map(|dir| environment.absolute(dir));
    let all = all.chain(given).chain(environment.exe_dir.clone()).chain([environment.system_plugins.clone()]);
    let mut dirs = Vec::new();
    for dir in all {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}
