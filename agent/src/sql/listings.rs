//! The smaller tables: events, gaps, series, machines. Read in pages, each in a transaction of its own.

use super::{
    bounds::Bounds,
    vtab::{Compared, Condition, Plan, Scan, Table},
};
use crate::{
    model::{Gap, GapScope},
    store::{EventFilter, Reader, Readers, StoreError, StoredEvent, StoredSeries},
};
use rusqlite::types::{ToSqlOutput, Value};
use std::{ffi::CStr, vec::IntoIter};

/// Rows of a page.
const PAGE: usize = 1000;

type Row = Vec<Value>;
/// Reads the next page; an empty one is the end.
type Pages = Box<dyn FnMut(&Reader) -> Result<Vec<Row>, StoreError>>;

/// A running read of pages.
pub(super) struct Listing {
    reader: Reader,
    pages: Pages,
    page: IntoIter<Row>,
    row: Option<Row>,
}

impl Listing {
    fn begin(readers: &Readers, pages: Pages) -> Result<Self, StoreError> {
        let mut listing = Self { reader: readers.reader()?, pages, page: Vec::new().into_iter(), row: None };
        listing.advance()?;
        Ok(listing)
    }

    /// All rows as one page.
    fn whole(readers: &Readers, rows: Vec<Row>) -> Result<Self, StoreError> {
        let mut rows = Some(rows);
        Self::begin(readers, Box::new(move |_| Ok(rows.take().unwrap_or_default())))
    }
}

impl Scan for Listing {
    fn at_end(&self) -> bool {
        self.row.is_none()
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        self.row = self.page.next();
        if self.row.is_none() {
            self.page = (self.pages)(&self.reader)?.into_iter();
            self.row = self.page.next();
        }
        Ok(())
    }

    fn cell(&self, column: usize) -> ToSqlOutput<'_> {
        let cell = self.row.as_ref().and_then(|row| row.get(column));
        cell.map_or(ToSqlOutput::Owned(Value::Null), |cell| ToSqlOutput::Borrowed(cell.into()))
    }
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn optional(number: Option<impl Into<i64>>) -> Value {
    number.map_or(Value::Null, |number| Value::Integer(number.into()))
}

/// `events`: what happened, newest first.
pub(super) struct Events;

impl Table for Events {
    const NAME: &'static str = "events";
    const DECLARATION: &'static CStr = c"CREATE TABLE events(
  id INTEGER, ts INTEGER, type TEXT, severity TEXT, message TEXT, details TEXT, vm_id INTEGER, time TEXT HIDDEN)";
    type Scan = Listing;

    fn plan(conditions: &[Condition], order: &[(usize, bool)]) -> Plan {
        let mut plan = Plan { rows: 1e5, ..Plan::default() };
        for (at, condition) in conditions.iter().enumerate() {
            let letter = match (condition.column, condition.compared) {
                (0, Compared::Less | Compared::AtMost | Compared::Equal) => 'b',
                (1 | 7, compared @ (Compared::Greater | Compared::AtLeast | Compared::Equal)) => {
                    Bounds::letter(compared)
                }
                (2, Compared::Equal) => 't',
                (3, Compared::Equal) => 's',
                _ => continue,
            };
            plan.uses.push(at);
            plan.text.push(letter);
            plan.rows /= 4.0;
        }
        plan.ordered = order == [(0, true)];
        plan
    }

    fn scan(readers: &Readers, plan: &str, values: &[Value]) -> Result<Listing, StoreError> {
        let mut filter = EventFilter { limit: PAGE, ..EventFilter::default() };
        let mut bounds = Bounds::default();
        for (letter, value) in plan.chars().zip(values) {
            match (letter, value) {
                ('b', Value::Integer(id)) => {
                    let before = id.saturating_add(1);
                    filter.before = Some(filter.before.map_or(before, |known| known.min(before)));
                }
                ('t', Value::Text(kind)) => filter.kind = Some(kind.clone()),
                ('s', Value::Text(severity)) => filter.severity = Some(severity.clone()),
                ('b' | 't' | 's', _) => {}
                (letter, value) => bounds.narrow(letter, value),
            }
        }
        filter.since = bounds.earliest();
        Listing::begin(
            readers,
            Box::new(move |reader| {
                let page = reader.events(&filter)?;
                if let Some(last) = page.last() {
                    filter.before = Some(last.id);
                }
                Ok(page.into_iter().map(event).collect())
            }),
        )
    }
}

fn event(StoredEvent { id, event }: StoredEvent) -> Row {
    vec![
        Value::Integer(id),
        Value::Integer(event.time.as_millis()),
        text(event.kind),
        text(event.severity.word()),
        text(event.message),
        text(event.details.to_string()),
        optional(event.vm_id),
        text(event.time.to_string()),
    ]
}

/// `gaps`: times without samples, and why.
pub(super) struct Gaps;

impl Table for Gaps {
    const NAME: &'static str = "gaps";
    const DECLARATION: &'static CStr = c"CREATE TABLE gaps(
  id INTEGER, scope TEXT, collector TEXT, series INTEGER, first INTEGER, last INTEGER, reason TEXT,
  first_time TEXT HIDDEN, last_time TEXT HIDDEN)";
    type Scan = Listing;

    fn plan(_conditions: &[Condition], order: &[(usize, bool)]) -> Plan {
        Plan { rows: 1e4, ordered: order == [(0, false)], ..Plan::default() }
    }

    fn scan(readers: &Readers, _plan: &str, _values: &[Value]) -> Result<Listing, StoreError> {
        let mut after = None;
        Listing::begin(
            readers,
            Box::new(move |reader| {
                let page = reader.all_gaps(after, PAGE)?;
                after = page.last().map(|(id, _)| *id).or(after);
                Ok(page.into_iter().map(gap).collect())
            }),
        )
    }
}

fn gap((id, gap): (i64, Gap)) -> Row {
    let (scope, collector, series) = match &gap.scope {
        GapScope::Agent => ("agent", Value::Null, None),
        GapScope::Collector(name) => ("collector", text(&**name), None),
        GapScope::Series(series) => ("series", Value::Null, Some(series.0)),
    };
    vec![
        Value::Integer(id),
        text(scope),
        collector,
        optional(series),
        Value::Integer(gap.from.as_millis()),
        Value::Integer(gap.to.as_millis()),
        text(gap.reason.to_string()),
        text(gap.from.to_string()),
        text(gap.to.to_string()),
    ]
}

/// `series`: all that the store knows, alive or not.
pub(super) struct Series;

impl Table for Series {
    const NAME: &'static str = "series";
    const DECLARATION: &'static CStr = c"CREATE TABLE series(
  id INTEGER, name TEXT, labels TEXT, kind TEXT, unit TEXT, help TEXT, plugin TEXT)";
    type Scan = Listing;

    fn plan(_conditions: &[Condition], _order: &[(usize, bool)]) -> Plan {
        Plan { rows: 1e3, ..Plan::default() }
    }

    fn scan(readers: &Readers, _plan: &str, _values: &[Value]) -> Result<Listing, StoreError> {
        let rows = readers.reader()?.all_series()?.iter().map(series).collect();
        Listing::whole(readers, rows)
    }
}

fn series(series: &StoredSeries) -> Row {
    let metric = &*series.def.metric;
    vec![
        Value::Integer(series.id.0.into()),
        text(&*metric.name),
        text(series.def.labels.to_string()),
        text(metric.kind.word()),
        text(&*metric.unit),
        text(&*metric.help),
        text(&*metric.plugin),
    ]
}

/// `vms`: the machines' numbers.
pub(super) struct Vms;

impl Table for Vms {
    const NAME: &'static str = "vms";
    const DECLARATION: &'static CStr = c"CREATE TABLE vms(id INTEGER, uuid TEXT)";
    type Scan = Listing;

    fn plan(_conditions: &[Condition], _order: &[(usize, bool)]) -> Plan {
        Plan { rows: 1e2, ..Plan::default() }
    }

    fn scan(readers: &Readers, _plan: &str, _values: &[Value]) -> Result<Listing, StoreError> {
        let machines = readers.reader()?.vms()?.into_iter();
        let rows = machines.map(|(id, uuid)| vec![Value::Integer(id), text(uuid)]).collect();
        Listing::whole(readers, rows)
    }
}
