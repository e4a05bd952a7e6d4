//! Passes on the metrics that other programs leave in the files of a folder.
//!
//! Rules and metrics are in the README; the parser is [`twarga_plugin_api::formats`].
#![forbid(unsafe_code)]

mod config;
mod files;

pub use config::Config;

use files::{Content, Found};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};
use twarga_plugin_api::{
    formats::{Absent, Again, Format, Publisher, parse},
    prelude::*,
};

const MTIME: Metric = Metric::gauge(
    "textfile_mtime_seconds",
    Unit::SECONDS,
    "When the file was last written, in seconds since 1970.",
)
.labels("file");
const SCRAPE_ERROR: Metric = Metric::gauge(
    "textfile_scrape_error",
    Unit::NONE,
    "Whether something of the file was left out, or all of it; the log says why.",
)
.labels("file");

/// The collector.
pub struct Textfile {
    config: Config,
    publisher: Publisher,
    /// The collector's own series of each file.
    own: BTreeMap<String, Own>,
}

#[derive(Clone, Copy)]
struct Own {
    mtime: Series,
    error: Series,
}

impl Collector for Textfile {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["textfile_", "*"];
    const METRICS: &'static [Metric<'static>] = &[MTIME, SCRAPE_ERROR];
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Config, _: &mut Host<'_>) -> Result<Self> {
        config.check()?;
        Ok(Self { publisher: Publisher::new(&*config.prefix), config, own: BTreeMap::new() })
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let found = match files::found(&self.config.directory) {
            Ok(found) => found,
            Err(error) => {
                self.publisher.finish(sink, Absent::Unavailable("the folder can't be read"));
                return Err(error);
            }
        };
        self.end_vanished(&found, sink);
        let mut unread = false;
        let mut bad = BTreeSet::new();
        for file in &found {
            let own = match self.own_of(&file.name, sink) {
                Ok(own) => own,
                Err(error) => {
                    // the others count all the same
                    self.publisher.note(&file.name, error.message());
                    bad.insert(Arc::from(&*file.name));
                    continue;
                }
            };
            match file.read() {
                Ok(content) if self.add(file, own, &content, sink) => {}
                Ok(_) => drop(bad.insert(Arc::from(&*file.name))),
                Err(error) => {
                    sink.unavailable(own.mtime, "can't be read");
                    self.publisher.note(&file.name, error.message());
                    bad.insert(Arc::from(&*file.name));
                    unread = true;
                }
            }
        }
        // series of a file that can't be read just now may well be there still
        let absent = if unread { Absent::Unavailable("a file can't be read") } else { Absent::Retire };
        bad.extend(self.publisher.finish(sink, absent));
        for (name, own) in &self.own {
            sink.put(own.error, f64::from(u8::from(bad.contains(name.as_str()))));
        }
        Ok(())
    }
}

impl Textfile {
    /// Takes what is in a file. Answers whether all of it could be read.
    fn add(&mut self, file: &Found, own: Own, content: &Content, sink: &mut Sink<'_>) -> bool {
        sink.put(own.mtime, seconds(content.modified));
        let stale = self.is_stale(content.modified).then_some("the file is stale");
        let parsed = parse(Format::Prometheus, &content.text);
        self.publisher.add(parsed, &file.name, Again::Mistake, stale) == 0
    }

    fn own_of(&mut self, name: &str, sink: &mut Sink<'_>) -> Result<Own> {
        if let Some(own) = self.own.get(name) {
            return Ok(*own);
        }
        let mtime = sink.host().series(&MTIME, &[name])?;
        let error = match sink.host().series(&SCRAPE_ERROR, &[name]) {
            Ok(error) => error,
            Err(error) => {
                sink.host().retire(mtime);
                return Err(error);
            }
        };
        self.own.insert(name.to_owned(), Own { mtime, error });
        Ok(Own { mtime, error })
    }

    fn end_vanished(&mut self, found: &[Found], sink: &mut Sink<'_>) {
        self.own.retain(|name, own| {
            let there = found.iter().any(|file| file.name == *name);
            if !there {
                sink.host().retire(own.mtime);
                sink.host().retire(own.error);
            }
            there
        });
    }

    /// A file of the future is not stale: the clock was wrong, not the file.
    fn is_stale(&self, modified: SystemTime) -> bool {
        let age = modified.elapsed().unwrap_or(Duration::ZERO);
        self.config.max_age.is_some_and(|most| age > most)
    }
}

fn seconds(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

export_plugin!(Textfile);
