//! A folder whose files come, change and go.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use twarga_plugin_api::{
    serde_json::{Value, json},
    testing::{Collected, Harness},
};

fn harness(keys: &Value) -> (TempDir, Harness) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = json!({"directory": dir.path()});
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let harness = Harness::new(textfile::plugin(), &config.to_string()).unwrap();
    (dir, harness)
}

/// All but the files' times.
fn lines(collected: &Collected) -> Vec<String> {
    collected
        .to_text()
        .lines()
        .filter(|line| !line.starts_with("textfile_mtime_"))
        .map(String::from)
        .collect()
}

#[test]
fn files_come_change_and_go() {
    let (dir, mut harness) = harness(&json!({"prefix": ""}));
    assert_eq!(lines(&harness.collect().unwrap()), Vec::<String>::new());
    let file = dir.path().join("apt.prom");
    fs::write(
        &file,
        "# HELP apt_upgrades Pending.\napt_upgrades{arch=\"a\"} 5\napt_upgrades{arch=\"b\"} 1\n",
    )
    .unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
    File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    for passed_over in ["x.txt", ".hidden.prom", "y.prom.tmp"] {
        fs::write(dir.path().join(passed_over), "no_metric 1\n").unwrap();
    }
    let collected = harness.collect().unwrap();
    assert_eq!(
        lines(&collected),
        [
            "apt_upgrades{arch=\"a\"} 5",
            "apt_upgrades{arch=\"b\"} 1",
            "textfile_scrape_error{file=\"apt.prom\"} 0"
        ]
    );
    assert_eq!(collected.value("textfile_mtime_seconds{file=\"apt.prom\"}"), Some(1_700_000_000.5));
    fs::write(&file, "apt_upgrades{arch=\"b\"} 2").unwrap();
    let collected = harness.collect().unwrap();
    assert_eq!(lines(&collected)[0], "apt_upgrades{arch=\"b\"} 2");
    assert_eq!(harness.series_count(), 3);
    fs::remove_file(&file).unwrap();
    assert_eq!(lines(&harness.collect().unwrap()), Vec::<String>::new());
    assert_eq!(harness.series_count(), 0);
    fs::write(&file, "apt_upgrades{arch=\"a\"} 7").unwrap();
    assert_eq!(lines(&harness.collect().unwrap())[0], "apt_upgrades{arch=\"a\"} 7");
}

#[test]
fn a_bad_file_costs_itself() {
    let (dir, mut harness) = harness(&json!({}));
    fs::write(dir.path().join("a.prom"), "x 1\nbroken\n").unwrap();
    fs::write(dir.path().join("b.prom"), "x 2\ny 3\n").unwrap();
    fs::write(dir.path().join("c.prom"), "z 4\n").unwrap();
    fs::create_dir(dir.path().join("d.prom")).unwrap();
    File::create(dir.path().join("e.prom")).unwrap().set_len((4 << 20) + 1).unwrap();
    for _ in 0..2 {
        let collected = harness.collect().unwrap();
        let error = |file: &str| collected.value(&format!("textfile_scrape_error{{file=\"{file}.prom\"}}"));
        assert_eq!(["a", "b", "c", "d", "e"].map(error), [1.0, 1.0, 0.0, 1.0, 1.0].map(Some));
        let values = ["x", "y", "z"].map(|name| collected.value(&format!("textfile_{name}")));
        assert_eq!(values, [Some(1.0), Some(3.0), Some(4.0)], "the first file by name counts");
    }
    let logs: Vec<&str> = harness.logs().iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(
        logs,
        [
            "a.prom:2: the value is missing (said once)",
            "b.prom:1: a second sample of a series of `textfile_x`: that of a.prom:1 counts (said once)",
            "d.prom: not a regular file (said once)",
            "e.prom: larger than 4 MiB, the most that is read (said once)",
        ]
    );
}

#[test]
fn a_file_too_many_costs_itself() {
    let (dir, mut harness) = harness(&json!({}));
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("a.prom", "x 1\n");
    harness.collect().unwrap();
    write("b.prom", "y 2\n");
    harness.limit_series(4); // three of the first file, and of the second one's own two the first
    for value in [3.0, 4.0] {
        write("a.prom", &format!("x {value}\n"));
        let collected = harness.collect().unwrap();
        assert_eq!(collected.value("textfile_x"), Some(value), "what is in the file now");
        assert_eq!(collected.value("textfile_scrape_error{file=\"a.prom\"}"), Some(0.0));
        assert_eq!(harness.series_count(), 3, "nothing is left of what came half way");
    }
    let logs: Vec<&str> = harness.logs().iter().map(|(_, line)| line.as_str()).collect();
    assert!(
        matches!(&logs[..], [told] if told.starts_with("b.prom: ") && told.contains("as many as it may")),
        "{logs:?}"
    );
    harness.limit_series(6);
    let collected = harness.collect().unwrap();
    assert_eq!(collected.value("textfile_y"), Some(2.0), "it is read as soon as there is room");
    assert_eq!(collected.value("textfile_scrape_error{file=\"b.prom\"}"), Some(0.0));
}

#[test]
fn a_stale_file_has_no_values() {
    let (dir, mut harness) = harness(&json!({"max_age": "1h"}));
    let file = dir.path().join("a.prom");
    fs::write(&file, "x 1\n").unwrap();
    assert_eq!(harness.collect().unwrap().value("textfile_x"), Some(1.0));
    let old = SystemTime::now() - Duration::from_secs(3700);
    File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    let collected = harness.collect().unwrap();
    assert_eq!(collected.unavailable["textfile_x"], "the file is stale");
    assert!(collected.value("textfile_mtime_seconds{file=\"a.prom\"}").is_some());
    File::options().write(true).open(&file).unwrap().set_modified(SystemTime::now()).unwrap();
    assert_eq!(harness.collect().unwrap().value("textfile_x"), Some(1.0));
}

#[test]
fn a_folder_that_is_gone_is_told_and_ends_nothing() {
    let (dir, mut harness) = harness(&json!({}));
    fs::write(dir.path().join("a.prom"), "x 1\n").unwrap();
    harness.collect().unwrap();
    let (path, away) = (dir.path().to_owned(), dir.path().with_extension("away"));
    fs::rename(&path, &away).unwrap();
    let error = harness.collect().unwrap_err();
    assert!(error.message().contains(&path.display().to_string()), "{error}");
    assert_eq!(harness.partial().unavailable["textfile_x"], "the folder can't be read");
    fs::rename(&away, &path).unwrap();
    assert_eq!(harness.collect().unwrap().value("textfile_x"), Some(1.0));
}

#[test]
fn wrong_configurations_are_told() {
    for (config, key, message) in [
        (json!({}), "directory", "no folder is named"),
        (json!({"directory": "x"}), "directory", "write the whole path, from /"),
        (json!({"directory": "/", "prefix": "a b"}), "prefix", "`a b` can't begin a metric's name"),
        (
            json!({"directory": "/", "max_age": "old"}),
            "max_age",
            "`old` is not a duration; write one such as",
        ),
    ] {
        let Err(error) = Harness::new(textfile::plugin(), &config.to_string()) else { panic!("{config}") };
        assert_eq!((error.location(), error.message().starts_with(message)), (key, true), "{error}");
    }
}
