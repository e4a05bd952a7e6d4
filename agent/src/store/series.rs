//! The table of series: numbers that stay the same for ever.

use super::{
    error::{Failure, Inner},
    types::{Selector, StoredSeries},
};
use crate::model::{Kind, Labels, Metric, SeriesDef, SeriesId};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use std::{collections::HashMap, sync::Arc};

const KINDS: [(Kind, &str); 4] =
    [(Kind::Gauge, "gauge"), (Kind::Counter, "counter"), (Kind::Info, "info"), (Kind::StateSet, "stateset")];

/// A series that is not in the file yet, or not with this definition.
#[derive(Debug)]
struct Pending {
    id: SeriesId,
    def: SeriesDef,
    collector: Box<str>,
}

/// The writer's view of the table. New series wait for the next commit.
#[derive(Debug)]
pub(super) struct SeriesTable {
    next: i64,
    pending: HashMap<String, Pending>,
}

impl SeriesTable {
    /// Of a file.
    pub(super) fn load(conn: &Connection) -> Inner<Self> {
        let next = conn.query_row("SELECT coalesce(max(id) + 1, 1) FROM series", [], |row| row.get(0))?;
        Ok(Self { next, pending: HashMap::new() })
    }

    /// The number of a series: the known one, or a new one.
    pub(super) fn find_or_add(
        &mut self,
        conn: &Connection,
        def: &SeriesDef,
        collector: &str,
    ) -> Inner<SeriesId> {
        let name = def.to_string();
        let known = match self.pending.get(&name) {
            Some(pending) => Some((pending.id, pending.def == *def && *pending.collector == *collector)),
            None => stored(conn, def, collector)?,
        };
        let id = match known {
            Some((id, true)) => return Ok(id),
            Some((id, false)) => id,
            None => {
                let id = u32::try_from(self.next).map_err(|_| Failure::Exhausted("series"))?;
                self.next += 1;
                SeriesId(id)
            }
        };
        self.pending.insert(name, Pending { id, def: def.clone(), collector: collector.into() });
        Ok(id)
    }

    /// Writes what waits; [`SeriesTable::written`] once that is committed.
    pub(super) fn write(&self, conn: &Connection) -> Inner<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut insert = conn.prepare_cached(
            "INSERT INTO series(id, name, labels, kind, unit, help, label_keys, plugin, collector)
             VALUES (:id, :name, :labels, :kind, :unit, :help, :label_keys, :plugin, :collector)
             ON CONFLICT(id) DO UPDATE SET kind = excluded.kind, unit = excluded.unit, help = excluded.help,
                label_keys = excluded.label_keys, plugin = excluded.plugin, collector = excluded.collector",
        )?;
        for Pending { id, def, collector } in self.pending.values() {
            let metric = &*def.metric;
            insert.execute(named_params! {
                ":id": id.0, ":name": metric.name, ":labels": def.labels.to_string(), ":kind": kind_word(metric.kind),
                ":unit": metric.unit, ":help": metric.help, ":label_keys": metric.label_keys.join(","),
                ":plugin": metric.plugin, ":collector": collector,
            })?;
        }
        Ok(())
    }

    /// Forgets what has been committed.
    pub(super) fn written(&mut self) {
        self.pending.clear();
    }
}

/// The number of a stored series, and whether it is stored just so.
fn stored(conn: &Connection, def: &SeriesDef, collector: &str) -> Inner<Option<(SeriesId, bool)>> {
    let mut select = conn.prepare_cached(
        "SELECT id, kind, unit, help, label_keys, plugin, collector FROM series WHERE name = ?1 AND labels = ?2",
    )?;
    let metric = &*def.metric;
    let found = select.query_row(params![metric.name, def.labels.to_string()], |row| {
        let wanted = [
            kind_word(metric.kind),
            &metric.unit,
            &metric.help,
            &metric.label_keys.join(","),
            &metric.plugin,
            collector,
        ];
        let mut same = true;
        for (column, text) in (1..).zip(wanted) {
            same &= row.get_ref(column)?.as_str()? == text;
        }
        Ok((SeriesId(row.get(0)?), same))
    });
    Ok(found.optional()?)
}

fn kind_word(kind: Kind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("gauge", |(_, word)| word)
}

/// The series that a selector means, in the order of their labels.
pub(super) fn select(conn: &Connection, selector: &Selector) -> Inner<Vec<StoredSeries>> {
    let mut statement = conn.prepare_cached(&format!("{COLUMNS} WHERE name = ?1 ORDER BY labels"))?;
    let mut found = read(statement.query([&selector.metric])?)?;
    let value = |series: &StoredSeries, label: &str| series.def.labels.get(label).to_owned();
    found.retain(|series| {
        selector.matchers.iter().all(|matcher| matcher.accepts(&value(series, matcher.label())))
    });
    Ok(found)
}

/// All series, in the order of their names and labels.
pub(super) fn all(conn: &Connection) -> Inner<Vec<StoredSeries>> {
    let mut statement = conn.prepare_cached(&format!("{COLUMNS} ORDER BY name, labels"))?;
    read(statement.query([])?)
}

/// The collector of a series; nothing where there is no such series.
pub(super) fn collector(conn: &Connection, series: SeriesId) -> Inner<Option<String>> {
    let mut statement = conn.prepare_cached("SELECT collector FROM series WHERE id = ?1")?;
    Ok(statement.query_row([series.0], |row| row.get(0)).optional()?)
}

/// Whether a series is one of a counter.
pub(super) fn is_counter(conn: &Connection, series: SeriesId) -> Inner<bool> {
    let mut statement = conn.prepare_cached("SELECT kind = ?2 FROM series WHERE id = ?1")?;
    let found = statement.query_row(params![series.0, kind_word(Kind::Counter)], |row| row.get(0));
    Ok(found.optional()?.unwrap_or(false))
}

const COLUMNS: &str = "SELECT id, name, labels, kind, unit, help, label_keys, plugin FROM series";

fn read(mut rows: rusqlite::Rows<'_>) -> Inner<Vec<StoredSeries>> {
    let mut found: Vec<StoredSeries> = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(labels) = Labels::parse(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?) else {
            tracing::warn!(labels = row.get::<_, String>(2)?, "skipped a series whose labels can't be read");
            continue;
        };
        let metric = metric(row)?;
        // the series of a metric follow one another, and share its definition
        let metric = match found.last() {
            Some(before) if *before.def.metric == metric => before.def.metric.clone(),
            _ => Arc::new(metric),
        };
        found.push(StoredSeries { id: SeriesId(row.get(0)?), def: SeriesDef { metric, labels } });
    }
    Ok(found)
}

fn metric(row: &Row<'_>) -> rusqlite::Result<Metric> {
    let kind: Box<str> = row.get(3)?;
    let label_keys: Box<str> = row.get(6)?;
    Ok(Metric {
        name: row.get(1)?,
        kind: KINDS.iter().find(|(_, word)| **word == *kind).map_or(Kind::Gauge, |(known, _)| *known),
        unit: row.get(4)?,
        help: row.get(5)?,
        label_keys: label_keys.split(',').filter(|key| !key.is_empty()).map(Into::into).collect(),
        plugin: row.get(7)?,
    })
}
