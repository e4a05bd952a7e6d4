//! The disk of the history is full under the real agent: a small file system of its own, in a mount namespace of its own.
//! Skipped with a reason where that is not permitted.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use twarga_tests::{Agent, Home};

const CONFIG: &str = r#"
[agent]
interval = "100ms"
[storage]
max_size = "64MiB"
[plugins.synthetic]
mode = "in_process"
config = { gauges = 1500, counters = 0 }
"#;
const PATIENCE: Duration = Duration::from_secs(60);
const HISTORY: &str = "/api/metrics/host/history?metric_name=synthetic_value&label.n=0&limit=10000";
/// Set in the process that has the namespace.
const INSIDE: &str = "INSIDE_A_MOUNT_NAMESPACE";

/// `unshare` for a mount namespace; as root of a user namespace too, where the user isn't root already.
fn unshare() -> Command {
    let mut unshare = Command::new("unshare");
    unshare.arg(if rustix::process::geteuid().is_root() { "-m" } else { "-rm" });
    unshare
}

/// Whether a file system can be mounted in a namespace here.
fn permitted() -> bool {
    let mut mount = unshare();
    mount.args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).stdout(Stdio::null()).stderr(Stdio::null());
    mount.status().is_ok_and(|status| status.success())
}

/// Runs this test again in a namespace of its own.
fn run_inside(test: &str) {
    if !permitted() {
        #[allow(clippy::explicit_write, reason = "println and eprintln are captured where the test passes")]
        writeln!(std::io::stderr(), "skipped: no mount namespace may be made here (unshare -m)").unwrap();
        return;
    }
    let mut inside = unshare();
    inside.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let output = inside.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("1 passed"), "{}", text(&output.stdout));
}

/// Mounts a small file system where the agent keeps its data.
fn mount(home: &Home, options: &str) {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(home.data());
    assert!(mount.status().unwrap().success());
}

/// Takes all the room that is left, to the last byte.
fn eat(file: &Path) {
    let mut file = File::options().create(true).append(true).open(file).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        let block = vec![7; size];
        while file.write_all(&block).is_ok() {}
    }
}

/// The values that are stored or wait, newest first.
fn values(agent: &Agent) -> Vec<u64> {
    let history = agent.get(HISTORY).json();
    history["data"].as_array().unwrap().iter().map(|point| point["value"].as_f64().unwrap() as u64).collect()
}

fn until_value(agent: &mut Agent, least: u64) -> Vec<u64> {
    agent.until(PATIENCE, &format!("value {least}"), |agent| {
        let values = values(agent);
        (values.first().is_some_and(|newest| *newest >= least)).then_some(values)
    })
}

fn events(agent: &Agent, kind: &str) -> u64 {
    agent.get(&format!("/api/events?type={kind}")).json()["count"].as_u64().unwrap()
}

#[track_caller]
fn assert_no_hole(values: &[u64]) {
    assert!(values.windows(2).all(|two| two[0] == two[1] + 1), "{values:?}");
}

#[test]
fn a_full_disk_costs_the_oldest_history_and_no_tick() {
    if std::env::var_os(INSIDE).is_none() {
        return run_inside("a_full_disk_costs_the_oldest_history_and_no_tick");
    }
    let home = Home::new(CONFIG).plugin("synthetic");
    mount(&home, "size=24m,mode=0700");
    let mut agent = home.start();
    until_value(&mut agent, 120);
    let (filler, reserve) = (home.data().join("filler"), home.data().join("history.db.reserve"));
    assert_eq!(fs::metadata(&reserve).unwrap().len(), 4 << 20);
    eat(&filler);
    agent.until(PATIENCE, "the event", |agent| (events(agent, "store_full") > 0).then_some(()));
    assert!(fs::metadata(&reserve).map_or(0, |meta| meta.len()) < 4 << 20);
    // what the reserve gave is taken too: from now on there is little but what the store has
    eat(&filler);
    let newest = values(&agent)[0];
    let kept = until_value(&mut agent, newest + 80);
    assert_no_hole(&kept);
    assert!(kept.len() >= 60, "{} values, of the 120 that there was room for", kept.len());
    assert_eq!(agent.get("/-/healthy").status, 200);
    assert_eq!(events(&agent, "storage_failed"), 0, "nothing had to wait:\n{}", home.log());
    assert_eq!(home.log().matches("the disk is full").count(), 1, "told once:\n{}", home.log());

    // a crash, and a start on the full disk
    agent.kill();
    let mut agent = home.start();
    let again = agent.until(PATIENCE, "values of the second start", |agent| {
        let values = values(agent);
        (values.iter().position(|value| *value == 1)? >= 15).then_some(values)
    });
    let first = again.iter().position(|value| *value == 1).expect("the first value of this start");
    assert_no_hole(&again[..=first]);
    assert_no_hole(&again[first + 1..]);

    fs::remove_file(&filler).unwrap();
    agent.until(PATIENCE, "the end of it", |agent| (events(agent, "store_recovered") > 0).then_some(()));
    assert_eq!(fs::metadata(&reserve).unwrap().len(), 4 << 20);
    let newest = values(&agent)[0];
    let all = until_value(&mut agent, newest + 20);
    let first = all.iter().position(|value| *value == 1).unwrap_or(all.len() - 1);
    assert_no_hole(&all[..=first]);
    agent.stop();
}
