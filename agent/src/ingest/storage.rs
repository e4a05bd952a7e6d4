//! What the writer needs of the store, so that tests can stand in for a failing one.

use crate::{
    inventory::Registry,
    model::{SeriesDef, SeriesId, Timestamp},
    store::{Commit, Deleted, Options, Store, StoreError},
};
use std::error::Error;

/// What the writer needs of the store.
pub(super) trait Storage: Registry {
    /// The time of the newest commit, also before this start.
    fn last_commit(&self) -> Option<Timestamp>;
    /// Finds or creates a series.
    fn series(&mut self, def: &SeriesDef, collector: &str) -> Result<SeriesId, Self::Error>;
    /// One transaction; the bytes of its journal row.
    fn commit(&mut self, commit: &Commit) -> Result<usize, Self::Error>;
    /// Deletes what is strictly older.
    fn delete_before(&mut self, before: Timestamp) -> Result<Deleted, Self::Error>;
    /// While the disk is full: how many samples, the oldest, that has cost.
    fn disk_full(&self) -> Option<u64>;
    /// The series ended, and nothing that waits is of it: what was remembered of it for its next samples may be forgotten.
    fn forget(&mut self, series: SeriesId);
    /// Applies retention.
    fn expire(&mut self, now: Timestamp, trusted: bool) -> Result<Deleted, Self::Error>;
    /// How much is kept from now on.
    fn set_options(&mut self, options: &Options);
    /// Syncs and closes.
    fn close(self) -> Result<(), Self::Error>
    where
        Self: Sized;
    /// What kind of failure it was.
    fn fault(error: &Self::Error) -> Fault;
}

/// Kinds of failures. All but one are tried again; they differ in how loudly they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Somebody else holds the file; passes by itself.
    Busy,
    /// A reader that does not end keeps the store from writing.
    Held,
    /// No space is left.
    Full,
    /// What was to be written can never be.
    Refused,
    /// Anything else.
    Other,
}

impl Fault {
    /// For the event.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Held => "held",
            Self::Full => "full",
            Self::Refused => "refused",
            Self::Other => "error",
        }
    }

    /// Reads the SQLite error out of what caused `error`.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
            match code {
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                    return Self::Busy;
                }
                Some(rusqlite::ErrorCode::DiskFull) => return Self::Full,
                Some(
                    rusqlite::ErrorCode::ConstraintViolation
                    | rusqlite::ErrorCode::TooBig
                    | rusqlite::ErrorCode::TypeMismatch,
                ) => return Self::Refused,
                _ => cause = error.source(),
            }
        }
        Self::Other
    }
}

impl Registry for Store {
    type Error = StoreError;

    fn vm_id(&mut self, vm: &str) -> Result<i64, StoreError> {
        Store::vm_id(self, vm)
    }

    fn rename_vm(&mut self, vm_id: i64, vm: &str) -> Result<(), StoreError> {
        Store::rename_vm(self, vm_id, vm)
    }

    fn vms(&self) -> Result<Vec<(i64, String)>, StoreError> {
        Store::vms(self)
    }

    fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        Store::meta(self, key)
    }
}

impl Storage for Store {
    fn last_commit(&self) -> Option<Timestamp> {
        Store::last_commit(self)
    }

    fn series(&mut self, def: &SeriesDef, collector: &str) -> Result<SeriesId, StoreError> {
        Store::series(self, def, collector)
    }

    fn commit(&mut self, commit: &Commit) -> Result<usize, StoreError> {
        Store::commit(self, commit)
    }

    fn delete_before(&mut self, before: Timestamp) -> Result<Deleted, StoreError> {
        Store::delete_before(self, before)
    }

    fn disk_full(&self) -> Option<u64> {
        Store::disk_full(self)
    }

    fn forget(&mut self, series: SeriesId) {
        Store::forget(self, series);
    }

    fn expire(&mut self, now: Timestamp, trusted: bool) -> Result<Deleted, StoreError> {
        Store::expire(self, now, trusted)
    }

    fn set_options(&mut self, options: &Options) {
        Store::set_options(self, options);
    }

    fn close(self) -> Result<(), StoreError> {
        Store::close(self)
    }

    fn fault(error: &StoreError) -> Fault {
        match error {
            StoreError::Busy { .. } => Fault::Busy,
            StoreError::Held { .. } => Fault::Held,
            StoreError::DiskFull { .. } => Fault::Full,
            StoreError::Exhausted { .. } => Fault::Refused,
            other => Fault::of(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("commit")]
    struct Wrapped(#[source] rusqlite::Error);

    fn sqlite(code: i32) -> Wrapped {
        Wrapped(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None))
    }

    #[test]
    fn faults_are_read_from_the_cause() {
        assert_eq!(Fault::of(&sqlite(5)), Fault::Busy);
        assert_eq!(Fault::of(&sqlite(6)), Fault::Busy);
        assert_eq!(Fault::of(&sqlite(13)), Fault::Full);
        assert_eq!(Fault::of(&sqlite(18)), Fault::Refused);
        assert_eq!(Fault::of(&sqlite(19)), Fault::Refused);
        assert_eq!(Fault::of(&sqlite(11)), Fault::Other);
        assert_eq!(Fault::of(&std::fmt::Error), Fault::Other);
    }
}
