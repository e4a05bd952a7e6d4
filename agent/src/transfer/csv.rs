//! CSV as RFC 4180 has it: `name,labels,time,value`. Kind and unit are guessed from the name when it is read; help, runs
//! and reset flags are not carried.

use super::{
    definitions::{Definitions, check_name, guessed, parse_labels},
    export::Row,
    import::{FileSample, Parsed, Parser},
    number::{Rfc3339, parse_value, write_value},
};
use std::borrow::Cow;

const HEADER: &str = "name,labels,time,value";

/// Writes lines.
#[derive(Debug, Default)]
pub(super) struct CsvWriter {
    times: Rfc3339,
}

impl CsvWriter {
    pub(super) fn begin(out: &mut String) {
        out.push_str(HEADER);
        out.push_str("\r\n");
    }

    pub(super) fn row(&mut self, out: &mut String, row: &Row<'_>) {
        out.push_str(&row.def.metric.name);
        out.push(',');
        if !row.def.labels.is_empty() {
            // labels have quotes always
            out.push('"');
            out.push_str(&row.def.labels.to_string().replace('"', "\"\""));
            out.push('"');
        }
        out.push(',');
        out.push_str(self.times.text(row.point.time));
        out.push(',');
        write_value(out, row.point.value);
        out.push_str("\r\n");
    }
}

/// Reads lines.
#[derive(Debug, Default)]
pub(super) struct CsvParser {
    header_seen: bool,
    times: Rfc3339,
    definitions: Definitions,
    key: String,
}

impl Parser for CsvParser {
    fn line(&mut self, line: &str) -> Result<Parsed, String> {
        if !self.header_seen {
            return self.skip(line).map(|()| Parsed::Nothing);
        }
        if line.is_empty() {
            return Ok(Parsed::Nothing);
        }
        let [name, labels, time, value] = fields(line)?;
        self.key.clear();
        self.key.push_str(&name);
        self.key.push_str(&labels);
        let series = match self.definitions.place(&self.key) {
            Some(known) => known,
            None => {
                check_name(&name)?;
                let labels = parse_labels(if labels.is_empty() { "{}" } else { &labels })?;
                self.definitions.add(&self.key, guessed(&name), labels)
            }
        };
        let (time, value) = (self.times.parse(&time)?, parse_value(&value)?);
        Ok(Parsed::Sample(FileSample { series, time, value, reset: false, run: None }))
    }

    fn skip(&mut self, line: &str) -> Result<(), String> {
        if !self.header_seen && line != HEADER {
            return Err(format!("the first line must be `{HEADER}`"));
        }
        self.header_seen = true;
        Ok(())
    }

    fn definitions(&self) -> &Definitions {
        &self.definitions
    }
}

/// The four fields of a line.
fn fields(line: &str) -> Result<[Cow<'_, str>; 4], String> {
    let mut fields: [Cow<'_, str>; 4] = Default::default();
    let mut rest = Some(line);
    for (at, field) in fields.iter_mut().enumerate() {
        let text = rest.ok_or_else(|| format!("has {at} fields, not four: {HEADER}"))?;
        (*field, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => match text.split_once(',') {
                Some((field, after)) => (field.into(), Some(after)),
                None => (text.into(), None),
            },
        };
    }
    match rest {
        None => Ok(fields),
        Some(_) => Err(format!("has more than four fields; {HEADER}, a field with a comma in quotes")),
    }
}

/// The field up to its closing quote, and what follows the comma behind it.
fn quoted_field(text: &str) -> Result<(Cow<'_, str>, Option<&str>), String> {
    let mut from = 0;
    while let Some(at) = text[from..].find('"').map(|at| from + at) {
        let behind = &text[at + 1..];
        if behind.starts_with('"') {
            from = at + 2;
            continue;
        }
        let field = if from == 0 { text[..at].into() } else { text[..at].replace("\"\"", "\"").into() };
        return match behind.strip_prefix(',') {
            Some(after) => Ok((field, Some(after))),
            None if behind.is_empty() => Ok((field, None)),
            None => Err("text follows a closing quote; write a quote within quotes twice".into()),
        };
    }
    Err("a quote is not closed on this line".into())
}
