//! The defaults, and the shipped `agent.toml` that says them.

use super::*;
use twarga_agent::config::Place;

/// The configuration without the places from which it came.
fn bare(mut config: Config) -> Config {
    config.files.clear();
    for plugin in config.plugins.values_mut() {
        plugin.place = Place::default();
    }
    config
}

#[test]
fn without_a_file_the_defaults_count() {
    let home = Home::new();
    let Loaded { config, warnings } = home.load();
    assert_eq!(warnings, []);
    assert!(config.files.is_empty());
    assert_eq!(config.agent.interval, seconds(5));
    assert_eq!(config.agent.data_dir, home.path("home/.local/state/twarga-agent"));
    assert_eq!(config.agent.plugin_dirs, [home.path("bin"), home.path("plugins")]);
    assert_eq!(config.agent.align_offset, AlignOffset::Host);
    assert!(config.agent.watch);
    assert_eq!(config.http.listen, ["127.0.0.1:8000".parse().unwrap()]);
    assert_eq!(config.http.timestamps, TimestampStyle::Rfc3339);
    assert_eq!(config.storage.retention, seconds(7 * 86_400));
    assert_eq!(config.storage.retention_1m, seconds(90 * 86_400));
    assert_eq!(config.storage.retention_1h, seconds(730 * 86_400));
    assert_eq!(config.storage.max_loss, seconds(10));
    assert_eq!(config.storage.max_size, 1 << 30);
    assert_eq!(config.views.disk, "/");
    let names: Vec<&str> = config.plugins.keys().map(String::as_str).collect();
    assert_eq!(names, ["host-cpu", "host-disk", "host-mem", "host-net", "vagrant-vm"]);
    assert!(config.plugins.values().all(|plugin| plugin.enabled && plugin.mode == Mode::InProcess));
    let rules: Vec<String> = config
        .alerts
        .iter()
        .map(|rule| format!("{} {} {} {}", rule.name, rule.metric, rule.threshold, rule.message))
        .collect();
    assert_eq!(
        rules,
        [
            "system_high_cpu host_cpu_percent 90 CPU usage at {value}%",
            "system_high_memory host_memory_percent 85 Memory usage at {value}%",
            "system_high_disk host_disk_percent 90 Disk usage at {value}%",
            "system_high_swap host_swap_percent 50 Swap usage at {value}%",
        ]
    );
}

#[test]
fn the_shipped_file_says_the_defaults() {
    let home = Home::with(&shipped());
    let Loaded { config, warnings } = home.load();
    assert_eq!(warnings, []);
    fs::remove_file(home.path("work/agent.toml")).unwrap();
    assert_eq!(without_the_disabled(bare(config)), home.config());
}

/// Plugins that the shipped file shows and does not enable.
fn without_the_disabled(mut config: Config) -> Config {
    config.plugins.retain(|_, plugin| plugin.enabled);
    config
}

#[test]
fn every_line_of_the_shipped_file_can_be_uncommented() {
    let is_key =
        |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase());
    let text: String = shipped()
        .lines()
        .map(|line| if is_key(line) { &line[1..] } else { line })
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(text, shipped());
    let home = Home::with(&text);
    assert_eq!(home.warnings(), "");
    // all but the token files and what is worth something only by being there says the default
    let mut config = without_the_disabled(bare(home.config()));
    config.http.user_tokens = None;
    config.http.admin_tokens = None;
    let cpu = config.plugins.get_mut("host-cpu").unwrap();
    assert_eq!(cpu.offset.take(), Some(Duration::ZERO));
    assert!(cpu.limits.sha256.take().is_some() && cpu.limits.cpu.take() == Some(0.01));
    assert_eq!(cpu.limits.user.take().as_deref(), Some("nobody"));
    cpu.config.clear();
    // that these keys say the defaults, the plugin's own tests know
    config.plugins.get_mut("vagrant-vm").unwrap().config.clear();
    fs::remove_file(home.path("work/agent.toml")).unwrap();
    assert_eq!(config, home.config());
}

#[test]
fn the_shipped_file_names_every_key() {
    // an unknown key makes the agent say which ones it knows
    let text = "[agent]\n?=1\n[http]\n?=1\n[http.auth]\n?=1\n[storage]\n?=1\n[views]\n?=1\n[[alert]]\n?=1\nname=\"a\"\n";
    let errors = Home::with(&text.replace('?', "zzzzzzzz")).errors();
    let lists: Vec<&str> =
        errors.lines().filter_map(|line| Some(line.split_once("the keys here are ")?.1)).collect();
    assert_eq!(lists.len(), 6, "{errors}");
    let of_plugins = "plugin, enabled, interval, deadline, offset, jitter, mode, max_series, sha256, max_cpu, max_memory, \
                      max_processes, max_files, user, environment, writable";
    for key in lists.join(", ").split(", ").chain(of_plugins.split(", ")) {
        let stands = shipped().lines().any(|line| {
            let line = line.trim_start_matches('#');
            line.split_once(" = ").is_some_and(|(name, _)| name == key) || line == format!("[http.{key}]")
        });
        assert!(stands, "{key} is not in the shipped file");
    }
}
