//! Files that are noticed: of the configuration, and of plugins, which are tried out before they take over.

use super::*;
use rustix::process::{Pid, Signal, kill_process};

fn watching() -> String {
    CONFIG.replace("watch = false", "watch = true")
}

fn started() -> (Home, Agent) {
    let home = Home::new(&watching()).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    (home, agent)
}

#[test]
fn a_written_file_is_noticed() {
    let (home, mut agent) = started();
    home.write_config(&watching().replace("[plugins.host-mem]", "[plugins.host-mem]\ninterval = \"300ms\""));
    agent.until(LIMIT, "the new interval", |agent| {
        (plugin(agent, "host-mem")["interval_seconds"] == 0.3).then_some(())
    });
    fs::create_dir(home.path("agent.d")).unwrap();
    home.write("agent.d/off.toml", "[plugins.more]\nplugin = \"host-mem\"\n");
    agent.until(LIMIT, "the drop-in's plugin", |agent| {
        let all = agent.get("/api/plugins").json();
        all["plugins"].as_array().unwrap().iter().any(|plugin| plugin["name"] == "more").then_some(())
    });
    // the folder did not exist when the agent started, and is looked at by now
    fs::remove_file(home.path("agent.d/off.toml")).unwrap();
    agent.until(LIMIT, "the drop-in's plugin to go", |agent| {
        let all = agent.get("/api/plugins").json();
        (!all["plugins"].as_array().unwrap().iter().any(|plugin| plugin["name"] == "more")).then_some(())
    });
    assert!(!agent.home().log().contains("ERROR"), "{}", agent.home().log());
    agent.stop();
}

#[test]
fn a_plugin_that_comes_later_is_started() {
    let home = Home::new(&format!("{}[plugins.faulty]\n", watching())).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    assert_eq!(plugin(&agent, "faulty")["state"], "refused");
    let home = home.plugin("faulty");
    agent
        .until(LIMIT, "faulty to run", |agent| (plugin(agent, "faulty")["state"] == "running").then_some(()));
    drop(home);
    agent.stop();
}

#[test]
fn a_new_version_takes_over() {
    let (home, mut agent) = started();
    assert_eq!(plugin(&agent, "synthetic")["version"], "0.1.0");
    replace_synthetic(&home, b"synthetic-mark-2", "0.2.0");
    let upgraded = event(&mut agent, "plugin_upgraded");
    assert_eq!(upgraded["message"], "plugin synthetic: 0.1.0 was replaced by 0.2.0");
    assert_eq!(plugin(&agent, "synthetic")["version"], "0.2.0");
    agent.until(LIMIT, "samples of the new version", |agent| {
        history(agent, "synthetic_info&label.mark=synthetic-mark-2").0.first().copied()
    });
    let (values, gaps) = history(&agent, "synthetic_value&label.n=0&limit=1000");
    // the old one counted up to its end, the new one counts from one
    let breaks = values.windows(2).filter(|pair| pair[0] != pair[1] + 1.0).count();
    assert_eq!((breaks, gaps), (1, Vec::new()), "{values:?}");
    assert_eq!(plugin(&agent, "synthetic")["restarts"], 1);
    // a restart keeps the new version
    assert_eq!(post(&agent, "/api/plugins/synthetic/restart").0, 200);
    collects_on(&mut agent, "synthetic", 3);
    assert_eq!(plugin(&agent, "synthetic")["version"], "0.2.0");
    agent.stop();
}

/// The process of the isolated `synthetic`; nothing while there is none.
fn process(agent: &Agent) -> Option<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        line == "twarga-agent\0isolated-plugin\0synthetic\0" && parent == Some(agent.pid())
    })
}

#[test]
fn a_file_that_is_written_in_place_is_not_loaded_unseen() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    collects_on(&mut agent, "synthetic", 2);
    let before = plugin(&agent, "synthetic");
    let file = home.plugins().join("libsynthetic.so");
    fs::write(&file, another_synthetic(b"synthetic-mark-2", "0.2.0")).unwrap();
    let pid = Pid::from_raw(process(&agent).unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    agent.until(LIMIT, "the next process", |agent| {
        let now = plugin(agent, "synthetic");
        (now["restarts"] != before["restarts"] && now["state"] == "running").then_some(())
    });
    collects_on(&mut agent, "synthetic", 2);
    let mark = |agent: &Agent| history(agent, "synthetic_info&label.mark=synthetic-mark-2").0;
    assert_eq!(mark(&agent), [0.0; 0], "it runs what was approved");
    assert_eq!(plugin(&agent, "synthetic")["sha256"], before["sha256"]);

    // whoever looks sees another version, which is tried out first
    assert_eq!(reload(&agent)["plugins"]["upgrading"], serde_json::json!(["synthetic"]));
    assert_eq!(event(&mut agent, "plugin_upgraded")["details"]["to"], "0.2.0");
    agent.until(LIMIT, "samples of the new version", |agent| mark(agent).first().copied());
    // another mode is no other version
    fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(reload(&agent)["plugins"]["upgrading"], serde_json::json!([]));
    agent.stop();
}

#[test]
fn a_file_that_is_written_in_place_is_noticed() {
    let (home, mut agent) = started();
    fs::write(home.plugins().join("libsynthetic.so"), another_synthetic(b"synthetic-mark-2", "0.2.0"))
        .unwrap();
    assert_eq!(event(&mut agent, "plugin_upgraded")["details"]["to"], "0.2.0");
    agent.stop();
}

#[test]
fn a_library_in_the_process_that_is_overwritten_is_told() {
    use std::io::Write;
    let config = CONFIG.replace("[plugins.synthetic]", "[plugins.synthetic]\nmode = \"in_process\"");
    let home = Home::new(&config).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    // not cut short, and the same code: whoever does more than that ends the agent
    let mut file = fs::File::options().write(true).open(home.plugins().join("libsynthetic.so")).unwrap();
    file.write_all(&another_synthetic(b"synthetic-mark-2", "0.2.0")).unwrap();
    for _ in 0..2 {
        assert_eq!(reload(&agent)["plugins"]["upgrading"], serde_json::json!([]));
    }
    let told = event(&mut agent, "plugin_upgrade_refused");
    assert!(told["message"].as_str().unwrap().contains("it was written over the old one"), "{told}");
    assert_eq!(agent.get("/api/events?type=plugin_upgrade_refused").json()["count"], 1, "once");
    assert_eq!(plugin(&agent, "synthetic")["version"], "0.1.0");
    agent.stop();
}

#[test]
fn a_version_that_fails_is_refused_while_the_old_one_goes_on() {
    for (mark, reason) in [
        (b"synthetic-panics", "planned in collect"),
        (b"synthetic-silent", "it brought no samples"),
        (b"synthetic-\xff\xff\xff\xff\xff\xff", "no collector could be made"),
    ] {
        let (home, mut agent) = started();
        replace_synthetic(&home, mark, "0.2.0");
        let refused = event(&mut agent, "plugin_upgrade_refused");
        assert!(refused["message"].as_str().unwrap().contains(reason), "{refused}");
        collects_on(&mut agent, "synthetic", 3);
        // the same file is not tried again
        reload(&agent);
        assert_eq!(reload(&agent)["plugins"]["upgrading"], serde_json::json!([]));
        let (values, gaps) = history(&agent, "synthetic_value&label.n=0&limit=1000");
        assert!(values.windows(2).all(|pair| pair[0] == pair[1] + 1.0), "{values:?}");
        assert_eq!(gaps, [""; 0]);
        assert_eq!(plugin(&agent, "synthetic")["version"], "0.1.0");
        // but the next one is
        replace_synthetic(&home, b"synthetic-mark-3", "0.3.0");
        assert_eq!(event(&mut agent, "plugin_upgraded")["details"]["to"], "0.3.0");
        agent.stop();
    }
}

#[test]
fn a_version_that_hangs_in_its_place_costs_the_old_one_nothing() {
    let config = watching().replace("[plugins.synthetic]", "[plugins.synthetic]\ninterval = \"1s\"");
    let home = Home::new(&config).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    replace_synthetic(&home, b"synthetic-hang-3", "0.2.0");
    let refused = event(&mut agent, "plugin_upgrade_refused");
    let reason = "its first collection failed: killed: took longer than its deadline of 750ms";
    assert!(refused["message"].as_str().unwrap().contains(reason), "{refused}");
    assert_eq!(refused["details"]["retry_seconds"], 1.0, "{refused}");
    agent.until(LIMIT, "the second try", |agent| {
        let refused = agent.get("/api/events?type=plugin_upgrade_refused").json();
        (refused["count"] == 2).then_some(())
    });
    collects_on(&mut agent, "synthetic", 2);
    let status = plugin(&agent, "synthetic");
    assert_eq!(
        (&status["version"], &status["failures"], &status["skipped"]),
        (&"0.1.0".into(), &0.into(), &0.into())
    );
    let (values, gaps) = history(&agent, "synthetic_value&label.n=0&limit=1000");
    assert!(values.windows(2).all(|pair| pair[0] == pair[1] + 1.0), "{values:?}");
    assert_eq!(gaps, [""; 0]);
    agent.stop();
}

/// Eight tables of one plugin: their processes load one copy of its file, at the same time.
#[test]
fn tables_of_one_plugin_change_their_version_at_once() {
    const TABLES: usize = 8;
    let tables = (0..TABLES).map(|n| format!("[plugins.s{n}]\nplugin = \"synthetic\"\n"));
    let config = format!(
        "{}{}",
        watching().replace("[plugins.synthetic]\n", "[plugins.s]\nplugin = \"synthetic\"\n"),
        tables.collect::<String>()
    );
    let home = Home::new(&config).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    for version in ["0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0"] {
        replace_synthetic(&home, b"synthetic-mark-2", version);
        agent.until(LIMIT, version, |agent| {
            (0..TABLES).all(|n| plugin(agent, &format!("s{n}"))["version"] == version).then_some(())
        });
    }
    assert_eq!(agent.get("/api/events?type=plugin_upgrade_refused").json()["count"], 0);
    agent.stop();
}

#[test]
fn a_version_that_fails_already_is_replaced_at_once() {
    // it panics from the first collection on: after some failures it is left alone for a while
    let home = Home::new(&watching()).plugin("host-mem");
    replace_synthetic(&home, b"synthetic-panics", "0.2.0");
    let mut agent = home.start();
    agent.until(LIMIT, "synthetic to be left alone", |agent| {
        (plugin(agent, "synthetic")["failures"].as_u64()? >= 6).then_some(())
    });
    replace_synthetic(&home, b"synthetic-mark-3", "0.3.0");
    assert_eq!(event(&mut agent, "plugin_upgraded")["details"]["to"], "0.3.0");
    collects_on(&mut agent, "synthetic", 3);
    assert_eq!(plugin(&agent, "synthetic")["state"], "running");
    agent.stop();
}
