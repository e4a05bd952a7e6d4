//! Reading a file of samples. Where it is stopped (a bad line, a kill, a full disk), the same command goes on: the store
//! keeps, with the samples, how far in the file they reach.

use super::{
    Format, Progress, TransferError,
    csv::CsvParser,
    definitions::Definitions,
    json_lines::JsonParser,
    lines::{BadLine, Lines},
    openmetrics::OpenMetricsParser,
    sink::Sink,
};
use crate::{
    model::{SeriesId, Timestamp},
    store::StoredSample,
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

/// A sample as a file tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FileSample {
    /// Its place among the parser's definitions.
    pub(super) series: usize,
    pub(super) time: Timestamp,
    pub(super) value: f64,
    pub(super) reset: bool,
    pub(super) run: Option<u32>,
}

/// What a line was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Parsed {
    /// No sample.
    Nothing,
    /// A sample.
    Sample(FileSample),
}

/// A format, line by line. Errors say what is wrong with the line.
pub(super) trait Parser {
    /// Reads a line.
    fn line(&mut self, line: &str) -> Result<Parsed, String>;
    /// Takes from a line that was read by an import before what later lines need.
    fn skip(&mut self, line: &str) -> Result<(), String>;
    /// The series of the samples.
    fn definitions(&self) -> &Definitions;
    /// Whether the file may end here.
    fn finish(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What is known of a file, whatever its name: its size, and checksums of its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    size: u64,
    ends: [u32; 2],
}

impl Identity {
    const END: u64 = 1024;

    /// Of an open file, whose position is then its start.
    ///
    /// # Errors
    /// Those of the file.
    pub fn of(file: &mut File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let mut checksum = |at: u64| -> io::Result<u32> {
            let mut end = Vec::new();
            file.seek(SeekFrom::Start(at))?;
            file.take(Self::END).read_to_end(&mut end)?;
            Ok(crc32fast::hash(&end))
        };
        let ends = [checksum(0)?, checksum(size.saturating_sub(Self::END))?];
        file.rewind()?;
        Ok(Self { size, ends })
    }

    fn key(&self) -> String {
        format!("import:{}:{:08x}{:08x}", self.size, self.ends[0], self.ends[1])
    }
}

/// Where samples come from.
pub struct Source {
    name: String,
    input: Box<dyn BufRead>,
    identity: Option<Identity>,
}

impl Source {
    /// A file.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn file(path: &Path) -> Result<Self, TransferError> {
        let name = path.display().to_string();
        let open = || {
            let mut file = File::open(path)?;
            if file.metadata()?.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            // a pipe has no ends to look at
            let identity = if file.metadata()?.is_file() { Some(Identity::of(&mut file)?) } else { None };
            Ok((file, identity))
        };
        match open() {
            Ok((file, identity)) => {
                Ok(Self { name, input: Box::new(BufReader::with_capacity(1 << 16, file)), identity })
            }
            Err(source) => Err(TransferError::Read { file: name, source }),
        }
    }

    /// Standard input. Where it is stopped, it can't be gone on with; what is stored is not stored twice all the same.
    pub fn standard_input() -> Self {
        Self { name: "standard input".into(), input: Box::new(BufReader::new(io::stdin())), identity: None }
    }
}

/// Reads a source into the sink, from where an import of the same file was stopped, unless it is to be read from its
/// start. True where there was nothing left to read.
///
/// # Errors
/// A bad line: all before it is stored. The store's: what was committed is stored.
pub fn import(
    source: Source,
    format: Format,
    from_start: bool,
    sink: &mut Sink,
    progress: Progress<'_>,
) -> Result<bool, TransferError> {
    let parser: Box<dyn Parser> = match format {
        Format::OpenMetrics => Box::<OpenMetricsParser>::default(),
        Format::Csv => Box::<CsvParser>::default(),
        Format::JsonLines => Box::<JsonParser>::default(),
    };
    let Source { name, input, identity } = source;
    let key = identity.as_ref().map(Identity::key);
    let stored = match &key {
        Some(key) if !from_start => sink.meta(key)?,
        _ => None,
    };
    let done_before = stored.and_then(|offset| offset.parse().ok()).unwrap_or(0);
    let size = identity.map_or(0, |identity| identity.size);
    let mut import =
        Import { name, key, parser, lines: Lines::new(input), sink, numbers: Vec::new(), run: None };
    import.skip_to(done_before)?;
    let outcome = import.read(&mut |done| progress(done, size.max(done)));
    // what was good is kept, whatever came then; the first thing that went wrong is told
    let end = if outcome.is_ok() { import.lines.end } else { import.lines.start };
    let store_failed = matches!(outcome, Err(TransferError::Store(_)));
    let flushed = if store_failed { Ok(()) } else { import.flush(end) };
    outcome?;
    flushed?;
    progress(size, size);
    Ok(done_before > 0 && done_before >= size)
}

struct Import<'a> {
    name: String,
    key: Option<String>,
    parser: Box<dyn Parser>,
    lines: Lines<Box<dyn BufRead>>,
    sink: &'a mut Sink,
    /// The store's numbers of the parser's series.
    numbers: Vec<Option<SeriesId>>,
    run: Option<u32>,
}

impl Import<'_> {
    /// Passes over what an import before has stored.
    fn skip_to(&mut self, offset: u64) -> Result<(), TransferError> {
        while self.lines.end < offset {
            let skipped = match self.lines.next() {
                Ok(Some(line)) => self.parser.skip(line),
                Ok(None) => return Ok(()),
                Err(bad) => return Err(told(&self.name, self.lines.number, bad)),
            };
            skipped.map_err(|problem| self.bad(problem))?;
        }
        Ok(())
    }

    fn read(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), TransferError> {
        loop {
            let parsed = match self.lines.next() {
                Ok(Some(line)) => self.parser.line(line),
                Ok(None) => return self.parser.finish().map_err(|problem| self.bad(problem)),
                Err(bad) => return Err(told(&self.name, self.lines.number, bad)),
            };
            if let Parsed::Sample(sample) = parsed.map_err(|problem| self.bad(problem))? {
                self.sample(sample)?;
            }
            if self.sink.is_full() {
                self.flush(self.lines.end)?;
                progress(self.lines.end);
            }
        }
    }

    fn sample(&mut self, sample: FileSample) -> Result<(), TransferError> {
        if self.run.is_some() && sample.run != self.run {
            self.flush(self.lines.start)?;
            self.sink.begin_run();
        }
        self.run = sample.run;
        if sample.series >= self.numbers.len() {
            self.numbers.resize(sample.series + 1, None);
        }
        let series = match self.numbers[sample.series] {
            Some(known) => known,
            None => *self.numbers[sample.series]
                .insert(self.sink.series(self.parser.definitions().get(sample.series))?),
        };
        self.sink.tally.read += 1;
        self.sink.put(sample.time, StoredSample { series, reset: sample.reset, value: sample.value });
        Ok(())
    }

    fn flush(&mut self, offset: u64) -> Result<(), TransferError> {
        // of a file whose first line is bad, nothing is kept at all
        let key = self.key.iter().filter(|_| offset > 0);
        let meta = key.map(|key| (key.clone(), offset.to_string())).collect();
        Ok(self.sink.flush(meta)?)
    }

    fn bad(&self, problem: String) -> TransferError {
        TransferError::Line { file: self.name.clone(), line: self.lines.number, problem }
    }
}

fn told(name: &str, line: u64, bad: BadLine) -> TransferError {
    let file = name.to_owned();
    match bad {
        BadLine::Io(source) => TransferError::Read { file, source },
        BadLine::Text(problem) => TransferError::Line { file, line, problem: problem.into() },
    }
}
