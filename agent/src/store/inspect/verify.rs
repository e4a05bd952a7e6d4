//! Reads everything once, and says what can't be read. SQLite's own check does not see flipped bits within a blob, and
//! the blobs' checksums do not see a broken tree: both are looked at.

use crate::{
    model::{Labels, Timestamp},
    store::{
        codec::{Row, read_layout},
        error::{Failure, Inner, Result, StoreError, of},
        file, key,
        reader::Readers,
        types::Range,
    },
};
use rusqlite::{Connection, OptionalExtension, params};
use std::{collections::HashMap, path::Path};

/// Rows that are read in one transaction.
const ROWS: u32 = 500;
/// Bad rows that are told apart; the others are counted.
const TOLD: usize = 1000;
/// What SQLite's own check tells at most.
const SQLITE_TELLS: u32 = 100;

/// What was checked and what is bad.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The tables in the order in which they were checked.
    pub checked: Vec<Checked>,
    /// What is bad: the first thousand.
    pub bad: Vec<Bad>,
    /// How many more are bad.
    pub more_bad: u64,
}

/// A table that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its name.
    pub table: &'static str,
    /// How many rows of it were read.
    pub rows: u64,
}

/// Something that can't be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Bad {
    /// `file` for what SQLite itself finds, else the table.
    pub table: &'static str,
    /// The row's key.
    pub key: Option<i64>,
    /// What is wrong.
    pub why: String,
    /// The time that is lost with it, where it is about a time.
    pub time: Option<Range>,
}

impl Report {
    /// Whether nothing is bad.
    pub fn is_sound(&self) -> bool {
        self.bad.is_empty()
    }

    fn bad(&mut self, bad: Bad) {
        if self.bad.len() < TOLD {
            self.bad.push(bad);
        } else {
            self.more_bad += 1;
        }
    }
}

/// Checks a store. `progress` is told which table is being read, how many rows are done and about how many there are.
///
/// # Errors
/// Where it can't be opened at all: missing, foreign, newer, denied, or its very beginning damaged.
pub fn verify(file: &Path, progress: &mut dyn FnMut(&'static str, u64, u64)) -> Result<Report> {
    Readers::of_file(file)?;
    let file = file::resolve(file)?;
    let conn = file::open_reader(&file)?;
    let mut report = Report::default();
    progress("file", 0, 1);
    tree(&conn, &mut report).map_err(of(&file))?;
    for (table, check) in
        [("layout", layouts as Check), ("journal", journal), ("series", series), ("event", events)]
    {
        // a page that SQLite can't read ends its table, not the others
        let outcome = in_windows(&conn, table, check, &mut report, progress);
        match outcome.map_err(of(&file)) {
            Ok(()) => {}
            Err(StoreError::Corrupt { what, .. }) => {
                report.bad(Bad { table, key: None, why: what, time: None });
            }
            Err(other) => return Err(other),
        }
    }
    Ok(report)
}

/// What SQLite finds.
fn tree(conn: &Connection, report: &mut Report) -> Inner<()> {
    let mut check = conn.prepare(&format!("PRAGMA integrity_check({SQLITE_TELLS})"))?;
    let lines = check.query_map([], |row| row.get::<_, String>(0))?;
    for line in lines {
        let why = match line {
            Ok(line) if line == "ok" => continue,
            Ok(line) => line,
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                error.to_string()
            }
            Err(error) => return Err(error.into()),
        };
        report.bad(Bad { table: "file", key: None, why, time: None });
    }
    Ok(())
}

/// Checks the rows of a table after a key: how many, and the last one's key.
type Check = fn(&Connection, i64, &mut Report) -> Inner<(u64, i64)>;

fn in_windows(
    conn: &Connection,
    table: &'static str,
    check: Check,
    report: &mut Report,
    progress: &mut dyn FnMut(&'static str, u64, u64),
) -> Inner<()> {
    let all: i64 = conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
    let (mut rows, mut after) = (0, i64::MIN);
    loop {
        progress(table, rows, all.unsigned_abs());
        // rows and what they name must be of one state of the file
        let transaction = conn.unchecked_transaction()?;
        let (count, last) = check(&transaction, after, report)?;
        transaction.finish()?;
        rows += count;
        after = last;
        if count < u64::from(ROWS) {
            report.checked.push(Checked { table, rows });
            return Ok(());
        }
    }
}

fn layouts(conn: &Connection, after: i64, report: &mut Report) -> Inner<(u64, i64)> {
    let mut select =
        conn.prepare_cached("SELECT key, data FROM layout WHERE key > ?1 ORDER BY key LIMIT ?2")?;
    let mut rows = select.query(params![after, ROWS])?;
    let (mut count, mut last, mut ids) = (0, after, Vec::new());
    while let Some(row) = rows.next()? {
        (count, last) = (count + 1, row.get(0)?);
        if let Err(damage) = read_layout(blob(row, 1)?, last, &mut ids) {
            let (hour, _) = key::layout_parts(last);
            let time = span(key::hour_start(hour), key::hour_start(hour + 1) - 1);
            report.bad(Bad { table: "layout", key: Some(last), why: damage.to_string(), time });
        }
    }
    Ok((count, last))
}

fn journal(conn: &Connection, after: i64, report: &mut Report) -> Inner<(u64, i64)> {
    let mut select =
        conn.prepare_cached("SELECT key, n, data FROM journal WHERE key > ?1 ORDER BY key LIMIT ?2")?;
    let mut rows = select.query(params![after, ROWS])?;
    let (mut count, mut last) = (0, after);
    let mut layouts = Layouts { conn, known: HashMap::new() };
    while let Some(row) = rows.next()? {
        (count, last) = (count + 1, row.get(0)?);
        if let Err(why) = journal_row(last, row.get(1)?, blob(row, 2)?, &mut layouts)? {
            let millis = key::millis(last);
            let time = span(millis - key::SPREAD, millis);
            report.bad(Bad { table: "journal", key: Some(last), why, time });
        }
    }
    Ok((count, last))
}

/// How many series each layout has; nothing where it is damaged, which was told of already.
struct Layouts<'a> {
    conn: &'a Connection,
    known: HashMap<i64, Option<usize>>,
}

impl Layouts<'_> {
    /// The inner result: whether there is such a layout.
    fn length(&mut self, layout: i64) -> Inner<std::result::Result<Option<usize>, String>> {
        if let Some(known) = self.known.get(&layout) {
            return Ok(Ok(*known));
        }
        let mut select = self.conn.prepare_cached("SELECT data FROM layout WHERE key = ?1")?;
        let found: Option<Vec<u8>> = select.query_row([layout], |row| row.get(0)).optional()?;
        let Some(data) = found else { return Ok(Err("it names a layout that is not there".into())) };
        let mut ids = Vec::new();
        let length = read_layout(&data, layout, &mut ids).ok().map(|()| ids.len());
        self.known.insert(layout, length);
        Ok(Ok(length))
    }
}

/// Reads a row to the last value. The inner result: what is wrong with it.
fn journal_row(
    row_key: i64,
    n: i64,
    data: &[u8],
    layouts: &mut Layouts<'_>,
) -> Inner<std::result::Result<(), String>> {
    let row = match Row::open(data, row_key) {
        Ok(row) => row,
        Err(damage) => return Ok(Err(damage.to_string())),
    };
    let mut samples = 0;
    for batch in row {
        let read = batch.and_then(|batch| {
            batch.values_at(0..batch.count, |_, _, _| {})?;
            Ok(batch)
        });
        let batch = match read {
            Ok(batch) => batch,
            Err(damage) => return Ok(Err(damage.to_string())),
        };
        samples += batch.count as i64;
        match layouts.length(key::layout(key::hour(key::millis(row_key)), batch.layout))? {
            Err(why) => return Ok(Err(why)),
            Ok(Some(length)) if length != batch.count => {
                return Ok(Err(format!("a batch of {} samples names a layout of {length}", batch.count)));
            }
            Ok(_) => {}
        }
    }
    Ok(if samples == n { Ok(()) } else { Err(format!("it holds {samples} samples, and says {n}")) })
}

fn series(conn: &Connection, after: i64, report: &mut Report) -> Inner<(u64, i64)> {
    let mut select =
        conn.prepare_cached("SELECT id, labels FROM series WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    texts(&mut select, after, "series", report, |labels| match Labels::parse(labels) {
        Some(_) => None,
        None => Some(format!("its labels can't be read: {labels:?}")),
    })
}

fn events(conn: &Connection, after: i64, report: &mut Report) -> Inner<(u64, i64)> {
    let mut select =
        conn.prepare_cached("SELECT id, details FROM event WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    texts(&mut select, after, "event", report, |details| {
        let read = serde_json::from_str::<serde_json::Value>(details);
        read.err().map(|error| format!("its details are no JSON: {error}"))
    })
}

/// Checks the second column of rows after a key.
fn texts(
    select: &mut rusqlite::Statement<'_>,
    after: i64,
    table: &'static str,
    report: &mut Report,
    wrong: impl Fn(&str) -> Option<String>,
) -> Inner<(u64, i64)> {
    let mut rows = select.query(params![after, ROWS])?;
    let (mut count, mut last) = (0, after);
    while let Some(row) = rows.next()? {
        (count, last) = (count + 1, row.get(0)?);
        let why = match row.get_ref(1)?.as_str() {
            Ok(text) => wrong(text),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            report.bad(Bad { table, key: Some(last), why, time: None });
        }
    }
    Ok((count, last))
}

fn blob<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Inner<&'a [u8]> {
    row.get_ref(column)?.as_blob().map_err(|error| Failure::Sqlite(error.into()))
}

fn span(from: i64, to: i64) -> Option<Range> {
    Some(Range { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) })
}
