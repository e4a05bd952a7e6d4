//! Looking at a store as a whole: what it holds, and whether all of it can be read. Both read only, also next to a
//! running agent, and in short transactions where they read much.

mod verify;

pub use verify::{Bad, Checked, Report, verify};

use super::{
    columns::{part_after, part_before},
    error::{Inner, Result},
    file::{self, beside},
    holder::{self, Holder},
    key,
    reader::{Reader, Readers},
    schema,
    tables::Tables,
    types::{Range, Tier},
    write::journal_from,
};
use crate::model::{SeriesId, Timestamp};
use rusqlite::Connection;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// A series is alive if it has a sample of the last hour of the history.
const ALIVE: Duration = Duration::from_secs(3600);

/// What a store holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The file, without links.
    pub file: PathBuf,
    /// The format of its tables.
    pub format: u32,
    /// Bytes of a page.
    pub page_size: u64,
    /// Pages of the file, the write-ahead log included.
    pub pages: u64,
    /// Of these, pages that nothing uses now.
    pub free_pages: u64,
    /// Bytes of the file itself.
    pub file_bytes: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Series that were ever stored.
    pub series: u64,
    /// Series with a sample in the last hour of the history.
    pub live_series: u64,
    /// What is kept how fine; the finest first.
    pub tiers: Vec<TierInfo>,
    /// The newest sample's time, about.
    pub last_commit: Option<Timestamp>,
    /// The process that writes it now.
    pub holder: Option<Holder>,
}

/// What one tier holds.
#[derive(Clone, Debug, PartialEq)]
pub struct TierInfo {
    /// Which.
    pub tier: Tier,
    /// Samples, or roll-ups.
    pub samples: u64,
    /// Bytes of its tables.
    pub bytes: u64,
    /// The oldest time; nothing where the tier is empty.
    pub oldest: Option<Timestamp>,
    /// The newest time.
    pub newest: Option<Timestamp>,
}

impl Info {
    /// Bytes that are in use for each raw sample, all tiers and tables included; nothing without samples.
    pub fn bytes_per_sample(&self) -> Option<f64> {
        let samples = self.tiers.iter().find(|tier| tier.tier == Tier::Raw)?.samples;
        let used = self.pages.saturating_sub(self.free_pages) * self.page_size;
        (samples > 0).then(|| used as f64 / samples as f64)
    }
}

/// Looks at a store.
///
/// # Errors
/// A file that isn't there, isn't ours, is newer, or can't be read.
pub fn info(file: &Path) -> Result<Info> {
    let readers = Readers::of_file(file)?;
    let file = file::resolve(file)?;
    let reader = readers.reader()?;
    let ids: Vec<SeriesId> = reader.all_series()?.into_iter().map(|series| series.id).collect();
    let last_commit = reader.extent()?.map(|extent| extent.to);
    let length = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    Ok(Info {
        format: reader.ask(|conn| Ok(schema::version(conn)?))?,
        page_size: reader.ask(|conn| number(conn, "PRAGMA page_size"))?,
        pages: reader.ask(|conn| number(conn, "PRAGMA page_count"))?,
        free_pages: reader.ask(|conn| number(conn, "PRAGMA freelist_count"))?,
        file_bytes: length(&file),
        wal_bytes: length(&beside(&file, "-wal")),
        series: ids.len() as u64,
        live_series: alive(&reader, &ids, last_commit)?,
        tiers: tiers(&reader)?,
        last_commit,
        holder: holder::writer(&file),
        file,
    })
}

fn number(conn: &Connection, sql: &str) -> Inner<u64> {
    Ok(conn.query_row(sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

/// How many series have a sample in the last hour.
fn alive(reader: &Reader, ids: &[SeriesId], newest: Option<Timestamp>) -> Result<u64> {
    let Some(to) = newest else { return Ok(0) };
    let found = reader.last_of_many(ids, Range { from: to.minus(ALIVE), to }, 1)?;
    Ok(found.iter().filter(|points| !points.is_empty()).count() as u64)
}

/// All tiers that the format has.
fn tiers(reader: &Reader) -> Result<Vec<TierInfo>> {
    let extent = reader.extent()?;
    let each = Tier::ALL.into_iter().map(|tier| {
        let mut info = reader.ask(|conn| stored(conn, tier))?;
        if tier == Tier::Raw {
            info.samples += reader.ask(journal_samples)?;
            info.bytes += reader.ask(|conn| table_bytes(conn, &["journal"]))?;
            (info.oldest, info.newest) = (extent.map(|extent| extent.from), extent.map(|extent| extent.to));
        }
        Ok(info)
    });
    each.collect()
}

/// The samples of the journal that are not in segments.
fn journal_samples(conn: &Connection) -> Inner<u64> {
    let from = journal_from(conn)?;
    number(conn, &format!("SELECT coalesce(sum(n), 0) FROM journal WHERE key >= {from}"))
}

/// What the segments and blocks of a tier hold; times to the part.
fn stored(conn: &Connection, tier: Tier) -> Inner<TierInfo> {
    let names = Tables::of(tier).names;
    let mut samples = 0;
    for name in names {
        samples += number(conn, &format!("SELECT coalesce(sum(n), 0) FROM {name}"))?;
    }
    let time = |part: Option<i64>, past: i64| {
        part.map(|part| Timestamp::from_millis(key::part_start(tier, part + past) - past))
    };
    Ok(TierInfo {
        tier,
        samples,
        bytes: table_bytes(conn, &names)?,
        oldest: time(part_after(conn, tier, i64::MIN)?, 0),
        newest: time(part_before(conn, tier, i64::MAX)?, 1),
    })
}

/// The bytes of all pages of these tables.
fn table_bytes(conn: &Connection, tables: &[&str]) -> Inner<u64> {
    let mut select =
        conn.prepare("SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = ?1 AND aggregate = TRUE")?;
    tables.iter().try_fold(0, |sum, table| {
        let bytes: i64 = select.query_row([table], |row| row.get(0))?;
        Ok(sum + bytes.unsigned_abs())
    })
}
