//! How many versions of a plugin the agent's own process may hold: none of them can be unloaded.

use super::*;
use serde_json::json;

/// As the agent's documentation says.
const MOST: usize = 32;

fn in_process() -> String {
    CONFIG.replace("[plugins.synthetic]", "[plugins.synthetic]\nmode = \"in_process\"")
}

fn count(agent: &Agent, kind: &str) -> usize {
    let events = agent.get(&format!("/api/events?type={kind}&limit=1000")).json();
    events["events"].as_array().unwrap().len()
}

/// Puts another version there and waits until it is judged.
fn swap(agent: &mut Agent, mark: &[u8; 16], version: &str, outcome: &str) -> Value {
    let before = count(agent, outcome);
    replace_synthetic(agent.home(), mark, version);
    assert_eq!(reload(agent)["plugins"]["upgrading"], json!(["synthetic"]));
    agent.until(LIMIT, outcome, |agent| (count(agent, outcome) > before).then_some(()));
    let events = agent.get(&format!("/api/events?type={outcome}&limit=1")).json();
    events["events"][0].clone()
}

/// The files of the plugin that are mapped into the agent's process.
fn mapped(agent: &Agent) -> usize {
    let maps = fs::read_to_string(format!("/proc/{}/maps", agent.pid())).unwrap();
    let ours = maps.lines().filter(|line| line.contains("libsynthetic.so") || line.contains("synthetic.new"));
    let inodes: std::collections::BTreeSet<&str> =
        ours.filter_map(|line| line.split_whitespace().nth(4)).collect();
    inodes.len()
}

#[test]
fn versions_that_fail_count_towards_the_limit_of_the_process() {
    let home = Home::new(&in_process()).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    // one is there; of 31 more, some take over and most fail after they were loaded
    let mut in_use = "0.1.0".to_string();
    for n in 2..=MOST {
        let version = format!("1.{}.{}", n / 10, n % 10);
        if n % 10 == 0 {
            swap(&mut agent, b"synthetic-mark-2", &version, "plugin_upgraded");
            in_use = version;
        } else {
            let refused = swap(&mut agent, b"synthetic-panics", &version, "plugin_upgrade_refused");
            assert!(refused["message"].as_str().unwrap().contains("planned in collect"), "{n}: {refused}");
        }
    }
    assert_eq!(mapped(&agent), MOST, "each of them stays in the process");
    assert_eq!(plugin(&agent, "synthetic")["version"], in_use.as_str());

    // a sound one is one too many
    let refused = swap(&mut agent, b"synthetic-mark-3", "2.0.0", "plugin_upgrade_refused");
    let message = refused["message"].as_str().unwrap();
    let told = "32 versions of it are in the process already, and none can be unloaded; restart the agent, or run the \
                plugin isolated";
    assert!(message.contains(told), "{message}");
    assert_eq!(mapped(&agent), MOST, "and is not loaded");
    assert_eq!(plugin(&agent, "synthetic")["version"], in_use.as_str());
    collects_on(&mut agent, "synthetic", 3);

    // the advice helps
    home.write_config(&CONFIG.replace("[plugins.synthetic]", "[plugins.synthetic]\nmode = \"isolated\""));
    reload(&agent);
    agent.until(LIMIT, "the new version in its own process", |agent| {
        history(agent, "synthetic_info&label.mark=synthetic-mark-3").0.first().copied()
    });
    assert_eq!(plugin(&agent, "synthetic")["version"], "2.0.0");
    assert_eq!(mapped(&agent), MOST);
    agent.stop();
}

/// What of the plugin the agent's process has open: its file under any name, or copies of it. That of `host-mem`, which
/// runs isolated, is left out.
fn descriptors(agent: &Agent) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().flatten();
    let targets = open.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()));
    let names = ["libsynthetic.so", "synthetic.new", "twarga-plugin"];
    targets.filter(|target| names.iter().any(|name| target.contains(name))).count() - 1
}

#[test]
fn tables_of_one_plugin_keep_one_descriptor_a_version() {
    let more: String =
        (0..4).map(|n| format!("[plugins.s{n}]\nplugin = \"synthetic\"\nmode = \"in_process\"\n")).collect();
    let home = Home::new(&format!("{}{more}", in_process())).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    assert_eq!(descriptors(&agent), 1);
    replace_synthetic(&home, b"synthetic-mark-2", "0.2.0");
    assert_eq!(reload(&agent)["plugins"]["upgrading"].as_array().unwrap().len(), 5);
    agent
        .until(LIMIT, "all to have taken over", |agent| (count(agent, "plugin_upgraded") == 5).then_some(()));
    assert_eq!(descriptors(&agent), 2);
    agent.stop();
}

#[test]
fn the_same_content_is_no_new_version() {
    let modes = [in_process(), CONFIG.to_string()];
    for config in modes {
        let home = Home::new(&config).plugin("synthetic").plugin("host-mem");
        let mut agent = home.start();
        agent.until_ready();
        let before = descriptors(&agent);
        // by rename, and by other times; what is there must stay usable by its name
        for _ in 0..2 {
            let (file, other) = (home.plugins().join("libsynthetic.so"), home.path("synthetic.new"));
            fs::copy(&file, &other).unwrap();
            fs::rename(&other, &file).unwrap();
            assert_eq!(reload(&agent)["plugins"]["upgrading"], json!([]));
            post(&agent, "/api/plugins/synthetic/disable");
            assert_eq!(post(&agent, "/api/plugins/synthetic/enable").0, 200);
            collects_on(&mut agent, "synthetic", 2);
        }
        assert_eq!(descriptors(&agent), before);
        assert_eq!((count(&agent, "plugin_upgraded"), count(&agent, "plugin_upgrade_refused")), (0, 0));
        agent.stop();
    }
}

#[test]
fn a_pinned_library_is_copied_once_however_often_its_file_is_touched() {
    let home = Home::new("").plugin("synthetic").plugin("host-mem");
    let file = home.plugins().join("libsynthetic.so");
    let inspected = home.end(home.command("plugins").arg("inspect").arg(&file).arg("--json"));
    let digest =
        serde_json::from_str::<Value>(&inspected.out).unwrap()["sha256"].as_str().unwrap().to_owned();
    let pinned = format!("mode = \"in_process\"\nsha256 = \"{digest}\"");
    home.write_config(&in_process().replace("mode = \"in_process\"", &pinned));
    let mut agent = home.start();
    agent.until_ready();
    for _ in 0..3 {
        fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(std::time::SystemTime::now())
            .unwrap();
        assert_eq!(reload(&agent)["plugins"]["upgrading"], json!([]));
        post(&agent, "/api/plugins/synthetic/disable");
        assert_eq!(post(&agent, "/api/plugins/synthetic/enable").0, 200);
        collects_on(&mut agent, "synthetic", 2);
    }
    assert_eq!(descriptors(&agent), 1);
    agent.stop();
}
