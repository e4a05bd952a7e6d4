//! Where a reader finds the newest samples: in the memory of the writer, or, in another process, in the journal.

use super::{
    error::Inner,
    head::Head,
    reader::DamageLog,
    write::{Recovered, SharedHead, journal_from},
};
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the head is.
#[derive(Debug)]
pub(super) enum HeadSource {
    /// The writer of this process has it.
    Shared(SharedHead),
    /// It is made of the journal, and kept while the journal is the same.
    Journal(Mutex<Option<(State, Arc<Head>)>>),
}

/// What tells one state of the journal from another: where it begins, and its largest key.
type State = (i64, Option<i64>);

impl HeadSource {
    /// Of a file that another process may be writing.
    pub(super) fn journal() -> Self {
        Self::Journal(Mutex::new(None))
    }

    /// Reads something of the head, then of the file, each in a state that belongs to the other's or is newer. The file is
    /// not asked where what the head has is enough.
    pub(super) fn with<H, T>(
        &self,
        conn: &Connection,
        damages: &DamageLog,
        of_head: impl FnOnce(&Head) -> H,
        enough: impl FnOnce(&H) -> Option<T>,
        of_file: impl FnOnce(&Connection, H) -> Inner<T>,
    ) -> Inner<T> {
        match self {
            Self::Shared(head) => {
                // first the head: what leaves it afterwards is in the file by then
                let found = of_head(&head.read().unwrap_or_else(PoisonError::into_inner));
                if let Some(answer) = enough(&found) {
                    return Ok(answer);
                }
                let transaction = conn.unchecked_transaction()?;
                of_file(&transaction, found)
            }
            Self::Journal(known) => {
                let transaction = conn.unchecked_transaction()?;
                let head = recovered(&transaction, known, damages)?;
                of_file(&transaction, of_head(&head))
            }
        }
    }
}

fn recovered(
    conn: &Connection,
    known: &Mutex<Option<(State, Arc<Head>)>>,
    damages: &DamageLog,
) -> Inner<Arc<Head>> {
    let newest = conn.prepare_cached("SELECT max(key) FROM journal")?.query_row([], |row| row.get(0))?;
    let state = (journal_from(conn)?, newest);
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, head)) = &*known
        && *of == state
    {
        return Ok(head.clone());
    }
    let head = Arc::new(Recovered::read(conn, damages)?.head);
    *known = Some((state, head.clone()));
    Ok(head)
}
