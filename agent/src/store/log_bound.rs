//! Keeps a reader that never ends from growing the write-ahead log without bound: SQLite can't begin the log anew while
//! somebody reads an old state of it.

use super::{
    Store,
    error::{Result, StoreError, of},
    file::beside,
    holder, schema,
};
use std::{fs, path::Path, time::Duration};

/// The largest log with which commits are still taken.
const LARGEST: u64 = 64 << 20;

/// Commits between two looks at a log that was small: asking the system each time costs more than it is worth.
const UNSEEN: u32 = 15;

/// How large the write-ahead log may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogBound {
    /// Beyond so many bytes commits are refused.
    pub(super) refused: u64,
    /// Beyond so many bytes each commit tries to empty it: four times what SQLite lets it grow to by itself.
    pub(super) emptied: u64,
    /// So many commits more are taken without looking.
    pub(super) unseen: u32,
    /// The pages at which SQLite empties it by itself.
    pages: u64,
}

impl Default for LogBound {
    fn default() -> Self {
        Self {
            refused: LARGEST,
            emptied: 4 * schema::CHECKPOINT_PAGES * schema::PAGE,
            unseen: 0,
            pages: schema::CHECKPOINT_PAGES,
        }
    }
}

impl Store {
    /// Has SQLite empty the log at a size that suits the number of series: two pages a series.
    pub(super) fn suit_log(&mut self) -> rusqlite::Result<()> {
        let pages =
            (self.samples.series() as u64 * 2).clamp(schema::CHECKPOINT_PAGES, schema::MOST_CHECKPOINT_PAGES);
        if pages.abs_diff(self.log_bound.pages) * 4 > self.log_bound.pages {
            self.conn.execute_batch(&format!("PRAGMA wal_autocheckpoint = {pages}"))?;
            self.log_bound.pages = pages;
            self.log_bound.emptied = (4 * pages * schema::PAGE).min(LARGEST / 4 * 3);
        }
        Ok(())
    }

    /// Empties the log where it has grown too large.
    ///
    /// # Errors
    /// [`StoreError::Held`] where it is beyond its bound, and a reader keeps it from being emptied.
    pub(super) fn bound_log(&mut self) -> Result<()> {
        if self.log_bound.unseen > 0 {
            self.log_bound.unseen -= 1;
            return Ok(());
        }
        let bytes = size(&self.file);
        if bytes <= self.log_bound.emptied {
            self.log_bound.unseen = UNSEEN;
            return Ok(());
        }
        let emptied = self.empty_log();
        if bytes <= self.log_bound.refused || size(&self.file) <= self.log_bound.refused {
            return Ok(());
        }
        emptied.map_err(of(&self.file))?;
        let holders = holder::of_log(&self.file);
        Err(StoreError::Held { file: self.file.clone(), bytes, holders })
    }

    /// Moves what the log holds to the database, so that it is begun anew and takes no more room than it has.
    pub(super) fn restart_log(&self) -> rusqlite::Result<()> {
        self.checkpoint("PRAGMA wal_checkpoint(RESTART)")
    }

    /// Moves what the log holds to the database, as far as readers allow, and cuts the log to nothing where they allow
    /// all. Waits for nobody: the next commit tries again.
    fn empty_log(&self) -> rusqlite::Result<()> {
        self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)")
    }

    fn checkpoint(&self, pragma: &str) -> rusqlite::Result<()> {
        self.conn.busy_timeout(Duration::ZERO)?;
        let outcome = self.conn.query_row(pragma, [], |_| Ok(()));
        self.conn.busy_timeout(schema::BUSY)?;
        outcome
    }
}

fn size(database: &Path) -> u64 {
    fs::metadata(beside(database, "-wal")).map_or(0, |meta| meta.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{SeriesId, Timestamp},
        store::{Commit, Options, Range, Retention, StoredBatch, StoredSample},
    };
    use rusqlite::Connection;
    use tempfile::TempDir;

    fn tick(tick: i64) -> Commit {
        let sample = |n| StoredSample { series: SeriesId(n), reset: false, value: f64::from(n) / 7.0 };
        let time = Timestamp::from_millis(1_800_000_000_000 + tick * 1000);
        let samples = (0..2000).map(sample).collect();
        Commit { batches: vec![StoredBatch { time, samples }], ..Commit::default() }
    }

    #[test]
    fn a_reader_that_never_ends_costs_a_bounded_log() {
        let directory = TempDir::new().unwrap();
        let mut store = Store::open(Options {
            file: directory.path().join("history.db"),
            retention: Retention::default(),
            max_loss: Duration::from_secs(3600),
            max_size: 1 << 30,
        })
        .unwrap();
        store.log_bound = LogBound { refused: 1 << 20, emptied: 1 << 19, ..LogBound::default() };
        store.commit(&tick(0)).unwrap();
        let reader = Connection::open(&store.file).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM journal").unwrap();
        let (refused, error) = (1..500)
            .find_map(|n| store.commit(&tick(n)).err().map(|error| (n, error)))
            .expect("the log is bounded");
        let StoreError::Held { bytes, .. } = &error else { panic!("{error:?}") };
        assert!(error.is_transient());
        assert!(error.to_string().contains("write-ahead log"), "{error}");
        assert!((1 << 20..2 << 20).contains(bytes), "{bytes}");
        let before = size(&store.file);
        for _ in 0..10 {
            assert!(matches!(store.commit(&tick(refused)), Err(StoreError::Held { .. })));
        }
        assert_eq!(size(&store.file), before, "a refusal writes nothing");
        store.expire(Timestamp::from_millis(1_800_000_000_000), true).unwrap();
        assert_eq!(size(&store.file), before, "nor does retention");

        reader.execute_batch("COMMIT").unwrap();
        for n in refused..refused + 5 {
            store.commit(&tick(n)).unwrap();
        }
        assert!(size(&store.file) < 1 << 20);
        let points = store.readers().reader().unwrap().last(SeriesId(7), Range::ALL, 10_000).unwrap();
        assert_eq!(points.len() as i64, refused + 5, "each commit once");
    }
}
