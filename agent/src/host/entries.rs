//! The series of a collector by the plugin's ids, which are never given twice: pages that go when all their series have
//! ended, so that series that come and go don't fill the memory.

use super::series_table::Entry;

/// Ids of one page.
const PAGE: usize = 64;

#[derive(Default)]
struct Page {
    live: usize,
    entries: Vec<Option<Entry>>,
}

/// The entries of live series, by id.
#[derive(Default)]
pub(super) struct Entries {
    pages: Vec<Option<Box<Page>>>,
    next: u32,
}

impl Entries {
    /// Adds an entry under the next id; nothing where there is none left.
    pub(super) fn push(&mut self, entry: Entry) -> Option<u32> {
        let id = self.next;
        self.next = id.checked_add(1)?;
        let (page, at) = place(id);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages.get_mut(page)?.get_or_insert_default();
        page.entries.resize_with(at, || None);
        page.entries.push(Some(entry));
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
        self.pages.get_mut(page)?.as_mut()?.entries.get_mut(at)?.as_mut()
    }

    /// Ends a series.
    pub(super) fn take(&mut self, id: u32) -> Option<Entry> {
        let (page, at) = place(id);
        let slot = self.pages.get_mut(page)?;
        let entries = slot.as_mut()?;
        let entry = entries.entries.get_mut(at)?.take()?;
        entries.live -= 1;
        if entries.live == 0 {
            *slot = None;
        }
        Some(entry)
    }

    /// All live entries.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.pages.iter().flatten().flat_map(|page| page.entries.iter().flatten())
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
