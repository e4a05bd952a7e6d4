//! Reads everything once, and says what can't be read. SQLite's own check does not see flipped bits within a blob, and
//! the blobs' checksums do not see a broken tree: both are looked at.

use crate::{
    model::{Labels, Timestamp},
    store::{
        codec::{BlockHead, Content, Damage, JournalDecoder, Samples},
        error::{Failure, Inner, Result, StoreError, of},
        file, key,
        merge::read_rollups,
        reader::Readers,
        tables::Tables,
        types::{Range, Tier},
        write::journal_from,
    },
};
use rusqlite::{Connection, params};
use std::path::Path;

/// Rows that are read in one transaction.
const ROWS: u32 = 500;
/// Blobs that are read in one transaction.
const BLOBS: u32 = 32;
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
    let mut checks: Vec<(&'static str, u32, Box<Check>)> = vec![("journal", u32::MAX, Box::new(journal))];
    for tier in Tier::ALL {
        for table in Tables::of(tier).names {
            let check =
                move |conn: &Connection, after, report: &mut Report| blobs(conn, tier, table, after, report);
            checks.push((table, BLOBS, Box::new(check)));
        }
    }
    checks.push(("series", ROWS, Box::new(series)));
    checks.push(("event", ROWS, Box::new(events)));
    for (table, at_once, check) in checks {
        // a page that SQLite can't read ends its table, not the others
        let outcome = in_windows(&conn, (table, at_once), &check, &mut report, progress);
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
type Check = dyn Fn(&Connection, i64, &mut Report) -> Inner<(u64, i64)>;

fn in_windows(
    conn: &Connection,
    (table, at_once): (&'static str, u32),
    check: &Check,
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
        if count < u64::from(at_once) {
            report.checked.push(Checked { table, rows });
            return Ok(());
        }
    }
}

/// The journal as a whole: its rows need one another, and there are never many.
fn journal(conn: &Connection, after: i64, report: &mut Report) -> Inner<(u64, i64)> {
    let mut select = conn.prepare("SELECT key, n, data FROM journal WHERE key > ?1 ORDER BY key")?;
    // what is before is in segments, and its chains may be broken
    let mut rows = select.query([after.max(journal_from(conn)? - 1)])?;
    let (mut count, mut last, mut decoder) = (0, after, JournalDecoder::default());
    while let Some(row) = rows.next()? {
        (count, last) = (count + 1, row.get(0)?);
        let mut samples = 0;
        let read = decoder.read(blob(row, 2)?, last, |_, batch| samples += batch.samples.len() as i64);
        let n: i64 = row.get(1)?;
        let why = match read {
            Err(damage) => damage.to_string(),
            Ok(_) if samples != n => format!("it holds {samples} samples, and says {n}"),
            Ok(_) => continue,
        };
        report.bad(Bad { table: "journal", key: Some(last), why, time: None });
    }
    Ok((count, last))
}

/// The segments or blocks of a tier after a key.
fn blobs(
    conn: &Connection,
    tier: Tier,
    table: &'static str,
    after: i64,
    report: &mut Report,
) -> Inner<(u64, i64)> {
    let mut select = conn.prepare_cached(&format!(
        "SELECT key, n, data FROM {table} WHERE key > ?1 ORDER BY key LIMIT {BLOBS}"
    ))?;
    let mut rows = select.query([after])?;
    let (mut count, mut last) = (0, after);
    while let Some(row) = rows.next()? {
        (count, last) = (count + 1, row.get(0)?);
        if let Err(why) = whole_blob(tier, last, row.get(1)?, blob(row, 2)?) {
            let start = key::part_start(tier, key::part_and_group(last).0);
            let time = span(start, start + key::part_width(tier) - 1);
            report.bad(Bad { table, key: Some(last), why, time });
        }
    }
    Ok((count, last))
}

/// Reads a blob to the last value.
fn whole_blob(tier: Tier, key: i64, n: i64, data: &[u8]) -> std::result::Result<(), String> {
    let told = |damage: Damage| damage.to_string();
    let head = BlockHead::read(data, data.len(), key).map_err(told)?;
    let content = if tier == Tier::Raw { Content::Samples } else { Content::Rollups };
    if head.content != content {
        return Err("it belongs to another tier".into());
    }
    let (mut found, mut samples) = (0, Samples::default());
    for column in &head.columns {
        let of_series = |damage: Damage| format!("series {}: {damage}", column.series);
        let body = head.body(column, data).map_err(of_series)?;
        let (rows, count) = (head.rows.len(), column.count as usize);
        match tier {
            Tier::Raw => samples.decode(body, rows, count).map_err(of_series)?,
            Tier::Minute | Tier::Hour => drop(read_rollups(body, rows, count).map_err(of_series)?),
        }
        found += i64::from(column.count);
    }
    if found == n { Ok(()) } else { Err(format!("it holds {found} samples, and says {n}")) }
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
