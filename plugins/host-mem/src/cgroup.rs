//! The memory limit of the agent's own cgroup (version 2), as in a container.

use crate::{
    metrics::{CGROUP_LIMIT, CGROUP_USED},
    parse::cgroup::{self, Limit},
    reading::{self, MISSING, UNREADABLE},
};
use std::{
    io,
    path::{Path, PathBuf},
};
use twarga_plugin_api::{Host, Result, Series, Sink, pseudo_file::PseudoFile};

/// One cgroup above the agent, its own included.
struct Level {
    folder: PathBuf,
    max: PseudoFile,
}

/// The cgroup with the lowest limit.
struct Lowest {
    level: usize,
    current: PseudoFile,
    stat: PseudoFile,
}

/// The cgroups that the agent runs in, and the series where one of them limits it to less than the host has.
pub(crate) struct Cgroup {
    root: PathBuf,
    levels: Option<Vec<Level>>,
    lowest: Option<Lowest>,
    series: Option<(Series, Series)>,
}

impl Cgroup {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.into(), levels: None, lowest: None, series: None }
    }

    /// Puts limit and use; `memory` is the host's, in bytes.
    ///
    /// # Errors
    /// Where a file that was there can't be read, as when the agent was moved to another cgroup: found anew at the
    /// next collection.
    pub(crate) fn collect(&mut self, memory: u64, sink: &mut Sink<'_>) -> Result<()> {
        let outcome = self.read(memory);
        if outcome.is_err() {
            (self.levels, self.lowest) = (None, None);
        }
        match outcome {
            Ok(None) => self.retire(sink.host()),
            Ok(Some((bytes, used))) => {
                let (limit_series, used_series) = self.series(sink.host())?;
                sink.put(limit_series, bytes as f64);
                reading::put(sink, used_series, used.map(|used| used as f64).ok_or(MISSING));
            }
            Err(error) => {
                self.unavailable(UNREADABLE, sink);
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Where the limit, or the host's memory to compare it with, can't be read.
    pub(crate) fn unavailable(&self, reason: &str, sink: &mut Sink<'_>) {
        if let Some((limit, used)) = self.series {
            sink.unavailable(limit, reason);
            sink.unavailable(used, reason);
        }
    }

    /// The lowest limit below `memory` and what is used of it.
    fn read(&mut self, memory: u64) -> io::Result<Option<(u64, Option<u64>)>> {
        let root = &self.root;
        let levels = self.levels.get_or_insert_with(|| find(root));
        let mut lowest: Option<(usize, u64)> = None;
        for (index, level) in levels.iter_mut().enumerate() {
            if let Some(Limit::Bytes(bytes)) = cgroup::limit(level.max.read()?)
                && lowest.is_none_or(|(_, low)| bytes < low)
            {
                lowest = Some((index, bytes));
            }
        }
        let Some((level, bytes)) = lowest.filter(|(_, bytes)| *bytes < memory) else {
            self.lowest = None;
            return Ok(None);
        };
        if self.lowest.as_ref().is_none_or(|lowest| lowest.level != level) {
            let open = |name| PseudoFile::open(&levels[level].folder, name);
            self.lowest =
                Some(Lowest { level, current: open("memory.current")?, stat: open("memory.stat")? });
        }
        let Some(lowest) = &mut self.lowest else { return Ok(None) };
        Ok(Some((bytes, lowest.used()?)))
    }

    fn series(&mut self, host: &mut Host<'_>) -> Result<(Series, Series)> {
        if let Some(series) = self.series {
            return Ok(series);
        }
        let series = (host.series(&CGROUP_LIMIT, &[])?, host.series(&CGROUP_USED, &[])?);
        self.series = Some(series);
        Ok(series)
    }

    fn retire(&mut self, host: &mut Host<'_>) {
        if let Some((limit, used)) = self.series.take() {
            host.retire(limit);
            host.retire(used);
        }
    }
}

impl Lowest {
    /// `memory.current` counts the cache of files, which the kernel takes back before it refuses memory. Without the
    /// part that was used less recently, the number compares with the host's used memory.
    fn used(&mut self) -> io::Result<Option<u64>> {
        let current = crate::parse::lone_number(self.current.read()?);
        let cache = cgroup::inactive_file(self.stat.read()?);
        Ok(current.zip(cache).map(|(current, cache)| current.saturating_sub(cache)))
    }
}

/// The cgroups from the agent's own up to the root of the hierarchy as far as it is visible here. The root of a host
/// has no `memory.max`; the root of a container's namespace has.
fn find(root: &Path) -> Vec<Level> {
    let Ok(content) = std::fs::read(root.join("proc/self/cgroup")) else { return vec![] };
    let Some(path) = cgroup::own_path(&content) else { return vec![] };
    let hierarchy = root.join("sys/fs/cgroup");
    let own = hierarchy.join(path.trim_matches('/'));
    let folders = own.ancestors().take_while(|folder| folder.starts_with(&hierarchy));
    let level = |folder: &Path| {
        let max = PseudoFile::open(folder, "memory.max").ok()?;
        Some(Level { folder: folder.into(), max })
    };
    folders.filter_map(level).collect()
}
