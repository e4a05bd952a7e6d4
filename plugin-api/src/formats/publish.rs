//! From parsed texts to families, series and samples.

use super::{
    Parsed, TextSample,
    naming::{self, Named},
};
use crate::{Family, Kind, Level, Metric, Result, Series, Sink, Unit};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// Different complaints that are told; more are only counted.
const MAX_TOLD: usize = 1000;

/// What a second sample of one series means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// A later value: it counts.
    Newer,
    /// A mistake: the first one counts, the second is told.
    Mistake,
}

/// What becomes of a series that is known and was not printed this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent<'a> {
    /// Its thing is gone: it ends. It begins anew when it is printed again.
    Retire,
    /// It ends when it has not been printed for so long.
    RetireAfter(Duration),
    /// The text was not whole: it has no value for this reason.
    Unavailable(&'a str),
}

/// Label keys (plain, sorted) and values.
type Labels = Vec<(String, String)>;
/// The metric's name and the labels.
type Key = (String, Labels);

/// Makes samples of what programs print.
///
/// A collection is any number of [`add`](Publisher::add) and one [`finish`](Publisher::finish).
#[derive(Debug)]
pub struct Publisher {
    prefix: String,
    families: HashMap<String, Declared>,
    series: HashMap<Key, Kept>,
    pending: BTreeMap<Key, Pending>,
    told: HashSet<String>,
    lines: Vec<String>,
    refused: u64,
    strings: u64,
}

#[derive(Debug)]
struct Declared {
    family: Family,
    kind: Kind,
    keys: Vec<String>,
}

#[derive(Debug)]
struct Kept {
    series: Series,
    seen: Instant,
}

#[derive(Debug)]
struct Pending {
    value: f64,
    /// Why it has no value.
    missing: Option<&'static str>,
    kind: Kind,
    unit: Unit,
    help: Arc<str>,
    /// The label that names the state of a state set.
    state: Option<String>,
    source: Arc<str>,
    line: usize,
}

impl Publisher {
    /// For metrics whose names begin with `prefix`; it is put before those that don't.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            families: HashMap::new(),
            series: HashMap::new(),
            pending: BTreeMap::new(),
            told: HashSet::new(),
            lines: Vec::new(),
            refused: 0,
            strings: 0,
        }
    }

    /// Lines and samples that were left out, since the start.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Fields that are texts, since the start.
    pub fn strings(&self) -> u64 {
        self.strings
    }

    /// Takes the samples of a text. `source` names it in the log. With `missing`, no value counts, for this reason.
    /// Answers how many lines and samples were left out.
    pub fn add(&mut self, parsed: Parsed, source: &str, again: Again, missing: Option<&'static str>) -> u64 {
        let before = self.refused;
        let source: Arc<str> = source.into();
        self.strings += parsed.strings;
        self.refused += parsed.refused;
        for problem in parsed.problems {
            self.tell(&source, problem.line, &problem.message);
        }
        for sample in parsed.samples {
            if let Err((line, message)) = self.take(sample, &source, again, missing) {
                self.refuse(&source, line, &message);
            }
        }
        self.refused - before
    }

    fn take(
        &mut self,
        sample: TextSample,
        source: &Arc<str>,
        again: Again,
        missing: Option<&'static str>,
    ) -> std::result::Result<(), (usize, String)> {
        let line = sample.line;
        let Named { name, kind, unit, note } =
            naming::named(&sample, &self.prefix).map_err(|message| (line, message))?;
        if let Some(note) = note {
            self.tell(source, line, &note);
        }
        let state = (kind == Kind::StateSet).then(|| naming::plain_label(&sample.name));
        let labels = sorted(sample.labels).map_err(|message| (line, message))?;
        let key = (name, labels);
        if let Some(first) = self.pending.get(&key).filter(|_| again == Again::Mistake) {
            let (name, at, from) = (&key.0, first.line, &first.source);
            return Err((
                line,
                format!("a second sample of a series of `{name}`: that of {from}:{at} counts"),
            ));
        }
        let missing = missing.or(match sample.value {
            value if value.is_nan() => Some("not a number"),
            value if value.is_infinite() => Some("infinite"),
            _ => None,
        });
        let (value, help, source) = (sample.value, sample.help, Arc::clone(source));
        self.pending.insert(key, Pending { value, missing, kind, unit, help, state, source, line });
        Ok(())
    }

    /// Tells that a whole source could not be read, once.
    pub fn note(&mut self, source: &str, message: &str) {
        self.refuse(source, 0, message);
    }

    /// Puts what was added since the last time. Answers the sources of which samples were left out now.
    pub fn finish(&mut self, sink: &mut Sink<'_>, absent: Absent<'_>) -> BTreeSet<Arc<str>> {
        let mut refused = BTreeSet::new();
        self.end_absent(sink, absent); // first: their places are free for new ones
        let pending = std::mem::take(&mut self.pending);
        self.declare(&pending, sink);
        for (key, pending) in pending {
            if let Err(message) = self.put(key, &pending, sink) {
                self.refuse(&pending.source, pending.line, &message);
                refused.insert(pending.source);
            }
        }
        for line in self.lines.drain(..) {
            sink.host().log(Level::Warn, &line);
        }
        refused
    }

    fn end_absent(&mut self, sink: &mut Sink<'_>, absent: Absent<'_>) {
        let pending = &self.pending;
        self.series.retain(|key, kept| {
            let stays = pending.contains_key(key)
                || match absent {
                    Absent::Retire => false,
                    Absent::RetireAfter(most) => kept.seen.elapsed() <= most,
                    Absent::Unavailable(reason) => {
                        sink.unavailable(kept.series, reason);
                        true
                    }
                };
            if !stays {
                sink.host().retire(kept.series);
            }
            stays
        });
    }

    /// Declares the families that are new, each with the label keys of all its samples.
    fn declare(&mut self, pending: &BTreeMap<Key, Pending>, sink: &mut Sink<'_>) {
        let mut new: BTreeMap<&str, (&Pending, BTreeSet<&str>)> = BTreeMap::new();
        for ((name, labels), pending) in pending {
            if !self.families.contains_key(name) {
                let (_, keys) = new.entry(name).or_insert_with(|| (pending, BTreeSet::new()));
                keys.extend(labels.iter().map(|(key, _)| key.as_str()));
            }
        }
        for (name, (first, keys)) in new {
            let state = first.state.as_deref();
            let others = keys.iter().copied().filter(|key| Some(*key) != state);
            let keys: Vec<String> = others.chain(state).map(String::from).collect();
            match declared(name, first, keys, sink) {
                Ok(declared) => drop(self.families.insert(name.to_owned(), declared)),
                Err(error) => self.tell(&first.source, first.line, error.message()),
            }
        }
    }

    fn put(&mut self, key: Key, pending: &Pending, sink: &mut Sink<'_>) -> std::result::Result<(), String> {
        let series = match self.series.get_mut(&key) {
            Some(kept) => {
                kept.seen = Instant::now();
                kept.series
            }
            None => self.register(key, pending, sink)?,
        };
        match pending.missing {
            Some(reason) => sink.unavailable(series, reason),
            None => sink.put(series, pending.value),
        }
        Ok(())
    }

    fn register(
        &mut self,
        key: Key,
        pending: &Pending,
        sink: &mut Sink<'_>,
    ) -> std::result::Result<Series, String> {
        let (name, labels) = &key;
        let Some(declared) = self.families.get(name) else {
            return Err(format!("`{name}` could not be declared"));
        };
        if declared.kind != pending.kind {
            let (was, is) = (declared.kind.word(), pending.kind.word());
            return Err(format!("`{name}` was a {was} before, and is a {is} now"));
        }
        if let Some((key, _)) = labels.iter().find(|(key, _)| !declared.keys.contains(key)) {
            return Err(format!(
                "`{name}` did not have the label `{key}` at first: print it from the start, with \"\" where it has no value"
            ));
        }
        let value_of = |key: &String| labels.iter().find(|(known, _)| known == key).map_or("", |(_, v)| v);
        let values: Vec<&str> = declared.keys.iter().map(value_of).collect();
        let series = sink.host().series_of(declared.family, &values);
        let series = series.map_err(|error| error.message().to_owned())?;
        self.series.insert(key, Kept { series, seen: Instant::now() });
        Ok(series)
    }

    fn refuse(&mut self, source: &str, line: usize, message: &str) {
        self.refused += 1;
        self.tell(source, line, message);
    }

    /// Each complaint about a source once, with the first line that it is about.
    fn tell(&mut self, source: &str, line: usize, message: &str) {
        if self.told.len() < MAX_TOLD && self.told.insert(format!("{source}: {message}")) {
            let place = if line == 0 { source.to_owned() } else { format!("{source}:{line}") };
            self.lines.push(format!("{place}: {message} (said once)"));
        }
    }
}

fn declared(name: &str, first: &Pending, keys: Vec<String>, sink: &mut Sink<'_>) -> Result<Declared> {
    let (help, joined) = (naming::help(&first.help, name), keys.join(","));
    let metric = Metric::try_new(first.kind, name, first.unit, &help, &joined)?;
    let family = sink.host().declare(&metric)?;
    Ok(Declared { family, kind: first.kind, keys })
}

fn sorted(labels: Labels) -> std::result::Result<Labels, String> {
    let mut labels: Labels =
        labels.into_iter().map(|(key, value)| (naming::plain_label(&key), value)).collect();
    labels.sort();
    match labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("the label `{}` stands twice", pair[0].0)),
        None => Ok(labels),
    }
}
