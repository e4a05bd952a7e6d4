//! `[plugins.NAME]`.

use super::{
    Flags, Limits, Mode, Place, Plugin,
    agent::AgentSection,
    check::Check,
    document::{Entries, Spot, Value},
    limits,
    problem::{key_below, quoted},
    table::{Field, Table},
    values::{Durations, INTERVALS, hours},
};
use serde_json::{Map, Value as Json};
use std::{collections::BTreeMap, time::Duration};
use twarga_plugin_api::duration;

/// The plugins of an agent without a configuration file.
const BUILT_IN: [&str; 5] = ["host-cpu", "host-disk", "host-mem", "host-net", "vagrant-vm"];
/// The name under which the agent collects its own metrics.
pub const OWN_NAME: &str = "agent";
/// The most characters of a plugin's or an instance's name.
const LONGEST_NAME: usize = 64;
/// The series that a plugin may have at a time, if its table doesn't say.
pub const DEFAULT_SERIES: usize = 100_000;
/// The most that can be said. Half of what the agent has numbers for, so that a collector that is made anew finds free
/// ones.
const MOST_SERIES: usize = 500_000;

/// A collection may take as long as its interval, and no less than this if no deadline is set: a busy machine keeps a
/// process from its processors for a tenth of a second every now and then, and to kill and start it takes longer.
const SHORTEST_USUAL_DEADLINE: Duration = Duration::from_secs(1);
const DEADLINES: Durations = Durations { least: Duration::from_millis(10), most: hours(24), example: "5s" };
const SPREADS: Durations = Durations { least: Duration::ZERO, most: hours(24), example: "500ms" };

/// The plugins of the host and of its machines, as they are.
pub(super) fn built_in(section: &AgentSection) -> BTreeMap<String, Plugin> {
    BUILT_IN.map(|name| (name.to_owned(), plain(name, section.agent.interval))).into()
}

fn plain(name: &str, interval: Duration) -> Plugin {
    Plugin {
        plugin: name.to_owned(),
        enabled: true,
        interval,
        deadline: usual_deadline(interval),
        offset: None,
        jitter: Duration::ZERO,
        mode: Mode::InProcess,
        max_series: DEFAULT_SERIES,
        limits: Limits::default(),
        config: Map::new(),
        place: Place::default(),
    }
}

/// The deadline if the table doesn't set one, and the longest that it may set.
fn usual_deadline(interval: Duration) -> Duration {
    interval.max(SHORTEST_USUAL_DEADLINE)
}

/// Reads all of them.
pub(super) fn read(
    field: Option<Field<'_>>,
    section: &AgentSection,
    flags: &Flags,
    check: &mut Check<'_>,
) -> BTreeMap<String, Plugin> {
    let tables = Table::of(field, "a table for each plugin, such as [plugins.host-cpu]", check);
    let mut plugins = BTreeMap::new();
    for (name, field) in tables.all() {
        if !is_name(name) {
            let hint = "write a name of letters, digits, - and _, up to 64";
            check.error(field.node.key, &field.path, "not the name of a plugin", hint);
        } else if name == OWN_NAME {
            let hint = "choose another name, and say plugin = \"…\" in the table";
            check.error(field.node.key, &field.path, "the name of the agent's own metrics", hint);
        }
        let plugin = read_one(name, field, section, flags, check);
        plugins.insert(name.to_owned(), plugin);
    }
    plugins
}

fn read_one(
    name: &str,
    field: Field<'_>,
    section: &AgentSection,
    flags: &Flags,
    check: &mut Check<'_>,
) -> Plugin {
    let mut table = Table::of(Some(field), &format!("[{}]", key_below("plugins", name)), check);
    let library = table.get("plugin").and_then(|field| library(&field, check));
    let enabled = table.get("enabled").and_then(|field| field.flag(check));
    let mode = table.get("mode").and_then(|field| mode(&field, check));
    let max_series = table.get("max_series").and_then(|field| field.count(1, MOST_SERIES, check));
    let limits = limits::read(&mut table, check);
    let times = times(&mut table, section, flags, check);
    let (config, place) = config(&mut table, check);
    let own = format!("the plugin's own keys belong in [{}.config]", table.path());
    table.refuse_others(check, |_| Some(own.clone()));
    Plugin {
        plugin: library.unwrap_or_else(|| name.to_owned()),
        enabled: enabled.unwrap_or(true),
        mode: mode.unwrap_or(Mode::Isolated),
        max_series: max_series.unwrap_or(DEFAULT_SERIES),
        limits,
        config,
        place,
        ..times
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(allowed)
}

fn library(field: &Field<'_>, check: &mut Check<'_>) -> Option<String> {
    let text = field.text("the name of a plugin", "host-disk", check)?;
    if is_name(text) {
        return Some(text.to_owned());
    }
    let file = text.rsplit('/').next().unwrap_or(text);
    let bare =
        file.strip_suffix(".so").map(|file| file.strip_prefix("lib").unwrap_or(file).replace('_', "-"));
    let hint = match bare {
        Some(bare) if is_name(&bare) => {
            format!("write its name, {bare:?}; where it lies, agent.plugin_dirs says")
        }
        _ => "write a name such as \"host-disk\"".to_owned(),
    };
    field.error(format!("{} is not the name of a plugin", quoted(text)), hint, check);
    None
}

fn mode(field: &Field<'_>, check: &mut Check<'_>) -> Option<Mode> {
    field.word(&[("in_process", Mode::InProcess), ("isolated", Mode::Isolated)], check)
}

/// Interval, deadline, offset and jitter; of the rest the defaults.
fn times(table: &mut Table<'_>, section: &AgentSection, flags: &Flags, check: &mut Check<'_>) -> Plugin {
    let interval = match table.get("interval") {
        Some(field) => field.duration(&INTERVALS, check),
        None => section.interval,
    };
    // of an interval that could not be read nothing is known
    let words = |interval| format!("the plugin's interval, {}", duration::words(interval));
    let deadline = table.get("deadline").and_then(|field| {
        let value = field.duration(&DEADLINES, check)?;
        if let Some(interval) = interval.filter(|interval| value > usual_deadline(*interval)) {
            let (second, most) =
                if interval < SHORTEST_USUAL_DEADLINE { (", and than 1s", "1s") } else { ("", "that") };
            let problem = format!("longer than {}{second}", words(interval));
            field.error(problem, format!("write a duration up to {most}"), check);
        }
        Some(value)
    });
    let mut spread = |key: &'static str| {
        let field = table.get(key)?;
        let value = field.duration(&SPREADS, check)?;
        if let Some(interval) = interval.filter(|interval| value >= *interval) {
            let problem = format!("not shorter than {}", words(interval));
            field.error(problem, "write a shorter duration", check);
        }
        Some(value)
    };
    let offset = spread("offset");
    let jitter = spread("jitter");
    let plugin = plain("", interval.unwrap_or(section.agent.interval));
    let plugin = Plugin {
        deadline: deadline.unwrap_or(plugin.deadline),
        offset,
        jitter: jitter.unwrap_or_default(),
        ..plugin
    };
    match flags.interval {
        Some(interval) => fitted(plugin, interval, deadline),
        None => plugin,
    }
}

/// The times at another interval, each shortened to fit into it.
fn fitted(plugin: Plugin, interval: Duration, deadline: Option<Duration>) -> Plugin {
    let within = |time: Duration| if time < interval { time } else { interval / 2 };
    Plugin {
        interval,
        deadline: usual_deadline(interval).min(deadline.unwrap_or(Duration::MAX)),
        offset: plugin.offset.map(within),
        jitter: within(plugin.jitter),
        ..plugin
    }
}

/// The plugin's own table, and where its keys stand.
fn config(table: &mut Table<'_>, check: &mut Check<'_>) -> (Map<String, Json>, Place) {
    let at = table.at();
    let source = &check.sources[at.file];
    let pin = table.get("sha256").map(|field| {
        let (at, source) = (field.node.key, &check.sources[field.node.key.file]);
        (source.path.clone(), source.line(at.offset))
    });
    let (file, line) = (Some(source.path.clone()), source.line(at.offset));
    let place = Place { file, line, pin, ..Place::default() };
    let mut reader = Reader { main: at.file, place, check };
    let Some(field) = table.get("config") else { return (Map::new(), reader.place) };
    let Value::Table(entries) = &field.node.value else {
        field.wrong_type("a table", &format!("[{}]", field.path), reader.check);
        return (Map::new(), reader.place);
    };
    reader.note("", field.node.at);
    let config = reader.table(entries, "", &field.path);
    (config, reader.place)
}

/// Makes JSON of a plugin's table and notes where its keys stand.
struct Reader<'c, 'a> {
    main: usize,
    place: Place,
    check: &'c mut Check<'a>,
}

impl Reader<'_, '_> {
    fn note(&mut self, path: &str, at: Spot) {
        let source = &self.check.sources[at.file];
        self.place.keys.insert(path.to_owned(), source.line(at.offset));
        if at.file != self.main {
            self.place.elsewhere.insert(path.to_owned(), source.path.clone());
        }
    }

    /// `path` is the path below the plugin's table, `full` the whole one for messages.
    fn table(&mut self, entries: &Entries, path: &str, full: &str) -> Map<String, Json> {
        let mut map = Map::new();
        for (key, node) in entries {
            // as plugins name it: parts that are no bare keys aren't quoted there
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            self.note(&path, node.key);
            let field = Field { path: key_below(full, key), node };
            if let Some(value) = self.value(&field, &path) {
                map.insert(key.clone(), value);
            }
        }
        map
    }

    fn value(&mut self, field: &Field<'_>, path: &str) -> Option<Json> {
        Some(match &field.node.value {
            Value::Text(text) => Json::from(text.as_str()),
            Value::Flag(flag) => Json::from(*flag),
            Value::Integer(Some(number), _) => Json::from(*number),
            Value::Integer(None, _) => {
                let hint = "write a smaller number, or a text if the plugin takes one";
                field.error("the number is too large for 64 bits", hint, self.check);
                return None;
            }
            Value::Float(number, _) if number.is_finite() => Json::from(*number),
            Value::Float(..) => {
                field.error(
                    "a plugin can't be given an infinite number or nan",
                    "write a finite one",
                    self.check,
                );
                return None;
            }
            Value::Date(date) => {
                let hint = format!("write it as a text: \"{date}\"");
                field.error("a plugin can't be given a date", hint, self.check);
                return None;
            }
            Value::List(nodes) => {
                let mut items = Vec::new();
                for (index, node) in nodes.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.note(&path, node.at);
                    let item = Field { path: format!("{}[{index}]", field.path), node };
                    items.extend(self.value(&item, &path));
                }
                Json::from(items)
            }
            Value::Table(entries) => Json::from(self.table(entries, path, &field.path)),
        })
    }
}
