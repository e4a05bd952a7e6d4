//! Into the store: in the order of time, in commits of bounded size, nothing twice.

use super::definitions::IMPORT;
use crate::{
    model::{Event, SeriesDef, SeriesId, Timestamp},
    store::{
        Commit, EventFilter, Range, Reader, Readers, Result, Selector, Store, StoreError, StoredBatch,
        StoredSample,
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    path::Path,
};

/// Samples of a commit, at most.
pub(super) const COMMIT: usize = 10_000;
/// How much stored history is read at once to see what is there: milliseconds, times series.
const LOOK: i64 = 16 * 6 * 3_600_000;
/// Events that are read at once.
const PAGE: usize = 10_000;

/// What became of the samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Samples or rows that were read.
    pub read: u64,
    /// Samples that were stored, or would be.
    pub stored: u64,
    /// Events that were stored, or would be.
    pub events: u64,
    /// What was not stored, and why.
    pub skipped: BTreeMap<&'static str, u64>,
    /// The time of the oldest sample that was stored.
    pub oldest: Option<Timestamp>,
}

impl Tally {
    /// Counts what is not stored.
    pub(super) fn skip(&mut self, reason: &'static str) {
        *self.skipped.entry(reason).or_default() += 1;
    }
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    time: Timestamp,
    sample: StoredSample,
}

/// The only way into the store. Of a sample whose series has one of the same time already, the stored one stays.
#[derive(Debug)]
pub struct Sink {
    /// Nothing: everything is done but storing.
    store: Option<Store>,
    reader: Option<Reader>,
    series: HashMap<String, SeriesId>,
    /// The newest sample of the series that this sink made: nothing is stored after it.
    made: HashMap<SeriesId, Timestamp>,
    pending: Vec<Pending>,
    events: Vec<Event>,
    /// How often each event is stored; read when the first one comes.
    known_events: Option<HashMap<u64, u32>>,
    new_run: bool,
    pub(super) tally: Tally,
}

impl Sink {
    /// Into a store.
    ///
    /// # Errors
    /// The store's.
    pub fn into_store(store: Store) -> Result<Self> {
        let reader = store.readers().reader()?;
        Self::new(Some(store), Some(reader))
    }

    /// Into nothing: looks at the store, where there is one, and changes nothing.
    ///
    /// # Errors
    /// The store's.
    pub fn dry(file: &Path) -> Result<Self> {
        match Readers::of_file(file) {
            Ok(readers) => Self::new(None, Some(readers.reader()?)),
            Err(StoreError::Missing { .. }) => Self::new(None, None),
            Err(error) => Err(error),
        }
    }

    fn new(store: Option<Store>, reader: Option<Reader>) -> Result<Self> {
        let known = reader.as_ref().map_or_else(|| Ok(Vec::new()), Reader::all_series)?;
        Ok(Self {
            store,
            reader,
            series: known.into_iter().map(|one| (one.def.to_string(), one.id)).collect(),
            made: HashMap::new(),
            pending: Vec::new(),
            events: Vec::new(),
            known_events: None,
            new_run: false,
            tally: Tally::default(),
        })
    }

    /// What became of the samples.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The number of a series. One that the store knows stays as it was declared.
    pub(super) fn series(&mut self, def: &SeriesDef) -> Result<SeriesId> {
        let name = def.to_string();
        if let Some(known) = self.series.get(&name) {
            return Ok(*known);
        }
        let id = match &mut self.store {
            Some(store) => store.series(def, IMPORT)?,
            // numbers from the other end are free
            None => SeriesId(u32::MAX - u32::try_from(self.made.len()).unwrap_or(u32::MAX)),
        };
        self.series.insert(name, id);
        self.made.insert(id, Range::ALL.from);
        Ok(id)
    }

    /// The one stored series that a selector means; nothing where there is none or several.
    pub(super) fn only(&self, selector: &Selector) -> Result<Option<SeriesDef>> {
        let found = self.reader.as_ref().map_or_else(|| Ok(Vec::new()), |reader| reader.select(selector))?;
        let mut found = found.into_iter();
        Ok(found.next().filter(|_| found.next().is_none()).map(|one| one.def))
    }

    /// Takes a sample. One that is not finite is counted and not stored.
    pub(super) fn put(&mut self, time: Timestamp, sample: StoredSample) {
        if sample.value.is_finite() {
            self.pending.push(Pending { time, sample });
        } else {
            self.tally.skip("NaN or infinite");
        }
    }

    /// Whether it is time to [`flush`](Sink::flush).
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= COMMIT
    }

    /// Samples after this must not be paired with those before. To be called after a flush.
    pub(super) fn begin_run(&mut self) {
        self.new_run = true;
    }

    /// Before the events of a source: each of its events stands for one that is stored.
    pub(super) fn begin_events(&mut self) {
        self.known_events = None;
    }

    /// Takes an event, unless it is stored already.
    pub(super) fn put_event(&mut self, event: Event) -> Result<()> {
        let mut known = match self.known_events.take() {
            Some(known) => known,
            None => stored_events(self.reader.as_ref())?,
        };
        match known.get_mut(&fingerprint(&event)) {
            Some(times) if *times > 0 => {
                *times -= 1;
                self.tally.skip("event stored already");
            }
            _ => self.events.push(event),
        }
        self.known_events = Some(known);
        Ok(())
    }

    /// Gives a machine a number; see [`Store::reserve_vm`].
    pub(super) fn reserve_vm(&mut self, id: i64, uuid: &str) -> Result<()> {
        self.store.as_mut().map_or(Ok(()), |store| store.reserve_vm(id, uuid))
    }

    /// A value of the store.
    pub(super) fn meta(&self, key: &str) -> Result<Option<String>> {
        self.store.as_ref().map_or(Ok(None), |store| store.meta(key))
    }

    /// Stores what was taken, and with it these values.
    pub(super) fn flush(&mut self, meta: Vec<(String, String)>) -> Result<()> {
        self.pending.sort_by_key(|pending| (pending.time, pending.sample.series));
        let before = self.pending.len();
        self.pending.dedup_by_key(|pending| (pending.time, pending.sample.series));
        self.drop_known()?;
        let twice = (before - self.pending.len()) as u64;
        if twice > 0 {
            *self.tally.skipped.entry("stored already").or_default() += twice;
        }
        let same_time = self.pending.chunk_by(|a, b| a.time == b.time);
        let batch = |samples: &[Pending]| StoredBatch {
            time: samples[0].time, // a chunk is never empty
            samples: samples.iter().map(|pending| pending.sample).collect(),
        };
        let commit = Commit {
            batches: same_time.map(batch).collect(),
            events: std::mem::take(&mut self.events),
            new_run: self.new_run && !self.pending.is_empty(),
            meta,
            ..Commit::default()
        };
        if let Some(store) = &mut self.store {
            store.commit(&commit)?;
        }
        self.new_run &= !commit.new_run;
        self.tally.events += commit.events.len() as u64;
        self.tally.stored += self.pending.len() as u64;
        let oldest = self.pending.first().map(|pending| pending.time);
        self.tally.oldest = self.tally.oldest.into_iter().chain(oldest).min();
        for Pending { time, sample } in self.pending.drain(..) {
            if let Some(newest) = self.made.get_mut(&sample.series) {
                *newest = time.max(*newest);
            }
        }
        Ok(())
    }

    /// Drops the samples that are stored already.
    fn drop_known(&mut self) -> Result<()> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let made = &self.made;
        let doubtful = |pending: &&Pending| {
            made.get(&pending.sample.series).is_none_or(|newest| pending.time <= *newest)
        };
        let doubtful: Vec<Pending> = self.pending.iter().filter(doubtful).copied().collect();
        let ids: HashSet<SeriesId> = doubtful.iter().map(|pending| pending.sample.series).collect();
        let longest = LOOK / i64::try_from(ids.len().max(1)).unwrap_or(LOOK);
        let mut known: HashSet<(SeriesId, Timestamp)> = HashSet::new();
        let mut rest = doubtful.as_slice();
        while let Some(first) = rest.first() {
            let end = rest.partition_point(|pending| pending.time.millis_since(first.time) <= longest);
            let (look, after) = rest.split_at(end);
            let ids: HashSet<SeriesId> = look.iter().map(|pending| pending.sample.series).collect();
            let ids: Vec<SeriesId> = ids.into_iter().collect();
            let range = Range { from: first.time, to: look.last().map_or(first.time, |last| last.time) };
            for (id, points) in ids.iter().zip(reader.last_of_many(&ids, range, usize::MAX)?) {
                known.extend(points.into_iter().map(|point| (*id, point.time)));
            }
            rest = after;
        }
        if !known.is_empty() {
            self.pending.retain(|pending| !known.contains(&(pending.sample.series, pending.time)));
        }
        Ok(())
    }

    /// Closes the store.
    ///
    /// # Errors
    /// The store's.
    pub fn close(self) -> Result<()> {
        drop(self.reader);
        self.store.map_or(Ok(()), Store::close)
    }
}

/// How often each event is stored, by its fingerprint: an import that is run again stores none twice, and two that
/// look the same both.
fn stored_events(reader: Option<&Reader>) -> Result<HashMap<u64, u32>> {
    let mut known = HashMap::new();
    let Some(reader) = reader else { return Ok(known) };
    let mut filter = EventFilter { limit: PAGE, ..EventFilter::default() };
    loop {
        let page = reader.events(&filter)?;
        let Some(last) = page.last() else { return Ok(known) };
        filter.before = Some(last.id);
        for stored in &page {
            *known.entry(fingerprint(&stored.event)).or_default() += 1;
        }
    }
}

fn fingerprint(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    (event.time, &event.kind, &event.message, event.vm_id).hash(&mut hasher);
    hasher.finish()
}
