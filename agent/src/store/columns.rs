//! Finding the columns of a series in blocks and segments. Of a block only its head and the one column are read.

use super::{
    codec::{BlockHead, Column, Damage, PREFIX, lengths},
    error::Inner,
    key,
    reader::DamageLog,
    tables::Tables,
    types::Tier,
};
use rusqlite::{Connection, MAIN_DB, OptionalExtension, blob::Blob};

/// The head of most blocks is not longer than this, and so read at once.
const HEAD: usize = 1500;

/// Reads columns of one tier, within one transaction.
pub(super) struct Columns<'a> {
    conn: &'a Connection,
    tier: Tier,
    damages: &'a DamageLog,
    blob: Option<Blob<'a>>,
    bytes: Vec<u8>,
    body: Vec<u8>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(conn: &'a Connection, tier: Tier, damages: &'a DamageLog) -> Self {
        Self { conn, tier, damages, blob: None, bytes: Vec::new(), body: Vec::new() }
    }

    /// Gives each column of a series that a group has in a part: that of the block first. A column that can't be read is
    /// noted and skipped. Whether there was a block, and a segment, whosever columns they have.
    pub(super) fn each(
        &mut self,
        part: i64,
        group: u32,
        series: u32,
        mut give: impl FnMut(&BlockHead, &Column, &[u8]) -> Result<(), Damage>,
    ) -> Inner<Found> {
        let key = key::block(part, group);
        let is_block = self.block(key, series, &mut give)?;
        let mut select = self.conn.prepare_cached(Tables::of(self.tier).segments)?;
        let mut rows = select.query([key, key::last_segment(part, group)])?;
        let mut is_segment = false;
        while let Some(row) = rows.next()? {
            is_segment = true;
            let key: i64 = row.get(0)?;
            let blob = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let outcome = BlockHead::read(blob, blob.len(), key).and_then(|head| {
                let Some(column) = head.find(series) else { return Ok(()) };
                give(&head, column, head.body(column, blob)?)
            });
            if let Err(damage) = outcome {
                self.damages.note("segment", key, damage);
            }
        }
        Ok(Found { block: is_block, segment: is_segment })
    }

    fn block(
        &mut self,
        key: i64,
        series: u32,
        give: &mut impl FnMut(&BlockHead, &Column, &[u8]) -> Result<(), Damage>,
    ) -> Inner<bool> {
        let mut select = self.conn.prepare_cached(Tables::of(self.tier).block_length)?;
        let length: Option<i64> = select.query_row([key], |row| row.get(0)).optional()?;
        let Some(length) = length else { return Ok(false) };
        match &mut self.blob {
            Some(blob) => blob.reopen(key)?,
            None => {
                let [_, table] = Tables::of(self.tier).names;
                self.blob = Some(self.conn.blob_open(MAIN_DB, table, "data", key, true)?);
            }
        }
        if let Err(damage) = self.read(key, length.unsigned_abs() as usize, series, give)? {
            self.damages.note("block", key, damage);
        }
        Ok(true)
    }

    fn read(
        &mut self,
        key: i64,
        length: usize,
        series: u32,
        give: &mut impl FnMut(&BlockHead, &Column, &[u8]) -> Result<(), Damage>,
    ) -> Inner<Result<(), Damage>> {
        let Self { blob: Some(blob), bytes, body, .. } = self else { return Ok(Ok(())) };
        let head = match read_head(blob, bytes, length, key)? {
            Ok(head) => head,
            Err(damage) => return Ok(Err(damage)),
        };
        let Some(column) = head.find(series) else { return Ok(Ok(())) };
        body.resize(column.length, 0);
        blob.read_at_exact(body, column.at)?;
        Ok(head.check(column, body).and_then(|()| give(&head, column, body)))
    }
}

/// What there was of a group in a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) block: bool,
    pub(super) segment: bool,
}

/// The part of the key that a statement gives, which is asked about the keys from a part's first on, or those before it.
fn part_of(conn: &Connection, sql: &str, part: i64) -> Inner<Option<i64>> {
    // beyond all parts that there can be, and within what a key can hold
    const FARTHEST: i64 = 1 << 34;
    let first = key::block(part.clamp(-FARTHEST, FARTHEST), 0);
    let key: Option<i64> = conn.prepare_cached(sql)?.query_row([first], |row| row.get(0))?;
    Ok(key.map(|key| key::part_and_group(key).0))
}

/// The newest part of a tier that has anything and is not newer than this one.
pub(super) fn part_before(conn: &Connection, tier: Tier, part: i64) -> Inner<Option<i64>> {
    let [segment, block] = Tables::of(tier).newest;
    let after = part.saturating_add(1);
    Ok(part_of(conn, segment, after)?.max(part_of(conn, block, after)?))
}

/// The oldest part of a tier that has anything and is not older than this one.
pub(super) fn part_after(conn: &Connection, tier: Tier, part: i64) -> Inner<Option<i64>> {
    let [segment, block] = Tables::of(tier).oldest;
    let found = [part_of(conn, segment, part)?, part_of(conn, block, part)?];
    Ok(found.into_iter().flatten().min())
}

/// Whether a group has a segment in a part.
pub(super) fn has_segment(conn: &Connection, tier: Tier, part: i64, group: u32) -> Inner<bool> {
    let mut select = conn.prepare_cached(Tables::of(tier).oldest[0])?;
    let key: Option<i64> = select.query_row([key::block(part, group)], |row| row.get(0))?;
    Ok(key.is_some_and(|key| key <= key::last_segment(part, group)))
}

/// The oldest part of a tier that has segments and is not older than this one.
pub(super) fn segment_part_after(conn: &Connection, tier: Tier, part: i64) -> Inner<Option<i64>> {
    part_of(conn, Tables::of(tier).oldest[0], part)
}

/// The time of the newest row of a part, of which only the heads are read; its end where one of them can't be.
pub(super) fn newest_row(conn: &Connection, tier: Tier, part: i64) -> Inner<i64> {
    let end = key::part_start(tier, part + 1) - 1;
    let mut newest = i64::MIN;
    let mut bytes = Vec::new();
    for table in Tables::of(tier).names {
        let mut select =
            conn.prepare_cached(&format!("SELECT key FROM {table} WHERE key BETWEEN ?1 AND ?2"))?;
        let mut rows = select.query([key::block(part, 0), key::last_segment(part, key::GROUPS - 1)])?;
        let mut blob: Option<Blob<'_>> = None;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            let blob = match &mut blob {
                Some(blob) => {
                    blob.reopen(key)?;
                    blob
                }
                None => blob.insert(conn.blob_open(MAIN_DB, table, "data", key, true)?),
            };
            let length = blob.len();
            let Ok(head) = read_head(blob, &mut bytes, length, key)? else { return Ok(end) };
            newest = newest.max(head.rows.times.iter().copied().max().unwrap_or(i64::MIN));
        }
    }
    Ok(newest)
}

/// Reads the head of a blob.
fn read_head(
    blob: &Blob<'_>,
    bytes: &mut Vec<u8>,
    length: usize,
    key: i64,
) -> Inner<Result<BlockHead, Damage>> {
    bytes.resize(HEAD.min(length), 0);
    blob.read_at_exact(bytes, 0)?;
    let head = match lengths(bytes) {
        Ok((head, _)) if head > length || length < PREFIX => return Ok(Err(Damage::Truncated)),
        Ok((head, _)) => head,
        Err(damage) => return Ok(Err(damage)),
    };
    if head > bytes.len() {
        let known = bytes.len();
        bytes.resize(head, 0);
        blob.read_at_exact(&mut bytes[known..], known)?;
    }
    Ok(BlockHead::read(bytes, length, key))
}
