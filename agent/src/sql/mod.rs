//! The history as tables, for people and scripts that know SQL: an SQLite database in memory whose tables read the store
//! through its readers, in short transactions. Nothing can be written.

mod bounds;
mod listings;
mod metrics;
#[cfg(test)]
mod tests;
mod vtab;

use crate::store::{Readers, StoreError};
use rusqlite::{
    Batch, Connection,
    fallible_iterator::FallibleIterator,
    hooks::{AuthAction, AuthContext, Authorization},
    types::ValueRef,
};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use vtab::{Table, register};

/// What keeps a statement from being answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// It would write, or reach beyond the history.
    #[error("{0} is not possible here: the history is only read; write a SELECT")]
    Refused(String),
    /// SQLite doesn't understand it, or reading failed.
    #[error("{0}")]
    Sqlite(String),
    /// There was nothing to do.
    #[error("no statement was given; write one such as \"SELECT name, count(*) FROM metrics GROUP BY name\"")]
    Empty,
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows could not be handed on.
    #[error("{0}")]
    Output(#[from] io::Error),
}

/// Takes the rows of one statement after the other.
pub trait Rows {
    /// A statement's columns.
    ///
    /// # Errors
    /// Where they can't be handed on.
    fn begin(&mut self, columns: &[String]) -> io::Result<()>;
    /// A row.
    ///
    /// # Errors
    /// Where it can't be handed on.
    fn row(&mut self, cells: &Cells<'_>) -> io::Result<()>;
    /// The end of the statement's rows.
    ///
    /// # Errors
    /// Where what was kept back can't be handed on.
    fn end(&mut self) -> io::Result<()>;
}

/// The values of a row.
#[derive(Debug)]
pub struct Cells<'a> {
    row: &'a rusqlite::Row<'a>,
    count: usize,
}

impl Cells<'_> {
    /// In the order of the columns.
    pub fn iter(&self) -> impl Iterator<Item = ValueRef<'_>> {
        (0..self.count).map(|column| self.row.get_ref(column).unwrap_or(ValueRef::Null))
    }
}

/// The tables and their columns, as `.schema` prints them. Columns that are HIDDEN come only where they are named.
pub const SCHEMA: [(&str, &std::ffi::CStr); 5] = [
    (metrics::Metrics::NAME, metrics::Metrics::DECLARATION),
    (listings::Events::NAME, listings::Events::DECLARATION),
    (listings::Gaps::NAME, listings::Gaps::DECLARATION),
    (listings::Series::NAME, listings::Series::DECLARATION),
    (listings::Vms::NAME, listings::Vms::DECLARATION),
];

/// The history, ready to be asked.
#[derive(Debug)]
pub struct Database {
    conn: Connection,
    refused: Arc<Mutex<Option<String>>>,
}

impl Database {
    /// Over the store that these readers read.
    ///
    /// # Errors
    /// Where SQLite has no memory.
    pub fn open(readers: &Readers) -> Result<Self, SqlError> {
        let mut conn = Connection::open_in_memory().map_err(|error| told(&error))?;
        let refused = Arc::default();
        prepare(&mut conn, readers, &refused).map_err(|error| told(&error))?;
        Ok(Self { conn, refused })
    }

    /// Answers statements, one after the other, up to the first that fails. Rows are handed on as they are found.
    ///
    /// # Errors
    /// A statement that would write, that SQLite doesn't understand, or whose rows can't be read or handed on.
    pub fn run(&self, statements: &str, rows: &mut dyn Rows) -> Result<(), SqlError> {
        let mut batch = Batch::new(&self.conn, statements);
        let mut count = 0;
        loop {
            let statement = batch.next().map_err(|error| self.failure(&error))?;
            let Some(mut statement) = statement else { break };
            count += 1;
            if !statement.readonly() {
                return Err(SqlError::Refused("writing".into()));
            }
            self.answer(&mut statement, rows)?;
        }
        if count == 0 { Err(SqlError::Empty) } else { Ok(()) }
    }

    fn answer(&self, statement: &mut rusqlite::Statement<'_>, out: &mut dyn Rows) -> Result<(), SqlError> {
        let columns: Vec<String> = statement.column_names().map(String::from).collect();
        out.begin(&columns)?;
        if statement.parameter_count() > 0 {
            return Err(SqlError::Sqlite(
                "parameters (?1, :name) have no value here; write the value".into(),
            ));
        }
        let mut rows = statement.query([]).map_err(|error| self.failure(&error))?;
        while let Some(row) = rows.next().map_err(|error| self.failure(&error))? {
            out.row(&Cells { row, count: columns.len() })?;
        }
        Ok(out.end()?)
    }

    fn failure(&self, error: &rusqlite::Error) -> SqlError {
        match (lock(&self.refused).take(), told(error)) {
            (Some(what), _) => SqlError::Refused(what),
            // SQLite says so of a virtual table before it asks whether it may
            (None, SqlError::Sqlite(said)) if said.contains("may not be modified") => {
                let table = said.split_whitespace().nth(1).unwrap_or("a table");
                SqlError::Refused(format!("a change of {table}"))
            }
            (None, error) => error,
        }
    }
}

fn lock(refused: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    refused.lock().unwrap_or_else(PoisonError::into_inner)
}

fn prepare(
    conn: &mut Connection,
    readers: &Readers,
    refused: &Arc<Mutex<Option<String>>>,
) -> rusqlite::Result<()> {
    register::<metrics::Metrics>(conn, readers)?;
    register::<listings::Events>(conn, readers)?;
    register::<listings::Gaps>(conn, readers)?;
    register::<listings::Series>(conn, readers)?;
    register::<listings::Vms>(conn, readers)?;
    let refused = Arc::clone(refused);
    conn.authorizer(Some(move |context: AuthContext<'_>| match forbidden(&context.action) {
        None => Authorization::Allow,
        Some(what) => {
            *lock(&refused) = Some(what);
            Authorization::Deny
        }
    }))
}

/// Pragmas that only tell of the tables.
const PRAGMAS: [&str; 4] = ["table_info", "table_xinfo", "table_list", "compile_options"];

/// What a statement may not do; nothing where it may.
fn forbidden(action: &AuthAction<'_>) -> Option<String> {
    use AuthAction as A;
    Some(match action {
        A::Select | A::Read { .. } | A::Recursive => return None,
        A::Function { function_name } if *function_name != "load_extension" => return None,
        A::Pragma { pragma_name, .. } if PRAGMAS.contains(&pragma_name.to_lowercase().as_str()) => {
            return None;
        }
        A::Function { function_name } => format!("{function_name}()"),
        A::Pragma { pragma_name, .. } => format!("PRAGMA {pragma_name}"),
        A::Insert { table_name } => format!("INSERT or a change of {table_name}"),
        A::Update { table_name, .. } => format!("UPDATE of {table_name}"),
        A::Delete { table_name } => format!("DELETE or a change of {table_name}"),
        A::Attach { .. } => "ATTACH".into(),
        A::Detach { .. } => "DETACH".into(),
        A::Transaction { .. } | A::Savepoint { .. } => "a transaction".into(),
        _ => "changing tables".into(),
    })
}

/// An error of SQLite: its own message and where it stands, without the statement itself.
fn told(error: &rusqlite::Error) -> SqlError {
    SqlError::Sqlite(match error {
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } => match usize::try_from(*offset) {
            Ok(at) => match sql.get(at..).map(|rest| rest.chars().take(20).collect::<String>()) {
                Some(near) if !near.trim().is_empty() => format!("{msg}, at: {}", near.trim()),
                _ => format!("{msg}, at the end"),
            },
            Err(_) => msg.clone(),
        },
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    })
}
