//! The certification, from the side of the process that the plugin may break.

use super::{
    cycles, names,
    plugin::{Collector, Plugin},
    process::{Message, Phase, Task},
    report::Answer,
    schema,
};
use crate::host::{DeclaredMetric, Refusal};
use anyhow::{Context, Result};
use serde_json::{Map, Value as Json};
use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    time::{Duration, Instant},
};
use twarga_plugin_api::{Error, ErrorKind};

/// How long a collector may take to end.
const MOST_STOP: Duration = Duration::from_secs(2);
/// A plugin that needs two readings may have its first value in a later collection.
const FIRST_TRIES: u32 = 3;
/// Between them.
const BETWEEN: Duration = Duration::from_millis(250);

/// Where the child tells what it sees.
pub(super) struct Channel(File);

impl Channel {
    /// Standard output, out of the reach of the plugin: what it prints goes to standard error.
    fn open() -> io::Result<Self> {
        let own = io::stdout().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
        Ok(Self(own.into()))
    }

    pub(super) fn send(&mut self, message: &Message) -> Result<()> {
        let line = serde_json::to_string(message)? + "\n";
        self.0.write_all(line.as_bytes()).context("the certifying process has ended")
    }

    pub(super) fn begin(&mut self, check: &str) -> Result<()> {
        self.send(&Message::Begin(check.into()))
    }

    pub(super) fn done(&mut self, answer: Answer) -> Result<()> {
        self.send(&Message::Done(answer))
    }
}

/// Reads the task from standard input and does it.
///
/// # Errors
/// Where there is no task, or nobody listens any more.
pub fn child() -> Result<()> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::stdin(), &mut text)?;
    let task: Task = serde_json::from_str(&text).context("only `plugins certify` starts this")?;
    let mut channel = Channel::open()?;
    let plugin = match Plugin::load(&task.file) {
        Ok(plugin) => plugin,
        Err(error) => {
            let refusal = &error.refusal;
            let of_names = matches!(refusal, Refusal::BadMetric { .. } | Refusal::Claimed { .. });
            let check = if of_names { "names" } else { "abi" };
            channel.begin(check)?;
            return channel.done(Answer::fail(check, refusal.to_string(), refusal.advice()));
        }
    };
    match task.phase {
        Phase::Checks => checks(&plugin, &task, &mut channel),
        Phase::Once | Phase::Endless => collect_on(&plugin, &task, &mut channel),
    }
}

fn checks(plugin: &Plugin, task: &Task, channel: &mut Channel) -> Result<()> {
    let (api, target) = (plugin.api(), plugin.target());
    channel.done(Answer::pass("abi", format!("plugin API {api}, built for {target}; the layouts agree")))?;
    let schema = serde_json::from_str(plugin.schema()).unwrap_or(Json::Null);
    channel.begin("defaults")?;
    channel.done(about_defaults(plugin, &schema))?;
    channel.begin("wrong-config")?;
    channel.done(about_wrong(plugin, &schema, &task.config))?;

    channel.begin("start")?;
    let mut collector = match plugin.start(&task.config) {
        Ok(collector) => collector,
        Err(error) => return channel.done(not_started(&error)),
    };
    channel.done(Answer::pass("start", "made with this configuration"))?;
    channel.begin("first-collection")?;
    let first = first_collection(&mut collector);
    let goes_on = first.outcome == super::Outcome::Pass;
    channel.done(first)?;
    if goes_on {
        channel.begin("cycles")?;
        for answer in cycles::run(&mut collector, task.interval) {
            channel.done(answer)?;
        }
    }
    channel.done(names::answer(&all_metrics(plugin, &collector)))?;
    channel.begin("stop")?;
    let began = Instant::now();
    drop(collector);
    let took = began.elapsed();
    channel.done(if took > MOST_STOP {
        let advice = "join the plugin's threads in Drop, and let nothing wait without end";
        Answer::fail("stop", format!("dropping it took {:.1} s", took.as_secs_f64()), advice)
    } else {
        Answer::pass("stop", format!("dropped in {:.1} ms", took.as_secs_f64() * 1000.0))
    })
}

/// Those that the file declares, and those that were declared since.
fn all_metrics(plugin: &Plugin, collector: &Collector) -> Vec<DeclaredMetric> {
    let mut all = plugin.declared().to_vec();
    for metric in collector.metrics() {
        if !all.iter().any(|known| known.name == metric.name) {
            all.push(metric);
        }
    }
    all
}

fn not_started(error: &Error) -> Answer {
    match error.kind() {
        ErrorKind::Unsupported => Answer::skip(
            "start",
            format!("this machine has nothing to collect: {error}; certify it where there is"),
        ),
        ErrorKind::Config => Answer::fail(
            "start",
            format!("it refuses its configuration: {error}"),
            "give another one by --config",
        ),
        _ => {
            Answer::fail("start", error.to_string(), "mend `new`, or give another configuration by --config")
        }
    }
}

/// A machine may lack what a configuration names: only the refusal of the configuration counts.
fn about_defaults(plugin: &Plugin, schema: &Json) -> Answer {
    const CHECK: &str = "defaults";
    let required = schema::required(schema);
    if !required.is_empty() {
        return Answer::skip(CHECK, format!("keys without a default are required: {}", required.join(", ")));
    }
    for (what, config) in
        [("an empty table", Map::new()), ("the schema's defaults", schema::defaults(schema))]
    {
        if let Err(error) = plugin.start(&config)
            && matches!(error.kind(), ErrorKind::Config | ErrorKind::Panicked)
        {
            let advice = "#[serde(default)] on Config, and the same defaults in the schema";
            return Answer::fail(CHECK, format!("{what}: {error}"), advice);
        }
    }
    Answer::pass(CHECK, "an empty table and the schema's defaults are accepted")
}

fn about_wrong(plugin: &Plugin, schema: &Json, sound: &Map<String, Json>) -> Answer {
    const CHECK: &str = "wrong-config";
    let all = schema::wrong(schema, sound);
    for wrong in &all {
        let at = format!("`{}` ({})", wrong.key, wrong.what);
        let Some(error) = plugin.start(&wrong.config).err() else {
            let advice = "#[serde(deny_unknown_fields)] on Config, and a type for each key";
            return Answer::fail(CHECK, format!("{at} is accepted"), advice);
        };
        if error.kind() != ErrorKind::Config {
            let kind = crate::trial::kind_word(error.kind());
            let advice = "answer Error::config(key, message) for a wrong value";
            return Answer::fail(
                CHECK,
                format!("{at} is no error of the configuration but {kind}: {error}"),
                advice,
            );
        }
        if !error.location().contains(&wrong.key) && !error.message().contains(&wrong.key) {
            let advice = "name the key: Error::config(key, message)";
            return Answer::fail(CHECK, format!("{at}: the error does not name the key: {error}"), advice);
        }
    }
    Answer::pass(CHECK, format!("{} wrong configurations are refused, each with its key", all.len()))
}

fn first_collection(collector: &mut Collector) -> Answer {
    const CHECK: &str = "first-collection";
    let mut reason = String::new();
    for attempt in 0..FIRST_TRIES {
        if attempt > 0 {
            std::thread::sleep(BETWEEN);
        }
        let (took, answer) = collector.collect();
        if let Err(error) = answer {
            let kind = crate::trial::kind_word(error.kind());
            return Answer::fail(CHECK, format!("{kind}: {error}"), "mend `collect`");
        }
        let count = collector.samples().count();
        if count > 0 {
            let millis = took.as_secs_f64() * 1000.0;
            return Answer::pass(CHECK, format!("{count} samples in {millis:.2} ms"));
        }
        let absent = collector.absent().next();
        reason = absent.map_or_else(String::new, |(series, why)| format!("; {series} is unavailable: {why}"));
    }
    let advice = "answer Error::unsupported in `new` where there is nothing to collect, or give a configuration \
                  by --config that has something";
    Answer::fail(CHECK, format!("no samples in {FIRST_TRIES} collections{reason}"), advice)
}

/// Collects, and says so each time.
fn collect_on(plugin: &Plugin, task: &Task, channel: &mut Channel) -> Result<()> {
    let mut collector = match plugin.start(&task.config) {
        Ok(collector) => collector,
        Err(error) => return channel.done(not_started(&error)),
    };
    loop {
        let first = first_collection(&mut collector);
        if first.outcome != super::Outcome::Pass {
            return channel.done(first);
        }
        channel.send(&Message::Collected)?;
        if task.phase == Phase::Once {
            return Ok(());
        }
    }
}
