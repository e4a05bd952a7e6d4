//! A reserve of disk space beside the store. A full disk can't even take the deletion that would make room: then a part
//! of the reserve is given up for it, the oldest history is deleted so that the newest fits into the file as it is, and
//! the reserve is made whole once there is room.

use super::{
    Store,
    error::{Inner, Result, StoreError, of},
    file::beside,
    retention::Pages,
    types::Commit,
};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The most bytes of the reserve.
const LARGEST: u64 = 16 << 20;
/// Its share of what the store may take.
const SHARE: u64 = 16;
/// Below this much free space the store could not even be opened.
const OPENING: u64 = 1 << 20;
/// The reserve is made where there is room for so many of it: a disk that is full to the brim must not be found full
/// again at once.
const ROOM: u64 = 2;
/// A reserve of fewer bytes than this is given up as a whole.
const SMALLEST: u64 = 256 << 10;
/// How long the room is not looked at again while the disk is full.
const PAUSE: Duration = Duration::from_secs(5);
/// Free space within the database that a commit is given at least, and what a sample may take of it with its indexes.
const LEAST_MARGIN: u64 = 64 << 10;
const SAMPLE: u64 = 32;
/// Steps of deletion that one commit takes at most.
const STEPS: usize = 8;

/// The reserve.
#[derive(Debug)]
pub(super) struct Ballast {
    file: PathBuf,
    size: u64,
    /// What of it lies there.
    left: u64,
    /// How long the room is not looked at again while the disk is full.
    pause: Duration,
    /// The disk is full.
    full: Option<Full>,
}

#[derive(Debug)]
struct Full {
    /// Samples that were deleted because of it.
    deleted: u64,
    /// When the room was last looked at.
    looked: Instant,
}

impl Ballast {
    /// Takes over the reserve beside a store or makes one, where there is room. Gives it up where there is too little to
    /// open the store.
    pub(super) fn beside(database: &Path, max_size: u64) -> Self {
        let file = beside(database, ".reserve");
        let size = LARGEST.min(max_size / SHARE);
        // too large, or not wholly allocated: of another configuration, or a start that was cut short
        let sound =
            |meta: &fs::Metadata| meta.is_file() && meta.len() <= size && meta.blocks() * 512 >= meta.len();
        let left = fs::symlink_metadata(&file).ok().filter(sound).map_or(0, |meta| meta.len());
        let mut ballast = Self { file, size, left, pause: PAUSE, full: None };
        if ballast.room().is_some_and(|room| room < OPENING) {
            ballast.give_up();
        } else {
            ballast.restore();
        }
        ballast
    }

    /// Whether the disk is full, and if so, how many samples that has cost.
    pub(super) fn lost(&self) -> Option<u64> {
        self.full.as_ref().map(|full| full.deleted)
    }

    /// Gives up half of what is left of the reserve because the disk is full: not all at once, since who filled the disk
    /// may take it before the store does.
    fn give_up(&mut self) {
        self.full.get_or_insert(Full { deleted: 0, looked: Instant::now() });
        self.left /= 2;
        let open = OpenOptions::new().write(true).open(&self.file);
        if self.left < SMALLEST || open.and_then(|file| file.set_len(self.left)).is_err() {
            self.left = 0;
            let _ = fs::remove_file(&self.file); // it may be gone already
        }
    }

    /// Makes the reserve whole where there is room for it and as much again.
    pub(super) fn restore(&mut self) {
        if self.left == self.size || self.room().is_some_and(|room| room < ROOM * self.size) {
            return;
        }
        let new = beside(&self.file, ".new");
        let _ = fs::remove_file(&new); // mostly there is none
        match self.allocate(&new).and_then(|()| fs::rename(&new, &self.file)) {
            Ok(()) => {
                self.left = self.size;
                self.full = None;
            }
            Err(error) => {
                tracing::debug!(%error, file = %self.file.display(), "no reserve yet");
                let _ = fs::remove_file(&new);
            }
        }
    }

    /// Really takes the space: a file with holes would promise what isn't there. Takes all the room that is asked for
    /// first, since a quota doesn't show in what the file system says is free.
    fn allocate(&self, new: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        let wanted = ROOM * self.size;
        match fallocate(&file, FallocateFlags::empty(), 0, wanted) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_zeros(&file, wanted)?,
            Err(error) => return Err(error.into()),
        }
        file.set_len(self.size)?;
        file.sync_all()
    }

    /// Bytes that the agent's user could write on this file system; nothing where it doesn't say.
    fn room(&self) -> Option<u64> {
        let stat = statvfs(self.file.parent()?).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Bytes of free pages that the database is to have while the disk is full, for commits such as this one. A small
    /// history is not given up for a large margin.
    fn margin(&self, pages: &Pages, commit: &Commit) -> u64 {
        let samples: usize = commit.batches.iter().map(|batch| batch.samples.len()).sum();
        let least = LEAST_MARGIN + samples as u64 * SAMPLE;
        least.max((self.size / 4).min(pages.bytes() / 8))
    }

    /// Whether it is time to look for room again.
    fn is_due(&self) -> bool {
        self.full.as_ref().is_some_and(|full| full.looked.elapsed() >= self.pause)
    }
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        let part = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(&zeros[..part])?;
        left -= part as u64;
    }
    file.sync_all()
}

impl Store {
    /// While the disk is full: how many samples, the oldest ones, were deleted so that the newest could be kept. Nothing
    /// while there is room.
    pub fn disk_full(&self) -> Option<u64> {
        self.ballast.lost()
    }

    /// A commit failed, perhaps for want of space: gives up the reserve, makes room, and tries again.
    pub(super) fn commit_in_reserve(&mut self, commit: &Commit, error: StoreError) -> Result<usize> {
        let full = matches!(error, StoreError::DiskFull { .. });
        if !full {
            // a quota that is used up looks like a broken disk; if the reserve helps it was that
            let bytes =
                if self.ballast.left > 0 && is_write_error(&error) { self.try_without(commit) } else { None };
            return bytes.ok_or(error);
        }
        // the log keeps the room that it has: begun anew, it may be enough
        if self.ballast.full.is_some()
            && self.restart_log().is_ok()
            && let Ok(bytes) = self.write_commit(commit)
        {
            return Ok(bytes);
        }
        loop {
            self.ballast.give_up();
            let _ = self.restart_log(); // what it can't do now it may do for the next commit
            match self.sacrifice(commit).and_then(|()| self.write_commit(commit)) {
                // to delete needs room as well: more of the reserve
                Err(StoreError::DiskFull { .. }) if self.ballast.left > 0 => {}
                done => return done,
            }
        }
    }

    /// Tries once more without the reserve; keeps it where that does not help.
    fn try_without(&mut self, commit: &Commit) -> Option<usize> {
        let full_before = self.ballast.full.is_some();
        self.ballast.give_up();
        match self.write_commit(commit) {
            Ok(bytes) => Some(bytes),
            Err(_) => {
                if !full_before {
                    self.ballast.full = None;
                }
                self.ballast.restore();
                None
            }
        }
    }

    /// After each commit while the disk is full: ends that where there is room again, or else sees to it that the next
    /// commits fit into the file as it is.
    pub(super) fn keep_room(&mut self, commit: &Commit) {
        if self.ballast.is_due() {
            self.ballast.restore();
            if let Some(full) = &mut self.ballast.full {
                full.looked = Instant::now();
            }
        }
        if self.ballast.full.is_some()
            && let Err(error) = self.sacrifice(commit)
        {
            tracing::debug!(%error, "no room could be made yet");
        }
    }

    /// Makes the reserve whole where there is room.
    pub(super) fn restore_reserve(&mut self) {
        self.ballast.restore();
    }

    /// Deletes the oldest history until the file has enough free pages, in bounded steps.
    fn sacrifice(&mut self, commit: &Commit) -> Result<()> {
        // what costs nobody anything goes first
        if self.lacks_room(commit).map_err(of(&self.file))? {
            self.samples.free_places(&self.conn).map_err(of(&self.file))?;
        }
        for _ in 0..STEPS {
            if !self.lacks_room(commit).map_err(of(&self.file))? {
                break;
            }
            let deleted = self.drop_oldest().map_err(of(&self.file))?;
            if let Some(full) = &mut self.ballast.full {
                full.deleted += deleted.samples;
            }
        }
        Ok(())
    }

    fn lacks_room(&self, commit: &Commit) -> Inner<bool> {
        let pages = Pages::of(&self.conn)?;
        Ok(pages.free_bytes() < self.ballast.margin(&pages, commit))
    }
}

/// Whether the system refused to write or sync, for whatever reason.
fn is_write_error(error: &StoreError) -> bool {
    use rusqlite::ffi::{
        SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_TRUNCATE,
        SQLITE_IOERR_WRITE,
    };
    let StoreError::Sqlite { source: rusqlite::Error::SqliteFailure(code, _), .. } = error else {
        return false;
    };
    [
        SQLITE_IOERR_WRITE,
        SQLITE_IOERR_FSYNC,
        SQLITE_IOERR_DIR_FSYNC,
        SQLITE_IOERR_TRUNCATE,
        SQLITE_IOERR_SHMSIZE,
    ]
    .contains(&code.extended_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{SeriesId, Timestamp},
        store::{Options, Range, Retention, StoredBatch, StoredSample},
    };
    use tempfile::TempDir;

    const BEGIN: i64 = 1_800_000_000_000;
    const PAGE: i64 = 1024;

    fn store(directory: &TempDir) -> Store {
        let options = Options {
            file: directory.path().join("history.db"),
            retention: Retention::default(),
            max_loss: Duration::from_secs(3600),
            max_size: 64 << 20,
        };
        Store::open(options).unwrap()
    }

    /// A tick of ten seconds.
    fn tick(tick: i64) -> Commit {
        let sample =
            |n| StoredSample { series: SeriesId(n), reset: false, value: tick as f64 + f64::from(n) / 7.0 };
        let batch = StoredBatch {
            time: Timestamp::from_millis(BEGIN + tick * 10_000),
            samples: (1..=200).map(sample).collect(),
        };
        Commit { batches: vec![batch], ..Commit::default() }
    }

    /// The ticks that are there, oldest first.
    fn ticks(store: &Store) -> Vec<i64> {
        let points = store.readers().reader().unwrap().last(SeriesId(1), Range::ALL, 100_000).unwrap();
        points.iter().rev().map(|point| point.value as i64).collect()
    }

    /// SQLite answers as if the disk had room for so many pages of the database.
    fn bound(store: &Store, pages: i64) {
        store.conn.execute_batch(&format!("PRAGMA max_page_count = {pages}")).unwrap();
    }

    /// The room is looked at with the next commit, or with none: the disk below the bound has room, so how long a test
    /// takes must not decide.
    fn look_again(store: &mut Store, again: bool) {
        store.ballast.pause = if again { Duration::ZERO } else { Duration::MAX };
    }

    #[test]
    fn on_a_full_disk_the_newest_is_kept_and_the_reserve_comes_back() {
        let directory = TempDir::new().unwrap();
        let mut store = store(&directory);
        look_again(&mut store, false);
        let reserve = directory.path().join("history.db.reserve");
        let meta = fs::metadata(&reserve).unwrap();
        assert_eq!(meta.len(), 4 << 20, "a sixteenth of max_size");
        assert!(meta.blocks() * 512 >= 4 << 20, "really allocated");
        for n in 0..1500 {
            store.commit(&tick(n)).unwrap();
        }
        assert_eq!((store.disk_full(), ticks(&store).len()), (None, 1500));
        let pages: i64 = store.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        bound(&store, pages);
        for n in 1500..6000 {
            store.commit(&tick(n)).unwrap();
        }
        let kept = ticks(&store);
        assert_eq!(kept.last(), Some(&5999));
        assert!(kept.windows(2).all(|two| two[0] + 1 == two[1]), "without a hole");
        // a part of two hours, 720 ticks, goes as a whole
        assert!((200..1500).contains(&kept.len()), "{} of the 1500 that have room", kept.len());
        // but for a step that failed half-way, for want of room
        let (deleted, counted) = ((6000 - kept.len() as u64) * 200, store.disk_full().unwrap());
        assert!((deleted * 99 / 100..=deleted).contains(&counted), "{counted} of {deleted} are counted");
        let left = fs::metadata(&reserve).unwrap().len();
        assert_eq!(left, 2 << 20, "half was enough");
        let size = fs::metadata(&store.file).unwrap().len();
        assert!(size <= (pages * PAGE) as u64, "{size}");

        bound(&store, 1_000_000);
        store.commit(&tick(6000)).unwrap();
        assert!(store.disk_full().is_some(), "not looked at each time");
        look_again(&mut store, true);
        store.commit(&tick(6001)).unwrap();
        assert_eq!(store.disk_full(), None);
        assert_eq!(fs::metadata(&reserve).unwrap().len(), 4 << 20);
        assert_eq!(ticks(&store).len(), kept.len() + 2, "nothing more was deleted");
        store.close().unwrap();
        assert!(reserve.exists(), "for the next start");
    }

    #[test]
    fn a_reserve_of_another_size_or_with_holes_is_made_anew() {
        let directory = TempDir::new().unwrap();
        let database = directory.path().join("history.db");
        let reserve = directory.path().join("history.db.reserve");
        fs::write(&reserve, vec![1; 3 << 20]).unwrap();
        assert_eq!(Ballast::beside(&database, 32 << 20).left, 2 << 20);
        assert_eq!(fs::metadata(&reserve).unwrap().len(), 2 << 20);

        fs::remove_file(&reserve).unwrap();
        File::create(&reserve).unwrap().set_len(2 << 20).unwrap();
        assert_eq!(Ballast::beside(&database, 32 << 20).left, 2 << 20);
        assert!(fs::metadata(&reserve).unwrap().blocks() * 512 >= 2 << 20);
        let inode = fs::metadata(&reserve).unwrap().ino();
        assert_eq!(Ballast::beside(&database, 32 << 20).left, 2 << 20);
        assert_eq!(fs::metadata(&reserve).unwrap().ino(), inode, "one that fits is taken over");
    }

    #[test]
    fn without_room_there_is_no_reserve_and_no_half_of_one() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("history.db.reserve");
        let mut ballast =
            Ballast { file: file.clone(), size: u64::MAX / 4, left: 0, pause: PAUSE, full: None };
        ballast.restore();
        assert!(ballast.left == 0 && !file.exists());
        // a file system that doesn't say how much room there is
        assert!(ballast.allocate(&file).is_err());
        let mut ballast = Ballast { file: "/nowhere/at/all".into(), ..ballast };
        ballast.restore();
        assert_eq!(ballast.left, 0);
    }

    #[test]
    fn what_is_written_where_files_can_not_be_allocated_takes_its_space() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        write_zeros(&File::create(&path).unwrap(), 200_000).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!(meta.len(), 200_000);
        assert!(meta.blocks() * 512 >= 200_000);
    }

    #[test]
    fn a_broken_disk_is_told_from_a_full_one() {
        let error = |code| StoreError::Sqlite {
            file: "f".into(),
            source: rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None),
        };
        use rusqlite::ffi::{SQLITE_IOERR_FSYNC, SQLITE_IOERR_READ, SQLITE_IOERR_WRITE, SQLITE_MISUSE};
        for (code, may_be) in [
            (SQLITE_IOERR_FSYNC, true),
            (SQLITE_IOERR_WRITE, true),
            (SQLITE_IOERR_READ, false),
            (SQLITE_MISUSE, false),
        ] {
            assert_eq!(is_write_error(&error(code)), may_be, "{code}");
        }
        // the reserve helps: it was a quota
        let directory = TempDir::new().unwrap();
        let mut store = store(&directory);
        assert!(store.commit_in_reserve(&tick(0), error(SQLITE_IOERR_FSYNC)).unwrap() > 0);
        assert!(store.disk_full().is_some() && store.ballast.left < store.ballast.size);
        look_again(&mut store, true);
        store.commit(&tick(1)).unwrap();
        assert!(store.disk_full().is_none() && store.ballast.left == store.ballast.size);
        // it does not help: the disk is broken, and the history stays
        let trigger =
            "CREATE TEMP TRIGGER fails BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'on purpose'); END";
        store.conn.execute_batch(trigger).unwrap();
        let refused = store.commit_in_reserve(&tick(2), error(SQLITE_IOERR_FSYNC)).unwrap_err();
        assert!(matches!(refused, StoreError::Sqlite { .. }));
        assert!(store.disk_full().is_none() && store.ballast.left == store.ballast.size);
        assert_eq!(ticks(&store), [0, 1]);
    }
}
