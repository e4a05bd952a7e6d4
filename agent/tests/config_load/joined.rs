//! How files join, and what the command line replaces.

use super::*;
use twarga_agent::{
    config::Comparison,
    model::{Labels, Severity},
};

#[test]
fn flags_replace_their_keys() {
    let mut home = Home::with(
        r#"
        [agent]
        interval = "10s"
        plugin_dirs = ["/configured"]
        data_dir = "/configured"
        [http]
        listen = ["127.0.0.1:1", "127.0.0.1:2"]
        [plugins.plain]
        [plugins.timed]
        interval = "1m"
        deadline = "30s"
        offset = "20s"
        jitter = "7s"
        [plugins.quick]
        interval = "30s"
        deadline = "100ms"
        offset = "1s"
        "#,
    );
    home.flags = Flags {
        config: None,
        listen: Some("[::1]:0".parse().unwrap()),
        data_dir: Some("here".into()),
        plugin_dirs: vec!["first".into(), "/second".into()],
        interval: Some(seconds(2)),
    };
    let config = home.config();
    assert_eq!(config.http.listen, ["[::1]:0".parse().unwrap()]);
    assert_eq!(config.agent.data_dir, home.path("work/here"));
    let dirs = ["work/first", "/second", "/configured", "bin", "plugins"].map(|dir| home.path(dir));
    assert_eq!(config.agent.plugin_dirs, dirs);
    assert_eq!(config.agent.interval, seconds(2));
    assert!(config.plugins.values().all(|plugin| plugin.interval == seconds(2)));
    let times = |name: &str| {
        let plugin = &config.plugins[name];
        (plugin.deadline, plugin.offset, plugin.jitter)
    };
    assert_eq!(times("plain"), (seconds(2), None, Duration::ZERO));
    assert_eq!(times("timed"), (seconds(2), Some(seconds(1)), seconds(1)));
    assert_eq!(times("quick"), (Duration::from_millis(100), Some(seconds(1)), Duration::ZERO));
    home.flags.interval = Some(Duration::from_millis(200));
    let deadlines = ["plain", "timed", "quick"].map(|name| home.config().plugins[name].deadline);
    assert_eq!(deadlines, [seconds(1), seconds(1), Duration::from_millis(100)], "a second is not too long");
    home.flags.interval = Some(Duration::from_millis(1));
    assert_eq!(home.errors(), "--interval: 1ms is too short; write a duration of 100ms to 1d");
}

#[test]
fn drop_ins_add_in_the_order_of_their_names() {
    let home = Home::with(
        "[agent]\ninterval = \"5s\"\n[plugins.host-disk]\nenabled = true\n[plugins.host-disk.config.mounts]\nexclude = [\n\"/a\",\n\"/b\"]\n",
    );
    home.write(
        "work/agent.d/20-b.toml",
        b"[[alert]]\nname = \"load\"\nmetric = \"host_load1\"\nop = \"<\"\nthreshold = 2\n",
    );
    home.write(
        "work/agent.d/10-a.toml",
        b"[plugins.host-disk]\ninterval = \"30s\"\n[plugins.host-disk.config]\nextra = 1\n[plugins.more]\nplugin = \"host-disk\"\n\
          [[alert]]\nname = \"load\"\nmetric = \"host_load5\"\nop = \">\"\nthreshold = 1\nfor = \"5m\"\n",
    );
    for ignored in ["work/agent.d/README", "work/agent.d/.hidden.toml", "work/agent.d/old.toml.bak"] {
        home.write(ignored, b"nonsense");
    }
    let config = home.config();
    let files =
        ["work/agent.toml", "work/agent.d/10-a.toml", "work/agent.d/20-b.toml"].map(|file| home.path(file));
    assert_eq!(config.files, files);
    let disk = &config.plugins["host-disk"];
    assert_eq!(disk.interval, seconds(30));
    assert_eq!(
        serde_json::Value::from(disk.config.clone()),
        serde_json::json!({"mounts": {"exclude": ["/a", "/b"]}, "extra": 1})
    );
    let place = |path| {
        let (file, line) = config::plugin_key_place(&disk.place, path).unwrap();
        (file.file_name().unwrap().to_str().unwrap(), line)
    };
    assert_eq!(disk.place.line, 3);
    assert_eq!(place("mounts.exclude[1]"), ("agent.toml", 8));
    assert_eq!(place("mounts.exclude"), ("agent.toml", 6));
    assert_eq!(place("mounts.include"), ("agent.toml", 5));
    assert_eq!(place("extra"), ("10-a.toml", 4));
    assert_eq!(config::plugin_key_line(&disk.place, "mounts"), Some(5));
    assert_eq!(config.plugins["more"].plugin, "host-disk");
    assert_eq!(config.plugins["more"].place.file, Some(home.path("work/agent.d/10-a.toml")));
    // the later file's rule changes what it gives; a message that nobody gave follows the metric
    let rule = config.alerts.last().unwrap();
    assert_eq!((rule.metric.as_str(), rule.op, rule.hold), ("host_load1", Comparison::Below, seconds(300)));
    assert_eq!((config.alerts.len(), rule.message.as_str()), (5, "host_load1 is {value}"));
}

#[test]
fn rules_of_the_four_names_change_what_they_give() {
    let home = Home::with(
        r#"
        [plugins.a]
        [[alert]]
        name = "mine"
        metric = "host_network_receive_bytes_total"
        labels = { device = "eth0" }
        op = "!="
        threshold = -1.5
        for = "1m 30s"
        severity = "critical"
        message = "{value} on {}"
        [[alert]]
        name = "system_high_disk"
        threshold = 95
        severity = "critical"
        [[alert]]
        name = "system_high_cpu"
        enabled = false
        [[alert]]
        name = "not_yet"
        enabled = false
        metric = "host_load1"
        "#,
    );
    let config = home.config();
    let names: Vec<&str> = config.alerts.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["system_high_memory", "system_high_disk", "system_high_swap", "mine"]);
    let disk = &config.alerts[1];
    assert_eq!((disk.threshold, disk.severity, disk.op), (95.0, Severity::Critical, Comparison::AtLeast));
    assert_eq!(
        (disk.metric.as_str(), disk.message.as_str()),
        ("host_disk_percent", "Disk usage at {value}%")
    );
    let mine = &config.alerts[3];
    assert_eq!(mine.labels, Labels::new([("device", "eth0")]));
    assert_eq!((mine.hold, mine.threshold, mine.op), (seconds(90), -1.5, Comparison::NotEqual));
    // a later file may bring a removed rule back, in its old place
    home.write("work/agent.d/1.toml", b"[[alert]]\nname = \"system_high_cpu\"\nfor = \"1m\"\n");
    let config = home.config();
    assert_eq!((config.alerts[0].name.as_str(), config.alerts[0].hold), ("system_high_cpu", seconds(60)));
}

#[test]
fn a_drop_in_changes_only_the_keys_that_it_gives() {
    let home = Home::with(
        r#"
        [plugins.a]
        [[alert]]
        name = "system_high_memory"
        threshold = 0.5
        for = "1m"
        [[alert]]
        name = "mine"
        metric = "host_load1"
        labels = { a = "b" }
        op = ">"
        threshold = 8
        message = "load {value}"
        [[alert]]
        name = "later"
        enabled = false
        metric = "host_load5"
        "#,
    );
    home.write(
        "work/agent.d/1.toml",
        b"[[alert]]\nname = \"system_high_memory\"\nseverity = \"critical\"\n\
          [[alert]]\nname = \"mine\"\nfor = \"2m\"\n\
          [[alert]]\nname = \"later\"\nop = \"<\"\nthreshold = 1\n",
    );
    home.write("work/agent.d/2.toml", b"[[alert]]\nname = \"system_high_memory\"\nfor = \"0s\"\n");
    let alerts = home.config().alerts;
    let memory = &alerts[1];
    assert_eq!((memory.threshold, memory.severity, memory.hold), (0.5, Severity::Critical, Duration::ZERO));
    assert_eq!(
        (memory.metric.as_str(), memory.message.as_str()),
        ("host_memory_percent", "Memory usage at {value}%")
    );
    let mine = &alerts[4];
    assert_eq!((mine.op, mine.threshold, mine.hold), (Comparison::Above, 8.0, seconds(120)));
    assert_eq!((mine.labels.get("a"), mine.message.as_str()), ("b", "load {value}"));
    // what was said of a removed rule counts once it is brought back
    assert_eq!((alerts[5].metric.as_str(), alerts[5].threshold), ("host_load5", 1.0));

    // a bad value is told once, and not as missing in the next file
    home.write(
        "work/agent.toml",
        b"[plugins.a]\n[[alert]]\nname = \"mine\"\nmetric = 5\nop = \">\"\nthreshold = 1\n",
    );
    fs::remove_file(home.path("work/agent.d/2.toml")).unwrap();
    home.write("work/agent.d/1.toml", b"[[alert]]\nname = \"mine\"\nfor = \"2m\"\n");
    let metric = "agent.toml:4: alert.mine.metric: the number 5 is not a metric's name; write a metric's name such as \"host_cpu_percent\"";
    assert_eq!(home.errors(), metric);
}
