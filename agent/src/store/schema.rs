//! The tables, and how a file of an older format is brought up to date. `FORMAT.md` says what they hold.

use rusqlite::{Connection, Result, TransactionBehavior};

/// Bytes of a page of a new file. A commit writes whole pages: small ones keep it short.
pub(super) const PAGE: u64 = 1024;
/// The pages of the write-ahead log at which SQLite moves them into the database, where there are few series.
pub(super) const CHECKPOINT_PAGES: u64 = 3000;
/// The most of them: what is written anew before it is moved is moved once, but a long log takes long to move.
pub(super) const MOST_CHECKPOINT_PAGES: u64 = 11_000;

/// In the header of every store: "twag".
pub(super) const APPLICATION_ID: u32 = 0x7477_6167;

/// One step to the next format. Runs within a transaction.
pub(super) type Migration = fn(&Connection) -> Result<()>;

/// All steps: the n-th makes format n of format n − 1. Only ever appended to.
pub(super) const MIGRATIONS: &[Migration] = &[format_1, format_2];

/// The format that this program writes: the file's `user_version`.
pub(super) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// The first format: one journal row per commit.
fn format_1(conn: &Connection) -> Result<()> {
    conn.execute_batch(
        "CREATE TABLE series(
            id INTEGER PRIMARY KEY, name TEXT NOT NULL, labels TEXT NOT NULL, kind TEXT NOT NULL, unit TEXT NOT NULL,
            help TEXT NOT NULL, label_keys TEXT NOT NULL, plugin TEXT NOT NULL, collector TEXT NOT NULL,
            UNIQUE(name, labels));
         CREATE TABLE journal(key INTEGER PRIMARY KEY, n INTEGER NOT NULL, data BLOB NOT NULL);
         CREATE TABLE layout(key INTEGER PRIMARY KEY, data BLOB NOT NULL);
         CREATE TABLE run(number INTEGER PRIMARY KEY, first_key INTEGER NOT NULL);
         CREATE TABLE event(
            id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, type TEXT NOT NULL, severity TEXT NOT NULL,
            message TEXT NOT NULL, details TEXT NOT NULL, vm_id INTEGER);
         CREATE INDEX event_time ON event(time);
         CREATE TABLE gap(
            id INTEGER PRIMARY KEY, scope TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
            reason TEXT NOT NULL);
         CREATE INDEX gap_scope ON gap(scope, last);
         CREATE TABLE vm(id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE);
         CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
    )
}

/// Blocks in the place of long journals. What an older file has is taken over by `upgrade.rs`.
fn format_2(conn: &Connection) -> Result<()> {
    let used = "SELECT EXISTS (SELECT 1 FROM journal) OR EXISTS (SELECT 1 FROM run)";
    conn.execute_batch(if conn.query_row(used, [], |row| row.get(0))? {
        "ALTER TABLE journal RENAME TO journal_1;
         ALTER TABLE layout RENAME TO layout_1;
         ALTER TABLE run RENAME TO run_1;"
    } else {
        // as in every new file, which has no page to spare for them
        "DROP TABLE journal; DROP TABLE layout; DROP TABLE run;"
    })?;
    conn.execute_batch(
        "CREATE TABLE journal(
            place INTEGER PRIMARY KEY, key INTEGER NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL);
         CREATE TABLE segment(key INTEGER PRIMARY KEY, n INTEGER NOT NULL, data BLOB NOT NULL);
         CREATE TABLE block(key INTEGER PRIMARY KEY, n INTEGER NOT NULL, data BLOB NOT NULL);
         CREATE TABLE segment_1m(key INTEGER PRIMARY KEY, n INTEGER NOT NULL, data BLOB NOT NULL);
         CREATE TABLE block_1m(key INTEGER PRIMARY KEY, n INTEGER NOT NULL, data BLOB NOT NULL);
         CREATE TABLE segment_1h(key INTEGER PRIMARY KEY, n INTEGER NOT NULL, data BLOB NOT NULL);
         CREATE TABLE block_1h(key INTEGER PRIMARY KEY, n INTEGER NOT NULL, data BLOB NOT NULL);
         CREATE TABLE place(
            series INTEGER NOT NULL, grp INTEGER NOT NULL, first_part INTEGER NOT NULL, last_part INTEGER,
            PRIMARY KEY(series, grp)) WITHOUT ROWID;
         CREATE TABLE run(number INTEGER PRIMARY KEY, time INTEGER NOT NULL, journal INTEGER NOT NULL);",
    )
}

/// What must be set before the first table.
pub(super) fn prepare_new(conn: &Connection) -> Result<()> {
    conn.execute_batch(&format!(
        "PRAGMA page_size = {PAGE};
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA synchronous = FULL;
         PRAGMA application_id = {APPLICATION_ID};"
    ))
}

/// Brings a file to the newest format, a transaction a step. Returns the format it had.
pub(super) fn migrate(conn: &mut Connection, steps: &[Migration]) -> Result<u32> {
    let found = version(conn)?;
    for (number, step) in (1_u32..).zip(steps).skip(found as usize) {
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step(&transaction)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(found)
}

/// The file's format.
pub(super) fn version(conn: &Connection) -> Result<u32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The settings of the writing connection. Little memory: the writer touches the same few pages again and again.
pub(super) fn configure_writer(conn: &Connection) -> Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
         PRAGMA journal_size_limit = 25165824;
         PRAGMA cache_size = -1000;
         PRAGMA temp_store = MEMORY;",
    ))
}

/// The settings of a reading connection.
pub(super) fn configure_reader(conn: &Connection) -> Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -400; PRAGMA temp_store = MEMORY;")
}

/// How long another program's lock is waited for: `ingest` tries again, and a stop must end in time.
pub(super) const BUSY: std::time::Duration = std::time::Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_goes_forward_once_and_all_or_nothing() {
        fn next(conn: &Connection) -> Result<()> {
            conn.execute_batch(
                "ALTER TABLE vm ADD COLUMN name TEXT; INSERT INTO vm(uuid, name) VALUES ('u', 'n');",
            )
        }
        fn fails(conn: &Connection) -> Result<()> {
            conn.execute_batch("INSERT INTO vm(uuid) VALUES ('half'); INSERT INTO nowhere VALUES (1);")
        }
        let mut conn = Connection::open_in_memory().unwrap();
        assert_eq!(migrate(&mut conn, MIGRATIONS).unwrap(), 0);
        assert_eq!(version(&conn).unwrap(), FORMAT);
        let with = |last: Migration| [MIGRATIONS, &[last]].concat();
        assert!(migrate(&mut conn, &with(fails)).is_err());
        assert_eq!(version(&conn).unwrap(), FORMAT);
        assert_eq!(migrate(&mut conn, &with(next)).unwrap(), FORMAT);
        assert_eq!(migrate(&mut conn, &with(next)).unwrap(), FORMAT + 1);
        let vms =
            conn.query_row("SELECT group_concat(uuid || name) FROM vm", [], |row| row.get::<_, String>(0));
        assert_eq!(vms.unwrap(), "un");
    }
}
