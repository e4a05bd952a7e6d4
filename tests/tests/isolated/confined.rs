//! What a plugin's process is given, and what not.

use super::{PATIENCE, beside_a_healthy_one, plugin, rows};
use rustix::process::geteuid;
use std::{collections::BTreeMap, fs};
use twarga_tests::{Agent, Home};

/// The last values of a metric by the one label of its series.
fn by_label(agent: &mut Agent, metric: &str, label: &str) -> BTreeMap<String, f64> {
    agent.until(PATIENCE, metric, |agent| {
        let rows =
            rows(agent, &format!("SELECT labels, value FROM metrics WHERE name = '{metric}' ORDER BY ts"));
        let pair = |row: &serde_json::Value| {
            let labels = row["labels"].as_str()?;
            let value = labels.strip_prefix(&format!("{{{label}=\""))?.strip_suffix("\"}")?;
            Some((value.to_string(), row["value"].as_f64()?))
        };
        let pairs: BTreeMap<String, f64> = rows.iter().filter_map(pair).collect();
        (!pairs.is_empty()).then_some(pairs)
    })
}

fn looked(home: &Home) -> BTreeMap<String, f64> {
    by_label(&mut home.start(), "fatal_seen", "what")
}

#[test]
fn it_sees_a_short_environment_and_no_descriptor_of_the_agent() {
    let table = "environment = [\"GIVEN\"]\nconfig = { mode = \"look\" }";
    let home = beside_a_healthy_one("fatal", table).variable("GIVEN", "x").variable("SECRET", "x");
    let seen = looked(&home);
    assert_eq!(seen["NoNewPrivs:"], 1.0);
    assert_eq!(seen["Uid:"], f64::from(geteuid().as_raw()));
    assert!(seen.contains_key("variable GIVEN") && !seen.contains_key("variable SECRET"), "{seen:?}");
    assert!(!seen.contains_key("variable TWARGA_USER_TOKEN"), "{seen:?}");
    let open: Vec<&String> = seen.keys().filter(|key| key.starts_with("descriptor")).collect();
    let allowed = ["/dev/null", "pipe:[", "socket:[", "/proc/", "/memfd:twarga-plugin", "anon_inode:[pidfd]"];
    let of_the_agent = |key: &&&String| !allowed.iter().any(|allowed| key.contains(allowed));
    assert_eq!(open.iter().filter(of_the_agent).count(), 0, "{open:?}");
    assert!(open.iter().filter(|key| key.contains("socket:[")).count() == 1, "{open:?}");
}

#[test]
fn it_writes_only_where_it_may() {
    let home = beside_a_healthy_one("fatal", "");
    let (may, may_not) = (home.path("may"), home.path("may-not"));
    fs::create_dir(&may).unwrap();
    fs::create_dir(&may_not).unwrap();
    let files = [may.join("x"), may_not.join("x"), "/dev/null".into()].map(|file| file.display().to_string());
    let config = fs::read_to_string(home.path("agent.toml")).unwrap();
    home.write_config(&format!(
        "{config}writable = [\"{}\"]\nconfig = {{ mode = \"write\", files = {files:?} }}\n",
        may.display()
    ));
    let mut agent = home.start();
    let written = by_label(&mut agent, "fatal_written", "file");
    let landlock = !home.log().contains("has no Landlock");
    assert_eq!(written[&files[0]], 1.0);
    assert_eq!(written[&files[2]], 1.0);
    assert_eq!(written[&files[1]], f64::from(u8::from(!landlock)), "Landlock: {landlock}");
    assert_eq!(may_not.join("x").exists(), !landlock);
}

#[test]
fn it_runs_as_another_user() {
    if !geteuid().is_root() {
        let home = beside_a_healthy_one("fatal", "user = \"root\"");
        let mut agent = home.start();
        agent.until_ready();
        let reason = plugin(&agent, "fatal")["reason"].to_string();
        assert!(reason.contains("the agent is not root") && reason.contains("user"), "{reason}");
        return;
    }
    let seen = looked(&beside_a_healthy_one("fatal", "user = \"nobody\"\nconfig = { mode = \"look\" }"));
    assert_eq!(seen["Uid:"], 65534.0, "{seen:?}");
    assert_ne!(seen["Gid:"], 0.0, "{seen:?}");
}

#[test]
fn it_starts_only_so_many_processes() {
    // the kernel holds root to no such limit
    let user = if geteuid().is_root() { "user = \"nobody\"\n" } else { "" };
    let table = format!("{user}max_processes = 20\nconfig = {{ mode = \"fork\" }}");
    let mut agent = beside_a_healthy_one("fatal", &table).start();
    super::until_failed(&mut agent, "fatal", "Resource temporarily unavailable");
    agent.stop();
}

#[test]
fn a_user_that_nobody_knows_is_refused() {
    let mut agent = beside_a_healthy_one("fatal", "user = \"no-such-user\"").start();
    agent.until_ready();
    let status = plugin(&agent, "fatal");
    assert_eq!(status["state"], "refused");
    assert!(status["reason"].as_str().unwrap().contains("there is no user no-such-user"), "{status}");
}

#[test]
fn a_missing_folder_is_told() {
    let mut agent = beside_a_healthy_one("fatal", "writable = [\"/no/such/folder\"]").start();
    super::until_failed(&mut agent, "fatal", "/no/such/folder, which it may write to, is not there");
}
