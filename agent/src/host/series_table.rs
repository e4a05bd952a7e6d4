//! A collector's families and series, as its plugin registers them through the boundary.

mod services;

use super::{
    claims::Claims,
    entries::{Entries, Key},
    metadata::{DeclaredMetric, Metadata},
};
use crate::model::{Absence, Labels, LocalSeries, MAX_LOCAL_SERIES, Metric, Resets, SeriesDef};
use std::{collections::HashMap, sync::Arc};

/// The most families that a plugin may declare at run time.
const MAX_FAMILIES: usize = 10_000;

/// What the plugin said in one call, beside its samples.
#[derive(Default)]
pub(super) struct Said {
    pub(super) registered: Vec<(LocalSeries, Arc<SeriesDef>)>,
    pub(super) retired: Vec<LocalSeries>,
    pub(super) absent: Vec<Absence>,
    pub(super) time: Option<i64>,
    pub(super) logged: Vec<(u8, String)>,
    /// Lines that were too many.
    pub(super) unlogged: usize,
}

/// The host's side of one collector.
pub(super) struct SeriesTable {
    plugin: String,
    namespaces: Vec<String>,
    /// The value of the `instance` label, where there are several instances.
    instance: Option<String>,
    claims: Arc<Claims>,
    /// By the plugin's numbers; nothing for one that an isolated plugin declared and the agent refuses.
    families: Vec<Option<Arc<Metric>>>,
    pub(super) entries: Entries,
    index: HashMap<Key, u32>,
    /// The ids whose absence was said in this call.
    absent: Vec<u32>,
    /// The host's next number that was not given yet: a collector that is made anew goes on counting where the one
    /// before ended.
    next: LocalSeries,
    /// Numbers of series that ended, to be given again. The plugin never sees them.
    free: Vec<LocalSeries>,
    max_series: usize,
    /// Registrations beyond that limit.
    pub(super) refused: u64,
    /// Series that were numbered anew, for the next batch.
    anew: Vec<(LocalSeries, Arc<SeriesDef>)>,
    pub(super) said: Said,
}

impl SeriesTable {
    pub(super) fn new(
        metadata: &Metadata,
        instance: Option<String>,
        claims: Arc<Claims>,
        base: LocalSeries,
        max_series: usize,
    ) -> Self {
        let families = metadata.metrics.iter().map(|metric| Some(family(metric, &metadata.name)));
        Self {
            plugin: metadata.name.clone(),
            namespaces: metadata.namespaces.clone(),
            instance,
            claims,
            families: families.collect(),
            entries: Entries::default(),
            index: HashMap::new(),
            absent: Vec::new(),
            next: base,
            free: Vec::new(),
            max_series,
            refused: 0,
            anew: Vec::new(),
            said: Said::default(),
        }
    }

    /// The number that the next new family will have.
    pub(super) fn next_family(&self) -> u32 {
        u32::try_from(self.families.len()).unwrap_or(u32::MAX)
    }

    /// The id that the next new series will have.
    pub(super) fn next_id(&self) -> u32 {
        self.entries.next_id()
    }

    /// Leaves out the next family, which the plugin believes to have; none where it has too many.
    pub(super) fn skip_family(&mut self) -> Option<()> {
        (self.families.len() < MAX_FAMILIES).then(|| self.families.push(None))
    }

    /// Leaves out the next id, which the plugin believes to have.
    pub(super) fn skip_id(&mut self) {
        self.entries.skip();
    }

    /// The most series that it may have at a time.
    pub(super) fn max_series(&self) -> usize {
        self.max_series
    }

    /// Ends a call: absences may be said again in the next one, and numbers of series that ended in this one be given
    /// again. Not before: within one batch a number means one series.
    pub(super) fn end_call(&mut self) {
        for id in self.absent.drain(..) {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.absent = false;
            }
        }
        self.free.extend_from_slice(&self.said.retired);
        self.said.registered.splice(0..0, self.anew.drain(..));
    }

    /// How many series are registered and not retired.
    pub(super) fn live(&self) -> usize {
        self.index.len()
    }

    /// The host's numbers of all live series.
    pub(super) fn live_ids(&self) -> impl Iterator<Item = LocalSeries> {
        self.entries.all().map(|entry| entry.local)
    }

    /// The first number for a successor: after the last one that was ever given, or the very first again where fewer
    /// than half are left. Those of the collector before the last one are free by then.
    pub(super) fn next_base(&self) -> LocalSeries {
        if self.next > MAX_LOCAL_SERIES / 2 { 0 } else { self.next }
    }

    /// Gives all live series new numbers from `base` on, and registers them anew in the next batch.
    pub(super) fn renumber(&mut self, base: LocalSeries, resets: &mut Resets<LocalSeries>) {
        self.free.clear();
        self.next = base;
        let mut registered = Vec::with_capacity(self.index.len());
        let mut live: Vec<(u32, Key)> = self.index.iter().map(|(key, id)| (*id, key.clone())).collect();
        live.sort_unstable_by_key(|(id, _)| *id);
        for (id, (metric, values)) in live {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            entry.reset |= resets.take(entry.local);
            entry.local = self.next;
            self.next += 1;
            let Some(family) = self.families.get(metric as usize).and_then(Option::as_ref) else { continue };
            let def = SeriesDef { labels: self.labels(family, &values), metric: Arc::clone(family) };
            registered.push((self.next - 1, Arc::new(def)));
        }
        self.anew = registered;
    }

    fn labels(&self, metric: &Metric, values: &[Box<str>]) -> Labels {
        let instance = self.instance.iter().map(|value| ("instance", value.as_str()));
        let own = metric.label_keys.iter().zip(values).map(|(key, value)| match &**key {
            // as Prometheus does: without another name, series that differ in it alone would become one
            "instance" if self.instance.is_some() => ("exported_instance", &**value),
            key => (key, &**value),
        });
        Labels::new(own.chain(instance))
    }
}

fn family(declared: &DeclaredMetric, plugin: &str) -> Arc<Metric> {
    let keys = declared.label_keys.split(',').filter(|key| !key.is_empty());
    Arc::new(Metric {
        name: declared.name.as_str().into(),
        kind: declared.kind,
        unit: declared.unit.as_str().into(),
        help: declared.help.as_str().into(),
        label_keys: keys.map(Into::into).collect(),
        plugin: plugin.into(),
    })
}

/// The text without control characters, at most so many bytes.
pub(super) fn cut(text: &str, most: usize) -> Box<str> {
    let text = &text[..text.floor_char_boundary(most)];
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, CollectorId, Kind};
    use std::collections::HashSet;
    use twarga_plugin_api::abi::services::HostServices;

    const LIVE: u32 = 100;

    fn table(base: LocalSeries, max_series: usize) -> SeriesTable {
        let metric = Metric {
            name: "vm_value".into(),
            kind: Kind::Gauge,
            unit: "".into(),
            help: "".into(),
            label_keys: vec!["vm".into()],
            plugin: "p".into(),
        };
        SeriesTable {
            plugin: "p".into(),
            namespaces: vec!["vm".into()],
            instance: None,
            claims: Arc::new(Claims::new(|_| false)),
            families: vec![Some(Arc::new(metric))],
            entries: Entries::default(),
            index: HashMap::new(),
            absent: Vec::new(),
            next: base,
            free: Vec::new(),
            max_series,
            refused: 0,
            anew: Vec::new(),
            said: Said::default(),
        }
    }

    fn series(table: &mut SeriesTable, vm: u32) -> Result<u32, String> {
        table.series(0, &[vm.to_string().as_str().into()])
    }

    /// Ends a call as the instance does.
    fn end(table: &mut SeriesTable) -> Batch {
        table.end_call();
        let mut batch = Batch::new(CollectorId(0));
        batch.registered.append(&mut table.said.registered);
        batch.retired.append(&mut table.said.retired);
        batch.absent.append(&mut table.said.absent);
        batch
    }

    #[test]
    fn series_that_are_numbered_anew_are_registered_again() {
        let mut table = table(0, 3);
        let ids: Vec<u32> = (0..3).map(|vm| series(&mut table, vm).unwrap()).collect();
        table.retire(ids[1]);
        end(&mut table);
        let mut resets = Resets::default();
        resets.keep([2]);
        table.renumber(100, &mut resets);
        assert_eq!(table.live_ids().collect::<Vec<_>>(), [100, 101]);
        let reset: Vec<bool> = ids.iter().filter_map(|id| Some(table.entries.get_mut(*id)?.reset)).collect();
        assert_eq!(reset, [false, true]);
        // a call that brings and ends others is not hindered by it
        table.retire(ids[0]);
        let new = series(&mut table, 7).unwrap();
        series(&mut table, 8).unwrap();
        assert_eq!((new, table.entries.get_mut(new).unwrap().local), (3, 102));
        let batch = end(&mut table);
        let numbers: Vec<LocalSeries> = batch.registered.iter().map(|(local, _)| *local).collect();
        assert_eq!((numbers, batch.retired, table.next_base()), (vec![100, 101, 102, 103], vec![100], 104));
        assert!(end(&mut table).registered.is_empty(), "once");
    }

    #[test]
    fn a_million_series_that_come_and_go_take_the_room_of_a_hundred() {
        let mut table = table(0, 1000);
        let mut ids: Vec<u32> = (0..LIVE).map(|vm| series(&mut table, vm).unwrap()).collect();
        end(&mut table);
        let mut given: u64 = LIVE.into();
        for call in 1..11_000 {
            let new = (0..LIVE).map(|vm| series(&mut table, call * LIVE + vm).unwrap()).collect();
            let old = std::mem::replace(&mut ids, new);
            assert!(ids[0] > *old.last().unwrap(), "the plugin never sees an id again");
            old.iter().for_each(|id| table.retire(*id));
            assert!(table.entries.get_mut(old[0]).is_none() && table.entries.get_mut(ids[0]).is_some());
            let batch = end(&mut table);
            let registered: HashSet<LocalSeries> = batch.registered.iter().map(|(local, _)| *local).collect();
            assert!(registered.len() == LIVE as usize && batch.retired.len() == LIVE as usize);
            assert!(batch.retired.iter().all(|local| !registered.contains(local)), "one series a number");
            given += u64::from(LIVE);
        }
        assert!(given > u64::from(MAX_LOCAL_SERIES));
        assert_eq!(table.live(), LIVE as usize);
        assert!(table.next_base() <= 3 * LIVE, "{}", table.next_base());
        assert!(table.entries.pages() <= 3, "{}", table.entries.pages());
        let live: HashSet<LocalSeries> = table.live_ids().collect();
        assert_eq!(live.len(), LIVE as usize);
    }

    #[test]
    fn a_number_is_not_given_twice_within_a_call() {
        let mut table = table(7, 1000);
        let first = series(&mut table, 1).unwrap();
        table.unavailable(first, "gone");
        table.retire(first);
        table.retire(first);
        let second = series(&mut table, 2).unwrap();
        let batch = end(&mut table);
        let numbers: Vec<LocalSeries> = batch.registered.iter().map(|(local, _)| *local).collect();
        assert_eq!((numbers, batch.retired), (vec![7, 8], vec![7]));
        let third = series(&mut table, 3).unwrap();
        assert_eq!(end(&mut table).registered[0].0, 7);
        assert_eq!((first, second, third), (0, 1, 2), "ids go on");
        table.unavailable(third, "why");
        table.unavailable(third, "why");
        assert_eq!(end(&mut table).absent.len(), 1);
        table.unavailable(third, "why");
        assert_eq!(end(&mut table).absent.len(), 1, "said again in the next call");
    }

    #[test]
    fn the_limit_counts_what_it_refuses() {
        let mut table = table(0, 2);
        let ids = [1, 2].map(|vm| series(&mut table, vm).unwrap());
        end(&mut table);
        assert!(series(&mut table, 3).unwrap_err().contains("max_series"));
        assert_eq!(series(&mut table, 1), Ok(ids[0]), "known ones are found");
        assert_eq!(table.refused, 1);
        table.retire(ids[0]);
        series(&mut table, 3).unwrap();
        assert_eq!((table.refused, table.live()), (1, 2));
    }

    #[test]
    fn collectors_that_are_made_anew_never_run_out_of_numbers() {
        let mut base = 0;
        for _ in 0..25 {
            let mut table = table(base, 50_000);
            for vm in 0..50_000 {
                series(&mut table, vm).unwrap();
            }
            base = table.next_base();
        }
    }
}
