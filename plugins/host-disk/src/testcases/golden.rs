//! Every folder of `testcases`: collected once from `1`, then with `2`, `3` … laid over it, and compared with
//! `expected.txt`. A file `config.json` beside them is the configuration. `UPDATE_GOLDEN=1` writes what came out.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;
use twarga_plugin_api::serde_json::{self, Value};

fn run(case: &Path) -> String {
    let config = fs::read_to_string(case.join("config.json")).unwrap_or_else(|_| "{}".into());
    let root = copy_of(&case.join("1"));
    let mut harness = on_fixture(root.path(), serde_json::from_str(&config).unwrap()).unwrap();
    let mut text = String::new();
    for step in 1.. {
        let overlay = case.join(step.to_string());
        if !overlay.exists() {
            break;
        }
        if step > 1 {
            lay_over(root.path(), &overlay);
        }
        let error = harness.collect().err();
        writeln!(text, "## collection {step}\n{}", harness.partial().to_text().trim_end()).unwrap();
        if let Some(error) = error {
            writeln!(text, "# error {error}").unwrap();
        }
    }
    for (level, line) in harness.logs() {
        writeln!(text, "# log {level:?} {}", line.replace(root.path().to_str().unwrap(), "ROOT")).unwrap();
    }
    text
}

#[test]
fn every_case_gives_what_is_expected() {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(testcases()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 11, "where have the cases gone?");
    let mut wrong = vec![];
    for case in cases {
        let (text, golden) = (run(&case), case.join("expected.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn value(collected: &Collected, series: &str) -> f64 {
    collected.value(series).unwrap_or_else(|| panic!("{series} is missing: {}", collected.to_text()))
}

#[test]
fn whole_devices_are_counted_once_in_the_totals() {
    let root = copy_of(&testcases().join("lvm-md-luks/1"));
    let collected = on_fixture(root.path(), Value::Object(Default::default())).unwrap().collect().unwrap();
    let read =
        |device: &str| value(&collected, &format!("host_disk_read_bytes_total{{device=\"{device}\"}}"));
    assert_eq!(value(&collected, "host_disk_all_read_bytes_total"), read("sda") + read("sdb"));
    assert!(read("md0") > 0.0 && read("dm-0") > 0.0);
}

#[test]
fn the_total_does_not_fall_when_a_device_vanishes_or_returns() {
    let root = copy_of(&testcases().join("usb/1"));
    let mut harness = on_fixture(root.path(), json!({})).unwrap();
    let total = |harness: &mut Harness| value(&harness.collect().unwrap(), "host_disk_all_read_bytes_total");
    let file = root.path().join("proc/diskstats");
    let line =
        |name: &str, minor: u32, sectors: u64| format!("8 {minor} {name} 1 0 {sectors} 1 1 0 8 1 0 1 1\n");
    let both = |sectors: u64| line("sda", 0, 1000) + &line("sdb", 16, sectors);
    fs::write(&file, both(500)).unwrap();
    let begin = total(&mut harness);
    assert_eq!(begin, 1500.0 * 512.0);
    fs::write(&file, line("sda", 0, 1000)).unwrap();
    assert_eq!(total(&mut harness), begin);
    // left out of one reading by the kernel: the same device
    fs::write(&file, both(600)).unwrap();
    assert_eq!(total(&mut harness), begin + 100.0 * 512.0);
    // pulled out and another put in, both between two readings
    fs::write(&file, both(50)).unwrap();
    assert_eq!(total(&mut harness), begin + 150.0 * 512.0);
    fs::write(&file, line("sda", 0, 1000) + &line("sdb", 32, 700)).unwrap();
    assert_eq!(total(&mut harness), begin + 850.0 * 512.0);
}

#[test]
fn what_is_missing_is_said_once() {
    let root = tempfile::tempdir().unwrap();
    let error = on_fixture(root.path(), json!({})).err().unwrap();
    assert_eq!(error.kind(), twarga_plugin_api::ErrorKind::Unsupported);
    fs::create_dir_all(root.path().join("proc")).unwrap();
    fs::write(root.path().join("proc/diskstats"), "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n").unwrap();
    let mut harness = on_fixture(root.path(), json!({})).unwrap();
    harness.collect().unwrap();
    harness.collect().unwrap();
    let logs: Vec<&str> = harness.logs().iter().map(|(_, line)| line.split(':').next().unwrap()).collect();
    assert_eq!(logs, ["no file systems", "no IO pressure"]);
}

#[test]
fn series_end_and_begin_with_their_things() {
    let root = copy_of(&testcases().join("usb/1"));
    let mut harness = on_fixture(root.path(), json!({})).unwrap();
    harness.collect().unwrap();
    let before = harness.series_count();
    lay_over(root.path(), &testcases().join("usb/2"));
    harness.collect().unwrap();
    assert!(harness.series_count() > before);
    lay_over(root.path(), &testcases().join("usb/3"));
    harness.collect().unwrap();
    assert_eq!(harness.series_count(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the files become while the collector has them open: no panic, no broken rule of the harness.
    #[test]
    fn damaged_files_do_no_harm(
        cut in 0usize..4000, at in 0usize..4000, byte in any::<u8>(), rounds in 1usize..3, which in 0usize..3,
    ) {
        let root = copy_of(&testcases().join("lvm-md-luks/1"));
        let mut harness = on_fixture(root.path(), json!({})).unwrap();
        harness.collect().unwrap();
        let file = root.path().join(["proc/1/mountinfo", "proc/diskstats", "proc/pressure/io"][which]);
        let whole = fs::read(&file).unwrap();
        for round in 0..rounds {
            let mut content = whole.clone();
            let (at, length) = ((at + round) % content.len(), content.len());
            content[at] = byte;
            content.truncate(if round == 0 { cut % (length + 1) } else { length });
            fs::write(&file, &content).unwrap();
            harness.collect().unwrap();
        }
        fs::write(&file, &whole).unwrap();
        let collected = harness.collect().unwrap();
        prop_assert!(collected.value("host_pressure_io_waiting_seconds_total").is_some());
    }
}
