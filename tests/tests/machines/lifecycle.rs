//! Machines that come, change and go: events, numbers, restarts.

use super::*;
use std::fs;

#[test]
fn a_machine_keeps_its_number_for_ever() {
    let home = home("1s");
    let mut agent = start(&home);
    home.write("states", "web=gone\n");
    agent.until(PATIENCE, "the end of web", |agent| {
        let vms = agent.get("/api/vms").json();
        (vms["vms"][0]["state"] == "destroyed").then_some(())
    });
    let vm = agent.get("/api/metrics/vm/1").json();
    assert_eq!((&vm["vm_name"], &vm["vm_status"]), (&json!("web"), &json!("destroyed")));
    assert_eq!(vm["cpu_percent"], Value::Null);
    assert!(
        agent.get("/api/metrics/vm/1/history?metric_name=vm_cpu_percent").json()["count"].as_u64() >= Some(2)
    );
    assert_eq!(vm_events(&agent), ["1 vm_destroyed running destroyed"]);
    agent.stop();

    // made anew under the same name: another UUID, another number
    let third = "6ba7b812-9dad-11d1-80b4-00c04fd430c8";
    let config = fs::read_to_string(home.path("agent.toml")).unwrap().replace(WEB, third);
    home.write_config(&config);
    home.write("states", "");
    let agent = start(&home);
    let vms = agent.get("/api/vms").json();
    let known: Vec<_> = vms["vms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vm| (vm["vm_id"].as_i64().unwrap(), vm["vm"].as_str().unwrap()))
        .collect();
    assert_eq!(known, [(1, WEB), (2, DB), (3, third)]);
    assert_eq!(vms["vms"][0]["state"], "destroyed");
    assert_eq!(vms["vms"][2]["state"], "running");
    assert_eq!(
        vm_events(&agent)[1..],
        ["3 vm_created not_created running", "3 vm_started not_created running"],
        "made while the agent was down"
    );
}

#[test]
fn a_machine_that_is_created_keeps_its_number() {
    let home = home("1h");
    home.write("states", &format!("db=gone\nweb=not_created\nweb:vm={INDEX}\nweb:ip_address=\n"));
    let agent = start(&home);
    let web = listed(&agent, 1);
    assert_eq!((&web["vm"], &web["vm_status"]), (&json!(INDEX), &json!("pending")));

    // both are created: the one was known, the other was not
    home.write("states", "");
    collect(&agent);
    collect(&agent);
    collect(&agent);
    let vms = agent.get("/api/vms").json();
    assert_eq!(vms["count"], 2, "{vms}");
    assert_eq!((&vms["vms"][0]["vm"], &vms["vms"][1]["vm"]), (&json!(WEB), &json!(DB)));
    let created = |vm_id: i64| {
        [format!("{vm_id} vm_created not_created running"), format!("{vm_id} vm_started not_created running")]
    };
    let mut events = vm_events(&agent);
    assert_eq!(events, [created(1), created(2)].concat());
    assert_eq!(agent.get("/api/metrics/vm/1").json()["ip_address"], "192.0.2.10");
    let uptime = agent.get("/api/metrics/vm/1/history?metric_name=vm_uptime").json();
    assert_eq!(uptime["count"], 3, "{uptime}");
    agent.stop();

    // what was never created is not destroyed
    home.write("states", &format!("db=gone\nweb:vm={INDEX}\nweb:name=third\nweb=not_created\n"));
    let agent = start(&home);
    assert_eq!(
        (listed(&agent, 1)["state"].clone(), listed(&agent, 3)["state"].clone()),
        (json!("destroyed"), json!("not_created"))
    );
    home.write("states", "db=gone\nweb=gone\n");
    collect(&agent);
    collect(&agent);
    assert_eq!(listed(&agent, 3)["state"], "destroyed");
    events.extend(["1 vm_destroyed running destroyed".into(), "2 vm_destroyed running destroyed".into()]);
    assert_eq!(vm_events(&agent), events);
    let gone = agent.get("/api/metrics/vm/1").json();
    assert_eq!((&gone["vm_name"], &gone["vm_status"]), (&json!("web"), &json!("destroyed")));
    let reasons = gone["unavailable"].as_object().unwrap();
    assert_eq!(reasons.len(), 15, "{gone}");
    assert!(reasons.iter().all(|(key, why)| why == "destroyed" && gone[key].is_null()), "{gone}");
    let uptime = agent.get("/api/metrics/vm/1/history?metric_name=vm_uptime").json();
    assert_eq!(uptime["count"], 3, "its history is still there: {uptime}");
}

#[test]
fn a_machine_that_moves_is_the_same() {
    let home = home("1h");
    let agent = start(&home);
    home.write("states", "web:name=www\nweb:project=/srv/www\nweb:ip_address=192.0.2.11\n");
    collect(&agent);
    collect(&agent);
    let web = listed(&agent, 1);
    assert_eq!((&web["vm"], &web["vm_name"]), (&json!(WEB), &json!("www")));
    assert_eq!((&web["project"], &web["ip_address"]), (&json!("/srv/www"), &json!("192.0.2.11")));
    assert_eq!(agent.get("/api/metrics/vm/1").json()["vm_name"], "www");
    assert_eq!(agent.get("/api/vms").json()["count"], 2);
    assert_eq!(vm_events(&agent), NONE);
}

#[test]
fn a_plugin_that_is_switched_off_destroys_no_machine() {
    let home = home("1h");
    let mut agent = start(&home);
    let switch = |agent: &Agent, word: &str| {
        let answer = agent.post(Some(&agent.admin_token()), &format!("/api/plugins/fake-vm/{word}"), "");
        assert_eq!(answer.json()["success"], true, "{}", answer.text());
    };
    switch(&agent, "disable");
    // that its series have ended is told with the next round
    let web = agent.until(PATIENCE, "the end of its series", |agent| {
        let web = listed(agent, 1);
        (web["fresh"] == false).then_some(web)
    });
    assert_eq!(web["state"], "running");
    assert_eq!(web["uptime_seconds"], Value::Null);
    let vm = agent.get("/api/metrics/vm/1").json();
    assert_eq!((&vm["cpu_percent"], &vm["unavailable"]["cpu_percent"]), (&Value::Null, &json!("no_series")));
    switch(&agent, "enable");
    collect(&agent);
    assert_eq!(listed(&agent, 1)["fresh"], true);
    switch(&agent, "restart");
    collect(&agent);
    assert_eq!(vm_events(&agent), NONE, "nothing has changed");
    switch(&agent, "disable");
    home.write("states", "web=shutoff\ndb=gone\n");
    switch(&agent, "enable");
    collect(&agent);
    assert_eq!(vm_events(&agent), ["1 vm_stopped running shutoff", "2 vm_destroyed running destroyed"]);
}

#[test]
fn the_states_of_before_a_restart_are_remembered() {
    let home = home("1h");
    let agent = start(&home);
    home.write("states", "web=paused\n");
    collect(&agent);
    home.write("states", "web:vm_state=libvirt is away\n");
    collect(&agent);
    agent.stop();
    for (states, crash) in [("web:vm_state=libvirt is away\n", false), ("web=paused\n", true)] {
        home.write("states", states);
        let agent = start(&home);
        assert_eq!(vm_events(&agent), ["1 vm_paused running paused"], "{states}");
        if crash { agent.kill() } else { agent.stop() }
    }
    home.write("states", "db=shutoff\n");
    let agent = start(&home);
    let expected =
        ["1 vm_paused running paused", "1 vm_resumed paused running", "2 vm_stopped running shutoff"];
    assert_eq!(vm_events(&agent), expected);
}
