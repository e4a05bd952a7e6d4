//! Which series are in which group, from which part of time to which: what readers need to find them. Written with the
//! segments that make it so.

use super::super::{
    error::{Failure, Inner},
    head::{Group, Head, Slot},
    key,
    types::Tier,
};
use rusqlite::{Connection, params};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// How many places one commit closes at most.
const CLOSED_A_COMMIT: usize = 256;

/// A series in its group.
#[derive(Clone, Copy, Debug)]
struct Stay {
    group: u32,
    /// The first part of which a segment was written; nothing while none was.
    first: Option<i64>,
    /// The last part of which it had samples.
    seen: i64,
}

/// A place that a series has left, and that is still open in the file.
#[derive(Clone, Copy, Debug)]
struct Left {
    first: i64,
    /// The last part of which the series may have samples there.
    last: i64,
}

/// A series and the group that it left.
type SeriesAndGroup = (u32, u32);

/// What a segment changes, once it is committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stayed {
    series: u32,
    group: u32,
    part: i64,
}

/// Where all living series are.
#[derive(Debug, Default)]
pub(super) struct Places {
    stays: HashMap<u32, Stay>,
    left: BTreeMap<SeriesAndGroup, Left>,
    /// Those that the open transaction closes.
    closing: Vec<SeriesAndGroup>,
    /// No series has had samples of a later part: a place that is left ends here, lest it hides what a series had there
    /// before it came back with late samples.
    newest: i64,
}

impl Places {
    /// Reads the places that were not left, and puts their series into the head. `part`: the newest one.
    pub(super) fn load(conn: &Connection, head: &mut Head, part: i64) -> Inner<Self> {
        let known: Option<i64> = conn.query_row("SELECT max(last_part) FROM place", [], |row| row.get(0))?;
        let mut places = Self { newest: known.map_or(part, |known| known.max(part)), ..Self::default() };
        let mut select = conn.prepare(
            "SELECT place.series, place.grp, place.first_part, series.collector FROM place
             JOIN series ON series.id = place.series WHERE place.last_part IS NULL
             ORDER BY place.first_part DESC, place.grp",
        )?;
        let mut rows = select.query([])?;
        let mut names: HashSet<Arc<str>> = HashSet::new();
        while let Some(row) = rows.next()? {
            let (series, group, first): (u32, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let collector = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
            let collector = names.get(collector).cloned().unwrap_or_else(|| collector.into());
            names.insert(collector.clone());
            // a series that was moved just before the end may have left one place unknown to the file
            let taken = head.group(group).is_some_and(|group| *group.collector != *collector);
            let free = if taken { None } else { head.free_slot_of(group) };
            match free.filter(|_| !places.stays.contains_key(&series)) {
                Some(slot) => {
                    head.put(series, slot, &collector);
                    places.stays.insert(series, Stay { group, first: Some(first), seen: part });
                }
                None => drop(places.left.insert((series, group), Left { first, last: places.newest })),
            }
        }
        Ok(places)
    }

    /// A new series has a slot, or one that is back: its place may not be closed in the file yet, and then stays open.
    fn enter(&mut self, series: u32, group: u32, part: i64) {
        self.newest = self.newest.max(part);
        let first = self.left.remove(&(series, group)).map(|left| left.first);
        self.stays.insert(series, Stay { group, first, seen: part });
    }

    /// Gives a series of a collector its slot.
    pub(super) fn settle(
        &mut self,
        head: &mut Head,
        series: u32,
        collector: &Arc<str>,
        part: i64,
    ) -> Inner<Slot> {
        let slot = head.free_slot(collector).ok_or(Failure::Exhausted("group of series"))?;
        head.put(series, slot, collector);
        self.enter(series, slot.group, part);
        Ok(slot)
    }

    /// Notes in the file that these series have samples in a segment of a part.
    pub(super) fn write(
        &self,
        conn: &Connection,
        group: u32,
        part: i64,
        series: &[u32],
        stayed: &mut Vec<Stayed>,
    ) -> Inner<()> {
        for series in series {
            let Some(stay) = self.stays.get(series).filter(|stay| stay.group == group) else {
                passed_through(conn, *series, group, part)?;
                stayed.push(Stayed { series: *series, group, part });
                continue;
            };
            stayed.push(Stayed { series: *series, group, part });
            if stay.first.is_some_and(|first| first <= part) {
                continue;
            }
            // several parts of one group may be new to a series: the earliest counts
            let mut insert = conn.prepare_cached(
                "INSERT INTO place(series, grp, first_part) VALUES (?1, ?2, ?3)
                 ON CONFLICT(series, grp) DO UPDATE SET first_part = min(first_part, excluded.first_part),
                    last_part = NULL",
            )?;
            insert.execute(params![series, group, part])?;
        }
        Ok(())
    }

    /// What was written is committed.
    pub(super) fn committed(&mut self, stayed: &mut Vec<Stayed>) {
        for Stayed { series, group, part } in stayed.drain(..) {
            if let Some(stay) = self.stays.get_mut(&series).filter(|stay| stay.group == group) {
                stay.first = Some(stay.first.map_or(part, |first| first.min(part)));
                stay.seen = stay.seen.max(part);
                self.newest = self.newest.max(part);
            } else if let Some(left) = self.left.get_mut(&(series, group)) {
                // it left while its last samples were on their way into the file
                left.last = left.last.max(part);
            }
        }
        for closed in self.closing.drain(..) {
            self.left.remove(&closed);
        }
    }

    pub(super) fn failed(&mut self) {
        self.closing.clear();
    }

    /// Notes in the file which places were left, some at a time.
    pub(super) fn close(&mut self, conn: &Connection) -> Inner<()> {
        self.closing.clear();
        for ((series, group), Left { last, .. }) in self.left.iter().take(CLOSED_A_COMMIT) {
            let mut update = conn.prepare_cached(
                "UPDATE place SET last_part = max(coalesce(last_part, ?3), ?3) WHERE series = ?1 AND grp = ?2",
            )?;
            update.execute(params![series, group, last])?;
            self.closing.push((*series, *group));
        }
        Ok(())
    }

    /// Takes series without samples since before the last part out of the head, and moves the rest together where a
    /// collector has many more groups than it needs. To be called while no group has current rows; samples in frozen
    /// rows keep a series where it is. `part`: the newest.
    pub(super) fn tidy(&mut self, head: &mut Head, part: i64) {
        self.newest = self.newest.max(part);
        let long_ago = self.stays.iter().filter(|(_, stay)| stay.seen + 1 < part).map(|(series, _)| *series);
        let gone: Vec<u32> = long_ago.filter(|series| !head.is_frozen(*series)).collect();
        for series in gone {
            self.leave(head, series);
        }
        for (series, to, collector) in moves(head) {
            self.leave(head, series);
            head.put(series, to, &collector);
            self.enter(series, to.group, part);
        }
    }

    /// Of how many series it knows the place, and how many places it is still to note as left.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.stays.len(), self.left.len())
    }

    fn leave(&mut self, head: &mut Head, series: u32) {
        let Some(stay) = self.stays.remove(&series) else { return };
        if let Some(first) = stay.first {
            self.left.insert((series, stay.group), Left { first, last: self.newest.max(stay.seen) });
        }
        head.remove(series);
    }
}

/// Notes that a series that is elsewhere now has samples in a segment of a group. It may have left before they were
/// written: the place then ends with them at the earliest, whether its end is noted before or after.
fn passed_through(conn: &Connection, series: u32, group: u32, part: i64) -> Inner<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO place(series, grp, first_part, last_part) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT(series, grp) DO UPDATE SET first_part = min(first_part, excluded.first_part),
            last_part = max(coalesce(last_part, excluded.last_part), excluded.last_part)",
    )?;
    insert.execute(params![series, group, part])?;
    Ok(())
}

/// The series to be moved and whereto, so that each collector needs no more than twice the groups that would hold it.
fn moves(head: &Head) -> Vec<(u32, Slot, Arc<str>)> {
    let mut collectors: HashMap<Arc<str>, Vec<(usize, u32)>> = HashMap::new();
    for group in head.groups() {
        collectors.entry(group.collector.clone()).or_default().push((group.len(), group.number));
    }
    let mut moves = Vec::new();
    for (collector, mut groups) in collectors {
        let series: usize = groups.iter().map(|(count, _)| count).sum();
        if groups.len() <= 2 * series.div_ceil(super::super::head::SLOTS).max(1) {
            continue;
        }
        // from the emptiest into the fullest
        groups.sort_unstable_by(|a, b| b.cmp(a));
        let needed = series.div_ceil(super::super::head::SLOTS);
        let (into, from) = groups.split_at(needed.max(1).min(groups.len()));
        let mut free = into
            .iter()
            .filter_map(|(_, number)| head.group(*number))
            .flat_map(|group| group.free_slots().map(|slot| Slot { group: group.number, slot }));
        let leaving = from.iter().filter_map(|(_, number)| head.group(*number)).flat_map(Group::series);
        for series in leaving {
            let Some(to) = free.next() else { break };
            moves.push((series, to, collector.clone()));
        }
    }
    moves
}

/// Where readers find a series: its groups, and the parts of the finest tier in which each may have it.
pub(in super::super) fn of_series(conn: &Connection, series: u32) -> Inner<Vec<(u32, i64, i64)>> {
    let mut select = conn.prepare_cached("SELECT grp, first_part, last_part FROM place WHERE series = ?1")?;
    let mut rows = select.query([series])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, row.get(1)?, row.get::<_, Option<i64>>(2)?.unwrap_or(i64::MAX)));
    }
    Ok(found)
}

/// The part of a time in the finest tier.
pub(super) const fn part(millis: i64) -> i64 {
    key::part(Tier::Raw, millis)
}
