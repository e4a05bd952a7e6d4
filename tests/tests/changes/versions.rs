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
