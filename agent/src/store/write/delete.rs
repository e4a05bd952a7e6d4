//! Deleting samples: exactly, by time; and whole parts, by age.

use super::SampleWriter;
use crate::store::{
    blobs, codec::Samples, error::Inner, key, merge::Source, reader::DamageLog, tables::Tables,
    transaction::Transaction, types::Tier,
};
use rusqlite::{Connection, params};
use std::sync::PoisonError;

/// Blobs that one transaction deletes at most.
const BLOBS: i64 = 64;

impl SampleWriter {
    /// Deletes the samples and roll-ups that are older. Gives the count of the samples.
    pub(in super::super) fn delete_before(&mut self, conn: &Connection, before: i64) -> Inner<u64> {
        if self.head_reaches(before) {
            self.flush_all(conn)?;
            self.forget_rows();
        }
        self.sealer.forget();
        let mut samples = 0;
        // the coarsest first: what is left of a roll-up is made again of the finer ones
        for tier in Tier::ALL.into_iter().rev() {
            let part = key::part(tier, before);
            loop {
                let (blobs, count) = delete_blobs(conn, tier, key::block(part, 0), BLOBS)?;
                samples += count;
                if blobs == 0 {
                    break;
                }
            }
            if before == key::part_start(tier, part) {
                continue;
            }
            for group in groups(conn, tier, part)? {
                let transaction = Transaction::begin(conn)?;
                if tier == Tier::Raw {
                    samples += older(&transaction, part, group, before, &self.damages)?;
                }
                self.sealer.rewrite(&transaction, (tier, part, group), before, &self.damages)?;
                transaction.commit()?;
            }
        }
        if let Some(part) = self.part {
            self.sealer.seal_below(part);
        }
        forget_places(conn, key::part(Tier::Raw, before))?;
        Ok(samples)
    }

    /// Between which times all samples lie, about.
    pub(in super::super) fn extent(&self, conn: &Connection) -> Inner<Option<(i64, i64)>> {
        let in_head = self.read().extent();
        let extent = super::super::history::extent(conn, in_head)?;
        Ok(extent.map(|extent| (extent.from.as_millis(), extent.to.as_millis())))
    }

    /// Whether the head has rows of before.
    fn head_reaches(&self, before: i64) -> bool {
        let head = self.read();
        let oldest = |group: &super::super::head::Group| {
            [group.frozen.oldest(), group.current.oldest()].into_iter().flatten().min()
        };
        head.groups().filter_map(oldest).min().is_some_and(|oldest| oldest < before)
    }

    /// Lets the rows of the head go, which are all in segments.
    fn forget_rows(&mut self) {
        let mut head = self.head.write().unwrap_or_else(PoisonError::into_inner);
        head.freeze();
        head.freeze();
    }
}

/// Forgets the places that were left before a part of the finest tier.
pub(in super::super) fn forget_places(conn: &Connection, part: i64) -> Inner<()> {
    conn.execute("DELETE FROM place WHERE last_part < ?1", [part])?;
    Ok(())
}

/// Deletes a number of the oldest segments and blocks of a tier whose key is smaller. Gives how many, and the samples they
/// had: none of roll-ups. One transaction.
pub(in super::super) fn delete_blobs(
    conn: &Connection,
    tier: Tier,
    below: i64,
    most: i64,
) -> Inner<(u64, u64)> {
    delete_blobs_between(conn, tier, (i64::MIN, below), most)
}

/// The same of blocks alone.
pub(in super::super) fn delete_sealed(
    conn: &Connection,
    tier: Tier,
    below: i64,
    most: i64,
) -> Inner<(u64, u64)> {
    let [_, block] = Tables::of(tier).names;
    delete(conn, tier, &[block], (i64::MIN, below), most)
}

/// The same of those whose key is not smaller than the first and smaller than the second.
pub(in super::super) fn delete_blobs_between(
    conn: &Connection,
    tier: Tier,
    range: (i64, i64),
    most: i64,
) -> Inner<(u64, u64)> {
    delete(conn, tier, &Tables::of(tier).names, range, most)
}

fn delete(
    conn: &Connection,
    tier: Tier,
    tables: &[&'static str],
    (from, below): (i64, i64),
    most: i64,
) -> Inner<(u64, u64)> {
    let transaction = Transaction::begin(conn)?;
    let (mut blobs, mut samples) = (0, 0);
    for table in tables {
        let oldest = format!("SELECT key, n FROM {table} WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3");
        let (count, sum, last): (i64, i64, Option<i64>) = transaction
            .prepare_cached(&format!("SELECT count(*), coalesce(sum(n), 0), max(key) FROM ({oldest})"))?
            .query_row(params![from, below, most], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        if let Some(last) = last {
            let delete = format!("DELETE FROM {table} WHERE key BETWEEN ?1 AND ?2");
            transaction.prepare_cached(&delete)?.execute([from, last])?;
        }
        blobs += count.unsigned_abs();
        if tier == Tier::Raw {
            samples += sum.unsigned_abs();
        }
    }
    transaction.commit()?;
    Ok((blobs, samples))
}

/// The groups that have something in a part.
fn groups(conn: &Connection, tier: Tier, part: i64) -> Inner<Vec<u32>> {
    let [segment, block] = Tables::of(tier).names;
    let mut select = conn.prepare_cached(&format!(
        "SELECT key FROM {segment} WHERE key BETWEEN ?1 AND ?2 UNION SELECT key FROM {block} WHERE key BETWEEN ?1 AND ?2"
    ))?;
    let mut rows = select.query([key::block(part, 0), key::last_segment(part, key::GROUPS - 1)])?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        groups.push(key::part_and_group(row.get(0)?).1);
    }
    groups.dedup();
    Ok(groups)
}

/// How many samples of a group in a part are older.
fn older(conn: &Connection, part: i64, group: u32, before: i64, damages: &DamageLog) -> Inner<u64> {
    let mut found = 0;
    let mut samples = Samples::default();
    for Source { head, blob } in blobs::of_group(conn, Tier::Raw, part, group, damages)? {
        let count = head.rows.times.partition_point(|time| *time < before);
        for column in &head.columns {
            let body = head.body(column, &blob);
            let decoded = body.and_then(|body| samples.decode(body, head.rows.len(), column.count as usize));
            if decoded.is_ok() {
                found += samples.iter().filter(|(row, ..)| *row < count).count() as u64;
            }
        }
    }
    Ok(found)
}
