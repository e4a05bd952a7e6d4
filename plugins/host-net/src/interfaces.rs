//! All interfaces, in the order of the source's lines, and their totals.

use crate::{
    config::{Config, Filter},
    counters::any_fell,
    interface::{Interface, Links, Role},
    parse::{
        dev::{Row, Values},
        link::Facts,
    },
    sysfs::{Glance, KEPT_INTERFACES},
    total::{Members, Sums},
};
use std::collections::{HashMap, HashSet};
use twarga_plugin_api::prelude::*;

/// The table of interfaces.
#[derive(Debug)]
pub(crate) struct Interfaces {
    entries: Vec<Interface>,
    filter: Filter,
    members: Members,
    sums: Sums,
    /// The columns that a line must have before its interface is believed to exist.
    needed: &'static [usize],
    /// Read into, then swapped.
    facts: Facts,
    /// The entry whose facts were read last.
    cursor: usize,
    started: bool,
    /// The choice of what the totals count must be made again.
    regroup: bool,
    refusal_said: bool,
}

impl Interfaces {
    pub(crate) fn new(config: &Config, needed: &'static [usize], host: &mut Host<'_>) -> Result<Self> {
        Ok(Self {
            entries: vec![],
            filter: config.filter(),
            members: Members::from(&config.total),
            sums: Sums::new(host)?,
            needed,
            facts: Facts::default(),
            cursor: 0,
            started: false,
            regroup: true,
            refusal_said: false,
        })
    }

    /// How many interfaces have facts that are read again.
    pub(crate) fn renewed(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_renewed()).count()
    }

    /// Reads the facts of `budget` interfaces in turn, and of those whose operational state changed.
    ///
    /// To be called before the counters are read: an interface that is found to be another one now is then
    /// known to be the one that was counted.
    pub(crate) fn refresh(&mut self, links: &mut impl Links, host: &mut Host<'_>, budget: usize) {
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            let files = entry.files.as_ref();
            if files.is_some_and(|files| files.glance(entry.link.operstate()) == Glance::Changed) {
                self.renew(at, links, host);
            }
        }
        let mut left = budget;
        for _ in 0..self.entries.len() {
            if left == 0 {
                break;
            }
            self.cursor = (self.cursor + 1) % self.entries.len();
            if self.entries[self.cursor].is_renewed() {
                self.renew(self.cursor, links, host);
                left -= 1;
            }
        }
    }

    fn renew(&mut self, at: usize, links: &mut impl Links, host: &mut Host<'_>) {
        let (changed, outcome) = self.entries[at].renew(links, host, &mut self.facts);
        self.regroup |= changed;
        self.note(outcome, host);
    }

    /// The host's limit of series is no failure of the collection, which would be tried less often: said once.
    fn note(&mut self, outcome: Result<()>, host: &mut Host<'_>) {
        if let Err(error) = outcome
            && !std::mem::replace(&mut self.refusal_said, true)
        {
            host.log(Level::Warn, &format!("some interfaces are left out: {error}"));
        }
    }

    /// Takes the lines of one reading, and puts everything.
    pub(crate) fn collect<'a>(
        &mut self,
        rows: impl Iterator<Item = Row<'a>> + Clone,
        links: &mut impl Links,
        sink: &mut Sink<'_>,
    ) {
        let mut at = 0;
        for row in rows.clone() {
            if self.entries.get(at).is_none_or(|entry| *entry.name != *row.name) {
                self.arrange(rows.clone(), sink.host());
            }
            self.observe(at, &row.values, links, sink.host());
            at += 1;
        }
        if at < self.entries.len() {
            self.arrange(rows, sink.host());
        }
        if std::mem::take(&mut self.regroup) {
            self.choose();
        }
        self.started = true;
        for entry in &mut self.entries {
            let first = std::mem::take(&mut entry.first);
            if entry.counted {
                self.sums.add(entry.counters.rises(first));
            }
            if entry.role == Role::Shown && !entry.fresh {
                entry.counters.put(sink);
                entry.link.put(sink);
            }
        }
        self.sums.put(sink);
    }

    fn observe(&mut self, at: usize, values: &Values, links: &mut impl Links, host: &mut Host<'_>) {
        let entry = &mut self.entries[at];
        if entry.role == Role::Duplicate {
            return;
        }
        if entry.fresh {
            if self.needed.iter().any(|column| values[*column].is_none()) {
                return; // garbage makes no interface
            }
            entry.first = !self.started;
            let kept = self.entries.iter().filter(|entry| entry.files.is_some()).count();
            let (entry, facts) = (&mut self.entries[at], &mut self.facts);
            let outcome = entry.establish(links, host, facts, values, kept < KEPT_INTERFACES);
            self.regroup = true;
            self.note(outcome, host);
        } else if std::mem::take(&mut entry.retry) {
            let outcome = entry.register(links, host, &mut self.facts, values);
            self.note(outcome, host);
        } else if any_fell(entry.counters.last(), values) && entry.was_replaced(links) {
            self.renew(at, links, host);
        }
        self.entries[at].observe(values);
    }

    /// Brings the entries into the order of the lines: new ones are made, those without a line retired.
    /// Entries at the head that are in order already stay where they are.
    fn arrange<'a>(&mut self, rows: impl Iterator<Item = Row<'a>>, host: &mut Host<'_>) {
        let (known, duplicates): (Vec<_>, Vec<_>) =
            self.entries.drain(..).partition(|entry| entry.role != Role::Duplicate);
        drop(duplicates);
        let mut known: HashMap<_, _> = known.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        let mut taken = HashSet::new();
        for row in rows {
            let mut entry = match known.remove(row.name) {
                Some(entry) => entry,
                None if taken.contains(row.name) => Interface::new(row.name, Role::Duplicate),
                None if self.filter.shows(row.name) => Interface::new(row.name, Role::Shown),
                None => Interface::new(row.name, Role::Hidden),
            };
            entry.retry = entry.refused; // others may have made room
            taken.insert(row.name);
            self.entries.push(entry);
        }
        for series in known.values().flat_map(Interface::series) {
            host.retire(series);
        }
        self.regroup = true;
    }

    fn choose(&mut self) {
        let is_real = |entry: &Interface| entry.role != Role::Duplicate && !entry.fresh;
        let real = self.entries.iter().filter(|entry| is_real(entry));
        let list: Vec<_> = real.map(|entry| (&*entry.name, &entry.identity)).collect();
        let counted = self.members.choose(&list);
        for (entry, counted) in self.entries.iter_mut().filter(|entry| is_real(entry)).zip(counted) {
            entry.counted = counted;
        }
    }

    /// Says of all series that they have no value.
    pub(crate) fn lost(&self, sink: &mut Sink<'_>, reason: &str) {
        for series in self.entries.iter().flat_map(Interface::series) {
            sink.unavailable(series, reason);
        }
        self.sums.lost(sink, reason);
    }
}
