//! Deleting history: by time, exact to the sample; by retention and by size, part by part, in bounded steps.

use super::{
    Store,
    columns::{part_after, part_before},
    error::{Inner, Result, of},
    events, key,
    tables::Tables,
    types::{Deleted, Options, Tier},
    write::{delete_blobs, delete_blobs_between, delete_sealed, forget_places},
};
use crate::model::Timestamp;
use rusqlite::{Connection, params};
use std::time::Duration;

/// Gaps that one transaction deletes at most.
const ROWS: u32 = 2000;
/// Blocks and segments that one call of `expire` deletes at most of each.
const BLOBS_A_CALL: i64 = 16;
/// How long events are kept, if the retention of samples is not longer.
const EVENTS: Duration = Duration::from_secs(90 * 24 * 3600);
/// Events that one call of `expire` deletes at most.
const EVENTS_A_CALL: u32 = 500;
/// Bytes that are given back to the file system at once.
const BYTES_A_CALL: u64 = 2 << 20;
/// Milliseconds. What is stamped more than this later than now is of a wrong clock.
const DAY: i64 = 24 * 3_600_000;
/// Less free space than this is kept for what comes next.
const FREE_BYTES_KEPT: u64 = 4 << 20;

impl Store {
    /// Deletes samples that are strictly older, exactly, the roll-ups that begin before, and gaps that ended before.
    /// Events are kept: they have their own limit of 90 days.
    pub fn delete_before(&mut self, before: Timestamp) -> Result<Deleted> {
        let of = of(&self.file);
        let samples = self.samples.delete_before(&self.conn, key::storable(before)).map_err(of)?;
        while delete_gaps(&self.conn, before).map_err(of)? == ROWS as usize {}
        Ok(Deleted { samples })
    }

    /// Applies retention at this time; bounded work a call. To be called about once a minute. `trusted` is false while the
    /// clock jumped forward less than an hour ago: until it is true again, one such step is all that is deleted for its
    /// age, lest a wrong clock empties the store.
    pub fn expire(&mut self, now: Timestamp, trusted: bool) -> Result<Deleted> {
        // deletions are written to the log too
        if self.bound_log().is_err() {
            return Ok(Deleted::default());
        }
        self.suit_log().map_err(of(&self.file))?;
        self.untrusted_step &= !trusted;
        let mut deleted = Deleted::default();
        if !self.untrusted_step {
            deleted = self.outlived(now).map_err(of(&self.file))?;
            self.untrusted_step = !trusted && deleted.samples > 0;
        }
        if deleted.samples == 0 {
            deleted = self.oversized(now, trusted).map_err(of(&self.file))?;
        }
        if trusted {
            let before = now.minus(EVENTS.max(self.options.retention.raw));
            events::delete_before(&self.conn, before, EVENTS_A_CALL).map_err(of(&self.file))?;
        }
        // on a full disk others would take what is given back
        if self.disk_full().is_none() {
            give_back(&self.conn, self.options.max_size).map_err(of(&self.file))?;
            self.restore_reserve();
        }
        if deleted.samples > 0 {
            self.samples.deleted();
        }
        self.samples.idle(&self.conn).map_err(of(&self.file))?;
        Ok(deleted)
    }

    /// How much of the history is kept, and how safely, from now on; the file stays. The reserve for a full disk keeps
    /// the size that it had at the start.
    pub fn set_options(&mut self, options: &Options) {
        self.options.retention = options.retention;
        self.options.max_loss = options.max_loss;
        self.options.max_size = options.max_size;
    }

    /// Deletes some of the oldest part, if all of it outlived the retention of its tier. Segments stay until they are
    /// sealed: what is not rolled up yet would be lost for the coarser tiers, too.
    fn outlived(&mut self, now: Timestamp) -> Inner<Deleted> {
        let retention = self.options.retention;
        let mut samples = 0;
        for (tier, keep) in
            [(Tier::Raw, retention.raw), (Tier::Minute, retention.minute), (Tier::Hour, retention.hour)]
        {
            let limit = key::storable(now.minus(keep));
            let below = key::block(key::part(tier, limit), 0);
            let (blobs, count) = match oldest_block(&self.conn, tier)?.filter(|oldest| *oldest < below) {
                Some(oldest) => {
                    let (part, _) = key::part_and_group(oldest);
                    delete_sealed(&self.conn, tier, key::block(part + 1, 0), BLOBS_A_CALL)?
                }
                None => continue,
            };
            samples += count;
            if tier == Tier::Hour && blobs > 0 {
                delete_gaps(&self.conn, Timestamp::from_millis(limit))?;
            }
            if tier == Tier::Raw && blobs > 0 {
                // by what is there, not by a clock that may be wrong: without its place nothing is found
                if let Some(oldest) = oldest_of_all(&self.conn)? {
                    forget_places(&self.conn, oldest)?;
                }
            }
        }
        Ok(Deleted { samples })
    }

    /// Deletes some samples where the file is too large: what a wrong clock stamped more than a day into the future first,
    /// as it would never be the oldest, then the oldest, then the oldest roll-ups.
    fn oversized(&mut self, now: Timestamp, trusted: bool) -> Inner<Deleted> {
        let pages = Pages::of(&self.conn)?;
        if pages.bytes() - pages.free_bytes() <= self.options.max_size {
            return Ok(Deleted::default());
        }
        let tomorrow = key::storable(now).saturating_add(DAY).min(key::FARTHEST);
        for tier in Tier::ALL.into_iter().filter(|_| trusted) {
            let first = key::part(tier, tomorrow) + 1;
            if let Some(part) = part_after(&self.conn, tier, first)? {
                let range = (key::block(part, 0), key::block(part + 1, 0));
                let (_, samples) = delete_blobs_between(&self.conn, tier, range, BLOBS_A_CALL)?;
                return Ok(Deleted { samples });
            }
        }
        self.drop_oldest()
    }

    /// Deletes some of the oldest samples; where only those of the last two hours are left, of the oldest roll-ups; then
    /// the oldest quarter of all; events only where there is nothing else.
    pub(super) fn drop_oldest(&mut self) -> Inner<Deleted> {
        for tier in Tier::ALL {
            if let Some(part) = oldest_of_several(&self.conn, tier)? {
                let (_, samples) = delete_blobs(&self.conn, tier, key::block(part + 1, 0), BLOBS_A_CALL)?;
                return Ok(Deleted { samples });
            }
        }
        let extent = self.samples.extent(&self.conn)?;
        let samples = match extent {
            Some((oldest, newest)) => {
                self.samples.delete_before(&self.conn, oldest + (newest - oldest) / 4 + 1)?
            }
            None => 0,
        };
        if samples == 0 {
            events::delete_before(&self.conn, Timestamp::from_millis(i64::MAX), EVENTS_A_CALL)?;
        }
        Ok(Deleted { samples })
    }
}

/// The oldest part of a tier that has more than one.
fn oldest_of_several(conn: &Connection, tier: Tier) -> Inner<Option<i64>> {
    let (oldest, newest) = (oldest(conn, tier)?, part_before(conn, tier, i64::MAX)?);
    Ok(oldest.filter(|_| oldest < newest))
}

/// The key of the oldest block of a tier.
fn oldest_block(conn: &Connection, tier: Tier) -> Inner<Option<i64>> {
    let [_, oldest] = Tables::of(tier).oldest;
    Ok(conn.prepare_cached(oldest)?.query_row([i64::MIN], |row| row.get(0))?)
}

/// The oldest part of a tier.
fn oldest(conn: &Connection, tier: Tier) -> Inner<Option<i64>> {
    part_after(conn, tier, i64::MIN)
}

/// The part of the finest tier in which the oldest of all data is; nothing of an empty store.
fn oldest_of_all(conn: &Connection) -> Inner<Option<i64>> {
    let mut all = Vec::new();
    for tier in Tier::ALL {
        all.extend(oldest(conn, tier)?.map(|part| key::part(Tier::Raw, key::part_start(tier, part))));
    }
    Ok(all.into_iter().min())
}

fn delete_gaps(conn: &Connection, before: Timestamp) -> Inner<usize> {
    let mut delete =
        conn.prepare_cached("DELETE FROM gap WHERE id IN (SELECT id FROM gap WHERE last < ?1 LIMIT ?2)")?;
    Ok(delete.execute(params![before.as_millis(), ROWS])?)
}

/// The pages of the file.
pub(super) struct Pages {
    all: u64,
    free: u64,
    /// Bytes.
    size: u64,
}

impl Pages {
    pub(super) fn of(conn: &Connection) -> Inner<Self> {
        let number = |pragma| -> Inner<u64> {
            let pages: i64 = conn.prepare_cached(pragma)?.query_row([], |row| row.get(0))?;
            Ok(pages.unsigned_abs())
        };
        let (all, free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
        Ok(Self { all, free: free.min(all), size: number("PRAGMA page_size")?.max(512) })
    }

    /// Bytes of all.
    pub(super) fn bytes(&self) -> u64 {
        self.all * self.size
    }

    /// Bytes of the free ones.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free * self.size
    }
}

/// Shrinks the file where far more of it is free than new samples will soon take, or where it is too large.
fn give_back(conn: &Connection, max_size: u64) -> Inner<()> {
    let pages = Pages::of(conn)?;
    let plenty = pages.free_bytes() > FREE_BYTES_KEPT.max(pages.bytes() / 4);
    if pages.free > 0 && (plenty || pages.bytes() > max_size) {
        let mut vacuum =
            conn.prepare_cached(&format!("PRAGMA incremental_vacuum({})", BYTES_A_CALL / pages.size))?;
        // a row a page
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}
