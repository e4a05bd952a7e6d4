//! Pinned plugins in the real agent: nothing of a refused file runs, and every command says why.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};
use twarga_tests::Home;

const PATIENCE: Duration = Duration::from_secs(10);
const NONE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An agent's home with a plugin whose initialiser leaves a mark, pinned to this digest.
fn home(digest: &str) -> Home {
    let home = Home::new("").plugin("initialiser");
    let mark = home.path("mark").display().to_string();
    pin(&home, digest);
    home.variable("INITIALISER_MARK", &mark)
}

fn pin(home: &Home, digest: &str) {
    home.write_config(&format!(
        "[agent]\ninterval = \"1s\"\n[plugins.initialiser]\nmode = \"in_process\"\nsha256 = \"{digest}\"\n"
    ));
}

/// The digest, as `plugins inspect` says it.
fn digest(home: &Home) -> String {
    let file = home.plugins().join("libinitialiser.so");
    let inspected = home.end(home.command("plugins").arg("inspect").arg(&file).arg("--json"));
    let json: serde_json::Value = serde_json::from_str(&inspected.out).unwrap();
    assert_eq!(json["distrust"], serde_json::Value::Null, "{inspected:?}");
    json["sha256"].as_str().unwrap().into()
}

fn state(agent: &twarga_tests::Agent) -> serde_json::Value {
    let list = agent.get("/api/plugins").json();
    list["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "initialiser").unwrap().clone()
}

#[test]
fn nothing_of_a_file_with_another_digest_runs() {
    let home = home(NONE);
    let found = digest(&home);
    let text = home.end(home.command("plugins").arg("inspect").arg(home.plugins().join("libinitialiser.so")));
    assert!(text.out.contains(&format!("sha256 = \"{found}\"")), "{text:?}");

    let check = home.end(&mut home.command("check"));
    assert_eq!(check.code, Some(78), "{check:?}");
    let place = format!("{}:5: plugins.initialiser.sha256: ", home.path("agent.toml").display());
    for part in [&place, &format!("sha256 = \"{NONE}\""), &format!("sha256 = \"{found}\"")] {
        assert!(check.err.contains(part), "{part}: {check:?}");
    }
    let list = home.end(home.command("plugins").arg("list"));
    assert!(list.code == Some(1) && list.out.contains(&found), "{list:?}");

    let mut agent = home.start();
    agent.until_ready();
    let refused = state(&agent);
    assert_eq!(refused["state"], "refused", "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains(&found), "{refused}");
    agent.stop();
    assert!(!home.path("mark").exists(), "its initialiser ran");

    // with the line that every one of them gave, it is loaded, and that the mark is missing means something
    pin(&home, &found.to_uppercase());
    assert_eq!(home.end(&mut home.command("check")).code, Some(0));
    assert!(!home.path("mark").exists(), "check runs nothing");
    let list = home.end(home.command("plugins").arg("list"));
    assert!(list.code == Some(0) && list.out.contains(&found[..12]), "{list:?}");
    let mut agent = home.start();
    agent.until_ready();
    let running = state(&agent);
    assert_eq!((&running["state"], &running["sha256"]), (&"running".into(), &found.into()), "{running}");
    assert!(home.path("mark").exists());
    agent.stop();
}

#[test]
fn a_pinned_plugin_survives_that_its_file_is_overwritten_in_place() {
    let home = home(NONE);
    pin(&home, &digest(&home));
    let mut agent = home.start();
    agent.until_ready();
    fs::write(home.plugins().join("libinitialiser.so"), b"").unwrap();
    assert_sealed(&agent);
    let before = state(&agent)["collections"].as_u64().unwrap();
    agent.until(PATIENCE, "more collections", |agent| {
        (state(agent)["collections"].as_u64().unwrap() > before + 1).then_some(())
    });
    assert_eq!(state(&agent)["state"], "running");
    agent.stop();
}

/// The copy that the agent has loaded can't be written or cut short, not even by its own user.
fn assert_sealed(agent: &twarga_tests::Agent) {
    let links =
        fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().flatten().map(|entry| entry.path());
    let is_copy =
        |link: &PathBuf| fs::read_link(link).is_ok_and(|to| to.starts_with("/memfd:twarga-plugin (deleted)"));
    let copies: Vec<PathBuf> = links.filter(is_copy).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    fs::set_permissions(&copies[0], fs::Permissions::from_mode(0o600)).unwrap();
    let copy = fs::OpenOptions::new().write(true).open(&copies[0]).unwrap();
    assert!((&copy).write_all(b"x").is_err() && copy.set_len(0).is_err());
}

#[test]
fn check_repeats_what_run_asks_of_owner_and_mode() {
    let home = home(NONE);
    pin(&home, &digest(&home));
    let file = home.plugins().join("libinitialiser.so");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o777)).unwrap();
    let check = home.end(&mut home.command("check"));
    let place = format!("{}:3: plugins.initialiser: ", home.path("agent.toml").display());
    assert!(check.code == Some(78) && check.err.contains(&place), "{check:?}");
    assert!(check.err.contains("writable for everyone (mode 0777)"), "{check:?}");
    let inspected = home.end(home.command("plugins").arg("inspect").arg(&file));
    assert!(inspected.code == Some(0) && inspected.out.contains("would not be loaded"), "{inspected:?}");
}
