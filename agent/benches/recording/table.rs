//! The file of a recording: gzip, tab-separated; a line of names, then one line a second.

use flate2::read::GzDecoder;
use std::{collections::HashMap, io::Read};

/// More than this, unpacked, is no recording that anybody meant.
const LARGEST: u64 = 1 << 30;

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRecording {
    /// It cannot be read or unpacked.
    #[error("cannot read the recording, which must be a complete gzip file of UTF-8 text")]
    Unreadable(#[from] std::io::Error),
    /// It is longer than any recording.
    #[error("the recording is larger than {LARGEST} bytes unpacked")]
    TooLarge,
    /// Its first column is something else.
    #[error("line 1 of the recording must begin with `time` and name the columns, separated by tabs")]
    NoHeader,
    /// A line has too many fields or too few.
    #[error("line {line} of the recording has {found} fields, line 1 has {wanted}")]
    Fields { line: usize, found: usize, wanted: usize },
    /// A field isn't a finite number.
    #[error("line {line} of the recording, column `{column}`: `{field}` is not a number")]
    NotANumber { line: usize, column: String, field: String },
    /// The clock stood still or went back.
    #[error("line {line} of the recording is not later than the one before it")]
    NotLater { line: usize },
    /// Nothing can be derived from one line.
    #[error("the recording has {0} lines of values; two are the least")]
    Short(usize),
    /// The machine had too little to record.
    #[error(
        "only {found} of {wanted} series can be derived from the recording (data/README.md lists the columns)"
    )]
    FewSeries { found: usize, wanted: usize },
}

/// The columns of a recording.
pub(crate) struct Table {
    names: Vec<String>,
    index: HashMap<String, usize>,
    columns: Vec<Vec<f64>>,
}

impl Table {
    pub(crate) fn parse(compressed: &[u8]) -> Result<Self, BadRecording> {
        let mut text = String::new();
        GzDecoder::new(compressed).take(LARGEST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LARGEST {
            return Err(BadRecording::TooLarge);
        }
        let mut lines = text.lines();
        let names: Vec<String> = lines.next().unwrap_or_default().split('\t').map(String::from).collect();
        if names.first().is_none_or(|name| name != "time") {
            return Err(BadRecording::NoHeader);
        }
        let index = names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect();
        let mut table = Self { columns: vec![Vec::new(); names.len()], names, index };
        for (at, line) in lines.enumerate() {
            table.push(at + 2, line)?;
        }
        match table.rows() {
            rows @ (0 | 1) => Err(BadRecording::Short(rows)),
            _ => Ok(table),
        }
    }

    fn push(&mut self, line: usize, text: &str) -> Result<(), BadRecording> {
        let found = text.split('\t').count();
        if found != self.names.len() {
            return Err(BadRecording::Fields { line, found, wanted: self.names.len() });
        }
        for ((field, column), name) in text.split('\t').zip(&mut self.columns).zip(&self.names) {
            match field.parse::<f64>() {
                Ok(value) if value.is_finite() => column.push(value),
                _ => {
                    return Err(BadRecording::NotANumber { line, column: name.clone(), field: field.into() });
                }
            }
        }
        match self.columns[0][..] {
            [.., before, now] if now <= before => Err(BadRecording::NotLater { line }),
            _ => Ok(()),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.columns[0].len()
    }

    /// The column of this name, if the machine had it.
    pub(crate) fn column(&self, name: &str) -> Option<&[f64]> {
        self.index.get(name).map(|&at| self.columns[at].as_slice())
    }

    /// All columns but the time.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.names.iter().zip(&self.columns).skip(1).map(|(name, column)| (name.as_str(), column.as_slice()))
    }

    /// Seconds between a row and the one before it; of the second row first.
    pub(crate) fn steps(&self) -> Vec<f64> {
        self.columns[0].windows(2).map(|pair| (pair[1] - pair[0]) / 1000.0).collect()
    }

    /// What comes between `before.` and `.after` in the names of the columns, in their order: devices, processors.
    pub(crate) fn between(&self, before: &str, after: &str) -> Vec<&str> {
        let part = |name| -> Option<&str> {
            let name: &str = name;
            name.strip_prefix(before)?.strip_suffix(after)
        };
        self.columns().filter_map(|(name, _)| part(name)).collect()
    }
}
