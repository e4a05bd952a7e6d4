//! Gaps: stored, merged while they grow, read.
//!
//! A gap of a scope grows, in place of a new one being stored, where the same run has stored one of the same scope and
//! reason and nothing else of this scope since: no sample, no gap of another reason.

use super::{
    error::Inner,
    types::{Range, StoredBatch},
};
use crate::model::{Gap, GapReason, GapScope, SeriesId, Timestamp};
use rusqlite::{Connection, params};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// More open gaps than this are not remembered: the next ones are stored as new ones.
const MOST_OPEN: usize = 10_000;

/// Which collector a series is of, by series number.
#[derive(Debug, Default)]
pub(super) struct Owners {
    names: Vec<Arc<str>>,
    of_series: HashMap<SeriesId, u32>,
}

impl Owners {
    /// Notes the collector of a series.
    pub(super) fn note(&mut self, series: SeriesId, collector: &str) {
        let known = self.names.iter().position(|name| **name == *collector);
        let owner = known.unwrap_or_else(|| {
            self.names.push(collector.into());
            self.names.len() - 1
        });
        if let Ok(owner) = u32::try_from(owner) {
            self.of_series.insert(series, owner);
        }
    }

    /// Forgets a series that ended.
    pub(super) fn forget(&mut self, series: SeriesId) {
        self.of_series.remove(&series);
        // what thousands left behind, and the few that are alive don't need
        if self.of_series.capacity() > 4 * self.of_series.len().max(256) {
            self.of_series.shrink_to(2 * self.of_series.len());
        }
    }

    /// How many series it knows.
    pub(super) fn len(&self) -> usize {
        self.of_series.len()
    }

    fn of(&self, series: SeriesId) -> Option<u32> {
        self.of_series.get(&series).copied()
    }
}

/// The gap that was stored last for a scope.
#[derive(Clone, Debug)]
struct Open {
    row: i64,
    from: Timestamp,
    to: Timestamp,
    reason: GapReason,
    /// The first sample of the scope after it.
    ended: Option<Timestamp>,
}

impl Open {
    fn sampled(&mut self, time: Timestamp) {
        if time > self.to && self.ended.is_none_or(|ended| time < ended) {
            self.ended = Some(time);
        }
    }

    fn grows_by(&self, gap: &Gap) -> bool {
        self.reason == gap.reason && gap.from >= self.from && self.ended.is_none_or(|ended| gap.from <= ended)
    }
}

/// The gaps that may still grow.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenGaps {
    agent: Option<Open>,
    collectors: HashMap<Arc<str>, Open>,
    series: BTreeMap<SeriesId, Open>,
}

impl OpenGaps {
    fn get_mut(&mut self, scope: &GapScope) -> Option<&mut Open> {
        match scope {
            GapScope::Agent => self.agent.as_mut(),
            GapScope::Collector(name) => self.collectors.get_mut(name),
            GapScope::Series(series) => self.series.get_mut(series),
        }
    }

    fn insert(&mut self, scope: &GapScope, open: Open) {
        match scope {
            GapScope::Agent => self.agent = Some(open),
            GapScope::Collector(name) => drop(self.collectors.insert(name.clone(), open)),
            GapScope::Series(series) => drop(self.series.insert(*series, open)),
        }
    }

    /// Notes which scopes got samples.
    pub(super) fn note(&mut self, owners: &Owners, batches: &[StoredBatch]) {
        for batch in batches.iter().filter(|batch| !batch.samples.is_empty()) {
            if let Some(open) = &mut self.agent {
                open.sampled(batch.time);
            }
            if !self.series.is_empty() {
                for sample in &batch.samples {
                    if let Some(open) = self.series.get_mut(&sample.series) {
                        open.sampled(batch.time);
                    }
                }
            }
            if !self.collectors.is_empty() {
                self.note_collectors(owners, batch);
            }
        }
    }

    fn note_collectors(&mut self, owners: &Owners, batch: &StoredBatch) {
        let mut before = None;
        for sample in &batch.samples {
            let owner = owners.of(sample.series);
            if owner == before {
                continue;
            }
            before = owner;
            let name = owner.and_then(|owner| owners.names.get(owner as usize));
            if let Some(open) = name.and_then(|name| self.collectors.get_mut(name)) {
                open.sampled(batch.time);
            }
        }
    }

    /// Stores gaps: as new ones, or by moving the end of those that they continue.
    pub(super) fn write(&mut self, conn: &Connection, gaps: &[Gap]) -> Inner<()> {
        for gap in gaps {
            let to = gap.to.max(gap.from);
            if let Some(open) = self.get_mut(&gap.scope).filter(|open| open.grows_by(gap)) {
                if to <= open.to {
                    continue;
                }
                let mut update = conn.prepare_cached("UPDATE gap SET last = ?2 WHERE id = ?1")?;
                if update.execute(params![open.row, to.as_millis()])? == 1 {
                    open.to = to;
                    continue;
                }
            }
            let mut insert =
                conn.prepare_cached("INSERT INTO gap(scope, first, last, reason) VALUES (?1, ?2, ?3, ?4)")?;
            let values =
                params![scope_text(&gap.scope), gap.from.as_millis(), to.as_millis(), gap.reason.to_string()];
            let row = insert.insert(values)?;
            let open = Open { row, from: gap.from, to, reason: gap.reason.clone(), ended: None };
            self.insert(&gap.scope, open);
        }
        Ok(())
    }

    /// Forgets the gaps that a sample ended.
    pub(super) fn settle(&mut self) {
        self.agent.take_if(|open| open.ended.is_some());
        self.collectors.retain(|_, open| open.ended.is_none());
        self.series.retain(|_, open| open.ended.is_none());
        if self.collectors.len() + self.series.len() > MOST_OPEN {
            self.clear();
        }
    }

    /// Forgets all: a new run begins.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// As the table has it: nothing, `c:` and the collector, `s:` and the series' number.
fn scope_text(scope: &GapScope) -> String {
    match scope {
        GapScope::Agent => String::new(),
        GapScope::Collector(name) => format!("c:{name}"),
        GapScope::Series(series) => format!("s:{}", series.0),
    }
}

/// Reads what [`scope_text`] writes; what only a newer agent knows is a collector's.
fn parse_scope(text: &str) -> GapScope {
    match text.split_once(':') {
        None if text.is_empty() => GapScope::Agent,
        Some(("s", number)) => match number.parse() {
            Ok(number) => GapScope::Series(SeriesId(number)),
            Err(_) => GapScope::Collector(text.into()),
        },
        Some(("c", name)) => GapScope::Collector(name.into()),
        _ => GapScope::Collector(text.into()),
    }
}

/// The newest `limit` gaps of a series that touch a range, oldest first: its own, its collector's, the agent's. The newest
/// are those that end last.
pub(super) fn read(conn: &Connection, series: SeriesId, range: Range, limit: usize) -> Inner<Vec<Gap>> {
    let collector = super::series::collector(conn, series)?.map(|name| GapScope::Collector(name.into()));
    let scopes = [Some(GapScope::Agent), collector, Some(GapScope::Series(series))];
    // in the order of the index `gap_scope`: what is beyond the limit is never read
    let mut select = conn.prepare_cached(
        "SELECT first, last, reason FROM gap WHERE scope = ?1 AND last >= ?2 AND first <= ?3
         ORDER BY last DESC, id DESC LIMIT ?4",
    )?;
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut gaps = Vec::new();
    for scope in scopes.into_iter().flatten() {
        let bounds = params![scope_text(&scope), range.from.as_millis(), range.to.as_millis(), most];
        let mut rows = select.query(bounds)?;
        while let Some(row) = rows.next()? {
            let reason: String = row.get(2)?;
            gaps.push(Gap {
                scope: scope.clone(),
                from: Timestamp::from_millis(row.get(0)?),
                to: Timestamp::from_millis(row.get(1)?),
                // a reason that a newer agent knows is shown as it stands
                reason: GapReason::parse(&reason).unwrap_or(GapReason::Failed(reason)),
            });
        }
    }
    gaps.sort_by_key(|gap| std::cmp::Reverse((gap.to, gap.from)));
    gaps.truncate(limit);
    gaps.sort_by_key(|gap| (gap.from, gap.to));
    Ok(gaps)
}

/// Gaps in the order of their numbers.
pub(super) fn page(conn: &Connection, after: Option<i64>, limit: usize) -> Inner<Vec<(i64, Gap)>> {
    let mut select = conn.prepare_cached(
        "SELECT id, scope, first, last, reason FROM gap WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let gaps = select.query_map(params![after.unwrap_or(i64::MIN), most], |row| {
        let (scope, reason): (String, String) = (row.get(1)?, row.get(4)?);
        let gap = Gap {
            scope: parse_scope(&scope),
            from: Timestamp::from_millis(row.get(2)?),
            to: Timestamp::from_millis(row.get(3)?),
            reason: GapReason::parse(&reason).unwrap_or(GapReason::Failed(reason)),
        };
        Ok((row.get(0)?, gap))
    })?;
    Ok(gaps.collect::<rusqlite::Result<_>>()?)
}
