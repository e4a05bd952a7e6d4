//! Rows as they are printed: a table for people, CSV or JSON for programs. Printed as they come, in bounded memory.

use super::table::columns;
use crate::sql::{Cells, Rows};
use clap::ValueEnum;
use rusqlite::types::ValueRef;
use std::io::{self, Write};

/// Rows that a table looks at to find how wide its columns are.
const LOOK_AHEAD: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
    Csv,
}

/// Prints in this format.
pub(super) fn printer<'a>(format: Format, out: impl Write + 'a) -> Box<dyn Rows + 'a> {
    match format {
        Format::Table => {
            Box::new(Table { out, tables: 0, head: Vec::new(), waiting: Vec::new(), widths: None })
        }
        Format::Csv => Box::new(Csv { out }),
        Format::Json => Box::new(Json { out, keys: Vec::new(), rows: 0 }),
    }
}

/// Columns that line up.
struct Table<W> {
    out: W,
    tables: usize,
    head: Vec<String>,
    waiting: Vec<Vec<String>>,
    /// Known once the first rows were printed.
    widths: Option<Vec<usize>>,
}

impl<W: Write> Table<W> {
    fn flush_waiting(&mut self) -> io::Result<()> {
        let heading: Vec<&str> = self.head.iter().map(String::as_str).collect();
        write!(self.out, "{}", columns(&heading, &self.waiting))?;
        let width = |column: usize| {
            let cells = self.waiting.iter().filter_map(|row| row.get(column)).chain(self.head.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        self.widths = Some((0..self.head.len()).map(width).collect());
        self.waiting.clear();
        Ok(())
    }
}

impl<W: Write> Rows for Table<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        if self.tables > 0 {
            writeln!(self.out)?;
        }
        self.tables += 1;
        self.head = columns.iter().map(|name| harmless(name)).collect();
        self.widths = None;
        Ok(())
    }

    fn row(&mut self, cells: &Cells<'_>) -> io::Result<()> {
        let cells: Vec<String> = cells.iter().map(|value| harmless(&plain(value))).collect();
        if let Some(widths) = &self.widths {
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = padded.collect::<Vec<_>>().join("  ");
            return writeln!(self.out, "{}", line.trim_end());
        }
        self.waiting.push(cells);
        if self.waiting.len() >= LOOK_AHEAD { self.flush_waiting() } else { Ok(()) }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.widths.is_none() {
            self.flush_waiting()?;
        }
        self.out.flush()
    }
}

/// A value as text; nothing for NULL.
fn plain(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(integer) => integer.to_string(),
        ValueRef::Real(real) => real.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// A text that a terminal shows as it is: what a plugin wrote must not steer it.
fn harmless(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// RFC 4180, but with plain line ends.
struct Csv<W> {
    out: W,
}

impl<W: Write> Csv<W> {
    fn line(&mut self, cells: impl Iterator<Item = String>) -> io::Result<()> {
        for (at, cell) in cells.enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if cell.contains(['"', ',', '\n', '\r']) {
                write!(self.out, "{comma}\"{}\"", cell.replace('"', "\"\""))?;
            } else {
                write!(self.out, "{comma}{cell}")?;
            }
        }
        writeln!(self.out)
    }
}

impl<W: Write> Rows for Csv<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.line(columns.iter().cloned())
    }

    fn row(&mut self, cells: &Cells<'_>) -> io::Result<()> {
        self.line(cells.iter().map(plain))
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// An array of objects a statement.
struct Json<W> {
    out: W,
    /// As JSON, each once.
    keys: Vec<String>,
    rows: usize,
}

impl<W: Write> Rows for Json<W> {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        self.keys.clear();
        for (at, name) in columns.iter().enumerate() {
            let again = columns[..at].iter().filter(|before| *before == name).count();
            let name = if again == 0 { name.clone() } else { format!("{name}:{again}") };
            self.keys.push(serde_json::to_string(&name)?);
        }
        self.rows = 0;
        write!(self.out, "[")
    }

    fn row(&mut self, cells: &Cells<'_>) -> io::Result<()> {
        write!(self.out, "{}", if self.rows == 0 { "\n{" } else { ",\n{" })?;
        self.rows += 1;
        for (at, (key, value)) in self.keys.iter().zip(cells.iter()).enumerate() {
            write!(self.out, "{}{key}:", if at == 0 { "" } else { "," })?;
            match value {
                ValueRef::Null => write!(self.out, "null")?,
                ValueRef::Integer(integer) => write!(self.out, "{integer}")?,
                // an infinite one is null
                ValueRef::Real(real) => serde_json::to_writer(&mut self.out, &real)?,
                value => serde_json::to_writer(&mut self.out, &plain(value))?,
            }
        }
        write!(self.out, "}}")
    }

    fn end(&mut self) -> io::Result<()> {
        writeln!(self.out, "{}", if self.rows == 0 { "]" } else { "\n]" })?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_wrote_does_not_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31m\nb\u{9b}ä"), "a\\u{1b}[31m\\nb\\u{9b}ä");
        assert_eq!(harmless("grün"), "grün");
    }
}
