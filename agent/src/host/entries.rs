//! The series of a collector by the plugin's ids, which are never given twice: pages that go when all their series have
//! ended, so that series that come and go don't fill the memory.

use crate::model::LocalSeries;

/// Ids of one page.
const PAGE: usize = 64;

/// A family's id and the label values in the order of its keys.
pub(super) type Key = (u32, Box<[Box<str>]>);

/// What a sample of a series is held against. Small, and apart from what it is called: all of them go through the
/// processor's cache at every collection.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// The collection in which it last had a sample.
    pub(super) seen: u64,
    /// Its last value; NaN before the first one.
    pub(super) last: f64,
    /// The host's number.
    pub(super) local: LocalSeries,
    pub(super) counter: bool,
    /// A sample was refused that began the counter anew: the next one does.
    pub(super) reset: bool,
    /// The plugin said in this call that it has no value.
    pub(super) absent: bool,
    /// It has not ended.
    live: bool,
}

impl Entry {
    /// Of a series that had no sample yet.
    pub(super) fn new(local: LocalSeries, counter: bool) -> Self {
        Self { seen: 0, last: f64::NAN, local, counter, reset: false, absent: false, live: true }
    }

    /// Of an id that was left out.
    fn nobody() -> Self {
        Self { live: false, ..Self::new(0, false) }
    }
}

#[derive(Default)]
struct Page {
    live: usize,
    entries: Vec<Entry>,
    keys: Vec<Option<Key>>,
}

/// The entries of live series, by id.
#[derive(Default)]
pub(super) struct Entries {
    pages: Vec<Option<Box<Page>>>,
    next: u32,
}

impl Entries {
    /// Adds an entry under the next id; nothing where there is none left.
    pub(super) fn push(&mut self, entry: Entry, key: Key) -> Option<u32> {
        let id = self.next;
        self.next = id.checked_add(1)?;
        let (page, at) = place(id);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages.get_mut(page)?.get_or_insert_default();
        page.entries.resize_with(at, Entry::nobody);
        page.entries.push(entry);
        page.keys.resize_with(at, || None);
        page.keys.push(Some(key));
        page.live += 1;
        Some(id)
    }

    /// The id of the next entry.
    pub(super) fn next_id(&self) -> u32 {
        self.next
    }

    /// Gives an id to nobody.
    pub(super) fn skip(&mut self) {
        self.next = self.next.saturating_add(1);
    }

    /// The entry of an id.
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Entry> {
        let (page, at) = place(id);
        self.page(page).get_mut(at).filter(|entry| entry.live)
    }

    /// The entries of a page, dead ones too.
    fn page(&mut self, number: usize) -> &mut [Entry] {
        match self.pages.get_mut(number) {
            Some(Some(page)) => &mut page.entries,
            _ => &mut [],
        }
    }

    /// Hands over each of these things with the entry of its id, if there is one. Ids mostly follow each other, so that a
    /// page is looked up once for all that lie in it.
    #[inline]
    pub(super) fn visit<T>(
        &mut self,
        things: impl Iterator<Item = T>,
        id: impl Fn(&T) -> u32,
        mut act: impl FnMut(T, Option<&mut Entry>),
    ) {
        let (mut number, mut page) = (usize::MAX, &mut [][..]); // no id lies in that one
        for thing in things {
            let (wanted, at) = place(id(&thing));
            if wanted != number {
                (number, page) = (wanted, self.page(wanted));
            }
            act(thing, page.get_mut(at).filter(|entry| entry.live));
        }
    }

    /// Ends a series; its number and its key.
    pub(super) fn take(&mut self, id: u32) -> Option<(LocalSeries, Key)> {
        let (page, at) = place(id);
        let slot = self.pages.get_mut(page)?;
        let page = slot.as_mut()?;
        let key = page.keys.get_mut(at)?.take()?;
        let entry = page.entries.get_mut(at)?;
        entry.live = false;
        let local = entry.local;
        page.live -= 1;
        if page.live == 0 {
            *slot = None;
        }
        Some((local, key))
    }

    /// All live entries.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        let pages = self.pages.iter().flatten();
        pages.flat_map(|page| page.entries.iter().filter(|entry| entry.live))
    }

    /// Pages that take memory.
    #[cfg(test)]
    pub(super) fn pages(&self) -> usize {
        self.pages.iter().flatten().count()
    }
}

fn place(id: u32) -> (usize, usize) {
    (id as usize / PAGE, id as usize % PAGE)
}
