//! Lines of a file of any size and origin: numbered, bounded, checked.

use std::io::{self, BufRead, Read};

/// Longer lines are no lines of ours.
const LONGEST: u64 = 1 << 20;

/// Why a line can't be had.
#[derive(Debug)]
pub(super) enum BadLine {
    /// The file can't be read.
    Io(io::Error),
    /// The line is no text that could be of any format.
    Text(&'static str),
}

/// Reads line by line.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    buf: Vec<u8>,
    /// The number of the line that was read last, from 1.
    pub(super) number: u64,
    /// Where that line begins.
    pub(super) start: u64,
    /// Where the next one begins.
    pub(super) end: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buf: Vec::new(), number: 0, start: 0, end: 0 }
    }

    /// The next line without its end; nothing at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<&str>, BadLine> {
        self.buf.clear();
        let read = (&mut self.input).take(LONGEST).read_until(b'\n', &mut self.buf).map_err(BadLine::Io)?;
        if read == 0 {
            return Ok(None);
        }
        self.start = self.end;
        self.end += read as u64;
        self.number += 1;
        if self.number == 1 && self.buf.starts_with(b"SQLite format 3") {
            return Err(BadLine::Text(
                "is an SQLite database; of the old system, read it with --from-twarga",
            ));
        }
        let Some(line) = self.buf.strip_suffix(b"\n") else {
            return Err(BadLine::Text(match read as u64 == LONGEST {
                true => "is longer than 1 MiB",
                false => "has no end: the file is cut off (if the line is whole, add a line end)",
            }));
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| BadLine::Text("is not UTF-8 text"))?;
        Ok(Some(if self.number == 1 { line.trim_start_matches('\u{feff}') } else { line }))
    }
}
