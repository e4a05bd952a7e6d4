//! The table of `/proc/meminfo`: a series for each line, registered when the line is first seen.

use crate::{
    metrics::{LINES, name_of},
    parse::meminfo::{self, Line, Memory, Role, Value},
    reading::{self, MISSING, UNREADABLE},
};
use twarga_plugin_api::{Error, Host, Kind, Level, Metric, Result, Series, Sink, Unit};

/// Lines at most: Linux has some 60, and a file of other content must not become thousands of series.
const MOST_LINES: usize = 256;

struct Entry {
    name: Vec<u8>,
    /// In KiB, as it was when the series was registered: a line that changes its unit is another metric.
    kib: bool,
    role: Option<Role>,
    /// Nothing for a line whose name makes no metric.
    series: Option<Series>,
    /// The number of the reading that it was last seen in.
    seen: u64,
}

/// The lines that were ever seen, in the order of the file.
#[derive(Default)]
pub(crate) struct Meminfo {
    entries: Vec<Entry>,
    reading: u64,
    full: bool,
}

impl Meminfo {
    /// Puts every line's value and answers those that we compute with.
    ///
    /// # Errors
    /// Where the host refuses a series; the other lines are put.
    pub(crate) fn collect(&mut self, content: &[u8], memory: &mut Memory, sink: &mut Sink<'_>) -> Result<()> {
        self.reading += 1;
        let (mut cursor, mut outcome) = (0, Ok(()));
        for line in meminfo::lines(content) {
            let index = match self.find(cursor, &line) {
                Some(index) => index,
                None => match self.add(&line, sink.host()) {
                    Ok(Some(index)) => index,
                    Ok(None) => continue,
                    Err(error) => {
                        outcome = outcome.and(Err(error));
                        continue;
                    }
                },
            };
            cursor = index + 1;
            self.entries[index].put(line.value, self.reading, memory, sink);
        }
        for entry in self.entries.iter().filter(|entry| entry.seen != self.reading) {
            entry.unavailable(MISSING, sink);
        }
        outcome
    }

    /// Whether this kernel has the line.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.entries.iter().any(|entry| entry.role == Some(role))
    }

    /// Where the file can't be read.
    pub(crate) fn unavailable(&self, sink: &mut Sink<'_>) {
        self.entries.iter().for_each(|entry| entry.unavailable(UNREADABLE, sink));
    }

    /// The order of the lines doesn't change while a kernel runs, so the cursor is right but for the first reading.
    fn find(&self, cursor: usize, line: &Line<'_>) -> Option<usize> {
        let is_it = |entry: &Entry| entry.name == line.name;
        if self.entries.get(cursor).is_some_and(is_it) {
            return Some(cursor);
        }
        self.entries.iter().position(is_it)
    }

    fn add(&mut self, line: &Line<'_>, host: &mut Host<'_>) -> Result<Option<usize>> {
        // before a line has a value, its unit and thereby its metric is unknown
        let Some(Value { kib, .. }) = line.value else { return Ok(None) };
        if self.entries.len() == MOST_LINES {
            if !std::mem::replace(&mut self.full, true) {
                host.log(
                    Level::Warn,
                    &format!("more than {MOST_LINES} lines in meminfo; the others are left out"),
                );
            }
            return Ok(None);
        }
        let series = register(line.name, kib, host)?;
        let role = Role::of(line.name).filter(|_| kib);
        self.entries.push(Entry { name: line.name.into(), kib, role, series, seen: 0 });
        Ok(Some(self.entries.len() - 1))
    }
}

impl Entry {
    fn put(&mut self, value: Option<Value>, reading: u64, memory: &mut Memory, sink: &mut Sink<'_>) {
        if std::mem::replace(&mut self.seen, reading) == reading {
            return; // a second line of the same name
        }
        let number = value.filter(|value| value.kib == self.kib).map(|value| value.number);
        if let Some(role) = self.role {
            *memory.place(role) = number;
        }
        if let Some(series) = self.series {
            let scale = if self.kib { 1024.0 } else { 1.0 };
            reading::put(sink, series, number.map(|number| number as f64 * scale).ok_or(MISSING));
        }
    }

    fn unavailable(&self, reason: &str, sink: &mut Sink<'_>) {
        if let Some(series) = self.series {
            sink.unavailable(series, reason);
        }
    }
}

/// The series of a line: of a metric that is known statically, or else of one that is declared now. Nothing, and a
/// line in the log, where the name makes no metric.
fn register(line: &[u8], kib: bool, host: &mut Host<'_>) -> Result<Option<Series>> {
    let Ok(line) = std::str::from_utf8(line) else {
        host.log(Level::Info, "a line of meminfo is left out: its name is no text");
        return Ok(None);
    };
    let name = name_of(line, kib);
    if let Some((_, metric)) = LINES.iter().find(|(_, metric)| metric.name() == name) {
        return host.series(metric, &[]).map(Some);
    }
    let unit = if kib { Unit::BYTES } else { Unit::NONE };
    let help = format!("The line {line} of /proc/meminfo.");
    let declared =
        Metric::try_new(Kind::Gauge, &name, unit, &help, "").and_then(|metric| host.declare(&metric));
    match declared {
        Ok(family) => host.series_of(family, &[]).map(Some),
        Err(error) => {
            host.log(Level::Info, &left_out(line, &error));
            Ok(None)
        }
    }
}

fn left_out(line: &str, error: &Error) -> String {
    format!("the line {line:?} of meminfo is left out: {error}")
}
