//! One interface: who it is, what it counts, how its link is.

use crate::{
    counters::Counters,
    link::Link,
    parse::{
        dev::Values,
        link::{Facts, name_label},
    },
    sysfs::LinkFiles,
    total::Identity,
};
use twarga_plugin_api::prelude::*;

/// Where the facts of links come from.
pub(crate) trait Links {
    fn identity(&mut self, name: &[u8]) -> Identity;
    /// The number of the interface that has this name now, where there are such numbers.
    fn index(&mut self, name: &[u8]) -> Option<u64>;
    /// Files to keep open, where that saves something.
    fn open(&mut self, name: &[u8]) -> Option<LinkFiles>;
    fn facts(&mut self, name: &[u8], files: Option<&LinkFiles>, facts: &mut Facts);
}

/// How an interface is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It has series.
    Shown,
    /// The filter left it out; the totals may count it all the same.
    Hidden,
    /// A second line of the same name, left alone.
    Duplicate,
}

/// One interface, in the place of its line.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) name: Box<[u8]>,
    label: String,
    pub(crate) role: Role,
    /// No whole line of it was seen yet.
    pub(crate) fresh: bool,
    /// It was there at the plugin's first collection, which is going on.
    pub(crate) first: bool,
    /// The totals count it.
    pub(crate) counted: bool,
    /// Another interface took over the name since the last collection.
    recreated: bool,
    /// Some of its series were not registered.
    pub(crate) refused: bool,
    /// They shall be tried again.
    pub(crate) retry: bool,
    pub(crate) identity: Identity,
    pub(crate) files: Option<LinkFiles>,
    pub(crate) counters: Counters,
    pub(crate) link: Link,
}

impl Interface {
    pub(crate) fn new(name: &[u8], role: Role) -> Self {
        Self {
            name: name.into(),
            label: name_label(name),
            role,
            fresh: true,
            first: false,
            counted: false,
            recreated: false,
            refused: false,
            retry: false,
            identity: Identity::default(),
            files: None,
            counters: Counters::default(),
            link: Link::default(),
        }
    }

    /// Whether its facts are read again from time to time.
    pub(crate) fn is_renewed(&self) -> bool {
        let matters = self.role == Role::Shown || (self.role == Role::Hidden && self.identity.physical);
        matters && !self.fresh
    }

    /// Begins with an interface whose line was seen for the first time.
    pub(crate) fn establish(
        &mut self,
        links: &mut impl Links,
        host: &mut Host<'_>,
        facts: &mut Facts,
        values: &Values,
        keep_files: bool,
    ) -> Result<()> {
        self.fresh = false;
        self.identity = links.identity(&self.name);
        if self.role != Role::Shown {
            return Ok(());
        }
        if keep_files {
            self.files = links.open(&self.name);
        }
        self.register(links, host, facts, values)
    }

    /// Registers what has values.
    pub(crate) fn register(
        &mut self,
        links: &mut impl Links,
        host: &mut Host<'_>,
        facts: &mut Facts,
        values: &Values,
    ) -> Result<()> {
        self.refused = true; // until all went well
        self.counters.register(host, &self.label, values)?;
        links.facts(&self.name, self.files.as_ref(), facts);
        self.link.update(host, &self.label, facts, false)?;
        self.refused = false;
        Ok(())
    }

    /// Reads its facts again. Says whether that may change which interfaces the totals count.
    pub(crate) fn renew(
        &mut self,
        links: &mut impl Links,
        host: &mut Host<'_>,
        facts: &mut Facts,
    ) -> (bool, Result<()>) {
        let mut changed = false;
        let index = links.index(&self.name);
        let other = index.is_some() && self.identity.index.is_some() && index != self.identity.index;
        if other || self.identity.physical {
            let identity = links.identity(&self.name);
            // without a number it is going away just now: its line will tell
            if identity.index.is_some() || self.identity.index.is_none() {
                changed = identity != self.identity;
                self.identity = identity;
            }
        }
        if other {
            self.recreated = true;
            self.files = self.files.take().and_then(|_| links.open(&self.name));
        }
        if self.role != Role::Shown {
            return (changed, Ok(()));
        }
        links.facts(&self.name, self.files.as_ref(), facts);
        (changed, self.link.update(host, &self.label, facts, other))
    }

    /// Takes the values of its line.
    pub(crate) fn observe(&mut self, values: &Values) {
        let recreated = std::mem::take(&mut self.recreated);
        self.counters.observe(values, recreated);
    }

    /// Whether its number shows that another interface took over the name; asked where a counter fell.
    pub(crate) fn was_replaced(&self, links: &mut impl Links) -> bool {
        !self.recreated
            && self.identity.index.is_some()
            && links.index(&self.name).is_some_and(|index| Some(index) != self.identity.index)
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = Series> {
        self.counters.series().chain(self.link.series())
    }
}
