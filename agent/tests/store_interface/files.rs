//! Which files are taken, made, refused; and who may open them.

use super::*;
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::Command,
};
use twarga_agent::store::{Readers, StoreError};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_store_is_its_users_alone_and_well_set_up() {
    let directory = TempDir::new().unwrap();
    let below = directory.path().join("state/agent");
    let mut store = Store::open(options(&below)).unwrap();
    put(&mut store, NOW, &[SeriesId(1)], 1.0);
    assert_eq!((mode(&below), mode(below.parent().unwrap())), (0o700, 0o700));
    assert_eq!(
        names(&below),
        ["history.db", "history.db-shm", "history.db-wal", "history.db.lock", "history.db.reserve"]
    );
    for name in names(&below) {
        assert_eq!(mode(&below.join(&name)), 0o600, "{name}");
    }
    store.close().unwrap();
    let file = below.join("history.db");
    assert_eq!(names(&below), ["history.db", "history.db.lock", "history.db.reserve"]);
    let conn = Connection::open(&file).unwrap();
    let set = |pragma: &str| {
        conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
    };
    for (pragma, value) in
        [("page_size", 1024), ("auto_vacuum", 2), ("application_id", 0x7477_6167), ("user_version", 2)]
    {
        assert_eq!(set(pragma).unwrap(), value.into(), "{pragma}");
    }
    assert_eq!(set("journal_mode").unwrap(), "wal".to_owned().into());
}

/// All files of a directory with their contents.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        (path, bytes)
    };
    fs::read_dir(directory).unwrap().map(read).collect()
}

/// Both ways of opening refuse, with this message, and leave everything as it was.
fn refused(directory: &TempDir, message: &str) {
    let before = contents(directory.path());
    let options = options(directory.path());
    let errors = [Readers::of_file(&options.file).err(), Store::open(options).err()];
    for error in errors {
        let error = error.expect("refused").to_string();
        assert!(error.contains(message) && error.contains("history.db"), "{error}");
    }
    assert!(contents(directory.path()) == before, "{message}: something was touched");
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("history.db");
    for garbage in [&b"x"[..], b"SQLite format 3\0", &[0; 5000], "text\n".repeat(900).as_bytes()] {
        fs::write(&file, garbage).unwrap();
        refused(&directory, "is not a store of the agent (no SQLite database)");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused(&directory, "is not a store of the agent (a directory)");
    fs::remove_dir(&file).unwrap();

    let conn = Connection::open(&file).unwrap();
    conn.execute_batch("CREATE TABLE vms(id); INSERT INTO vms VALUES (1);").unwrap();
    drop(conn);
    refused(&directory, "another program (application_id 0x0)");
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA application_id = 0x0f055112;").unwrap();
    drop(conn);
    refused(&directory, "another program (application_id 0xf055112)");
}

#[test]
fn a_newer_store_is_refused_with_advice() {
    let directory = TempDir::new().unwrap();
    open(&directory).close().unwrap();
    let file = directory.path().join("history.db");
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    conn.close().unwrap();
    refused(&directory, "newer agent (format 99, this one knows up to 2); upgrade the agent");
    // also where the log alone knows
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA user_version = 2").unwrap();
    conn.close().unwrap();
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA user_version = 98").unwrap();
    for error in [Readers::of_file(&file).err(), Store::open(options(directory.path())).err()] {
        assert!(matches!(error, Some(StoreError::Newer { found: 98, known: 2, .. })), "{error:?}");
    }
}

#[test]
fn an_empty_file_becomes_a_store_and_leftovers_don_t_matter() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    write("history.db", b"");
    // of an agent that was killed while it made a store
    write("history.db.new", b"half");
    write("history.db.new-journal", b"half");
    // of a store that was removed
    let other = TempDir::new().unwrap();
    let mut gone = open(&other);
    put(&mut gone, NOW, &[SeriesId(1)], 1.0);
    fs::copy(other.path().join("history.db-wal"), directory.path().join("history.db-wal")).unwrap();
    let mut store = open(&directory);
    assert_eq!(all(&reader(&store), SeriesId(1)), []);
    put(&mut store, NOW, &[SeriesId(1)], 2.0);
    store.close().unwrap();
    assert_eq!(names(directory.path()), ["history.db", "history.db.lock", "history.db.reserve"]);
    assert_eq!(values(&all(&reader(&open(&directory)), SeriesId(1))), [2.0]);
}

#[test]
fn one_writer_a_file() {
    let directory = TempDir::new().unwrap();
    let first = open(&directory);
    let error = Store::open(options(directory.path())).unwrap_err();
    let own = std::process::id();
    assert!(matches!(error, StoreError::InUse { pid: Some(pid), .. } if pid == own), "{error:?}");
    assert!(error.to_string().contains(&format!("in use by process {own}")), "{error}");
    let other = TempDir::new().unwrap();
    std::os::unix::fs::symlink(directory.path().join("history.db"), other.path().join("history.db")).unwrap();
    let by_another_name = Store::open(options(other.path()));
    assert!(matches!(by_another_name, Err(StoreError::InUse { .. })), "{by_another_name:?}");
    drop(first);
    open(&directory);
}

#[test]
fn another_process_reads_whether_the_agent_runs_or_not() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("history.db");
    assert!(matches!(Readers::of_file(&file), Err(StoreError::Missing { .. })));
    assert_eq!(names(directory.path()), [] as [&str; 0], "never created");
    let mut store = open(&directory);
    let ids = series(&mut store, 2);
    put(&mut store, NOW, &ids, 1.0);
    let readers = Readers::of_file(&file).unwrap();
    let count = || all(&readers.reader().unwrap(), ids[1]).len();
    assert_eq!(count(), 1);
    put(&mut store, NOW + 1, &ids, 1.0);
    assert_eq!(count(), 2, "what was committed since");
    // killed, the log left behind
    let copy = TempDir::new().unwrap();
    for name in ["history.db", "history.db-wal"] {
        fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    let of_copy = Readers::of_file(&copy.path().join("history.db")).unwrap();
    assert_eq!(all(&of_copy.reader().unwrap(), ids[1]).len(), 2);
    store.close().unwrap();
    assert_eq!(count(), 2);
    let afterwards = Readers::of_file(&file).unwrap();
    assert_eq!(all(&afterwards.reader().unwrap(), ids[1]).len(), 2);
}

const CASE: &str = "STORE_TEST_USER_CASE";
const NOBODY: u32 = 65534;

/// Runs one case of [`what_a_user_without_write_permission_may_do`] in a process whose user may not write.
fn as_reader(case: &str, directory: &TempDir) {
    let exe = std::env::current_exe().unwrap();
    let mut command = Command::new(&exe);
    let place = TempDir::new().unwrap();
    if rustix::process::geteuid().is_root() {
        // permissions don't bind root; and the executable may lie where others can't reach it
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let copy = place.path().join("test");
        fs::copy(&exe, &copy).unwrap();
        command = Command::new(&copy);
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    let test = "files::what_a_user_without_write_permission_may_do";
    let case = format!("{case} {}", directory.path().join("history.db").display());
    let output = command.args(["--exact", test, "--nocapture"]).env(CASE, &case).output().unwrap();
    assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{case}");
}

fn user_case(case: &str) {
    let (case, file) = case.split_once(' ').unwrap();
    let file = Path::new(file);
    let read =
        || Readers::of_file(file).and_then(|readers| readers.reader()?.last(SeriesId(1), Range::ALL, 9));
    let write = || Store::open(options(file.parent().unwrap())).map(drop);
    match case {
        "reads" => {
            assert_eq!(values(&read().unwrap()), [1.0]);
            let error = write().unwrap_err();
            assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
        }
        "refused" => {
            for error in [read().map(drop).unwrap_err(), write().unwrap_err()] {
                let told = error.to_string();
                assert!(told.contains("can't be read") || told.contains("can't be written"), "{told}");
            }
        }
        other => panic!("no case {other}"),
    }
}

fn permit(directory: &TempDir, of_directory: u32, of_files: u32) {
    for entry in fs::read_dir(directory.path()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(of_files)).unwrap();
    }
    fs::set_permissions(directory.path(), Permissions::from_mode(of_directory)).unwrap();
}

#[test]
fn what_a_user_without_write_permission_may_do() {
    if let Ok(case) = std::env::var(CASE) {
        return user_case(&case);
    }
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    put(&mut store, NOW, &[SeriesId(1)], 1.0);
    // killed: a log without its index, which this user can't make
    let killed = TempDir::new().unwrap();
    for name in ["history.db", "history.db-wal"] {
        fs::copy(directory.path().join(name), killed.path().join(name)).unwrap();
    }
    permit(&killed, 0o555, 0o444);
    as_reader("refused", &killed);
    // running
    permit(&directory, 0o555, 0o444);
    as_reader("reads", &directory);
    permit(&directory, 0o755, 0o644);
    store.close().unwrap();
    // stopped
    permit(&directory, 0o555, 0o444);
    as_reader("reads", &directory);
    assert_eq!(names(directory.path()), ["history.db", "history.db.lock", "history.db.reserve"]);
    permit(&directory, 0o755, 0o000);
    as_reader("refused", &directory);
    for directory in [&directory, &killed] {
        permit(directory, 0o755, 0o644);
    }
}
