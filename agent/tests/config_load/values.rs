//! What keys mean, and their bounds.

use super::*;
use std::os::unix::fs::PermissionsExt;
use twarga_agent::config::Limits;

#[test]
fn coarser_data_is_kept_as_long_as_finer_data() {
    let days = |text: &str| {
        let storage = Home::with(text).config().storage;
        [storage.retention, storage.retention_1m, storage.retention_1h].map(|kept| kept.as_secs() / 86_400)
    };
    assert_eq!(days("storage.retention = \"100d\""), [100, 100, 730]);
    assert_eq!(days("storage.retention_1m = \"1000d\""), [7, 1000, 1000]);
    assert_eq!(days("storage.retention_1m = \"7d\"\nstorage.retention_1h = \"7d\""), [7, 7, 7]);
    assert_eq!(days("storage.retention = \"36500d\""), [36_500, 36_500, 36_500]);
}

#[test]
fn bounds_belong_to_what_is_allowed() {
    let home = Home::with(
        r#"
        [agent]
        interval = "1d"
        [storage]
        retention = "1h"
        max_loss = "0s"
        max_size = "16MiB"
        [plugins.a]
        interval = "100ms"
        deadline = "100ms"
        offset = "99ms"
        jitter = "99ms"
        [plugins.b]
        deadline = "10ms"
        "#,
    );
    let config = home.config();
    assert_eq!(config.agent.interval, seconds(86_400));
    assert_eq!(config.storage.retention, seconds(3600));
    assert_eq!(config.storage.max_loss, Duration::ZERO);
    assert_eq!(config.storage.max_size, 16 << 20);
    assert_eq!(config.plugins["a"].jitter, Duration::from_millis(99));
    assert_eq!(config.plugins["b"].interval, seconds(86_400));
    for text in
        ["storage.max_size = \"16777215\"", "agent.interval = \"99ms\"", "storage.retention = \"59m 59s\""]
    {
        assert!(Home::with(text).errors().contains("is too"), "{text}");
    }
}

#[test]
fn a_table_without_a_mode_is_isolated_with_limits() {
    let home = Home::with(
        "[plugins.a]\n[plugins.b]\nmode = \"in_process\"\n[plugins.c]\nmode = \"isolated\"\nmax_memory = \"64MiB\"\n\
         max_processes = 2\nmax_files = 20\nuser = \"nobody\"\nenvironment = [\"X\"]\nwritable = [\"/tmp/c\"]\n",
    );
    let config = home.config();
    let modes: Vec<Mode> = config.plugins.values().map(|plugin| plugin.mode).collect();
    assert_eq!(modes, [Mode::Isolated, Mode::InProcess, Mode::Isolated]);
    let limits = &config.plugins["a"].limits;
    assert_eq!((limits.memory, limits.processes, limits.files), (512 << 20, 64, 256));
    let limits = &config.plugins["c"].limits;
    assert_eq!((limits.memory, limits.processes, limits.files), (64 << 20, 2, 20));
    assert_eq!((limits.user.as_deref(), &limits.environment[..]), (Some("nobody"), &["X".to_string()][..]));
    assert_eq!(limits.writable, [Path::new("/tmp/c")]);
}

#[test]
fn every_value_of_a_plugin_is_handed_on() {
    let home = Home::with(
        r#"
        [plugins.a]
        config = { text = "ü\n", yes = true, big = 9223372036854775807, small = -16, hex = 0xff, float = 1e3, list = [1, [2.5, { x = "y" }]], empty = {} }
        "#,
    );
    let config = serde_json::Value::from(home.config().plugins["a"].config.clone());
    let expected = serde_json::json!({
        "text": "ü\n", "yes": true, "big": i64::MAX, "small": -16, "hex": 255, "float": 1000.0,
        "list": [1, [2.5, {"x": "y"}]], "empty": {},
    });
    assert_eq!(config, expected);
}

#[test]
fn other_values_arrive() {
    let home = Home::with(
        r#"
        [agent]
        labels = { site = "lab", rack = "7" }
        align_offset = "none"
        watch = false
        [http]
        listen = "[::]:9000"
        timestamps = "legacy"
        hosts = ["Monitor.Example.org"]
        [storage]
        max_size = "1.5 GiB"
        [views]
        disk = "/home/"
        [plugins.data]
        plugin = "host-disk"
        enabled = false
        "#,
    );
    let Loaded { config, warnings } = home.load();
    assert_eq!(config.agent.labels.to_string(), r#"{rack="7",site="lab"}"#);
    assert_eq!(config.agent.align_offset, AlignOffset::None);
    assert!(!config.agent.watch);
    assert_eq!(config.http.listen, ["[::]:9000".parse().unwrap()]);
    assert_eq!(config.http.timestamps, TimestampStyle::Legacy);
    assert_eq!(config.http.hosts, ["monitor.example.org"]);
    assert_eq!(config.storage.max_size, 3 << 29);
    assert_eq!(config.views.disk, "/home");
    assert!(!config.plugins["data"].enabled);
    assert_eq!(
        warnings[0].to_string(),
        "agent.toml: no plugin is enabled: nothing is collected; name one, such as [plugins.host-cpu]"
    );
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let home = Home::new();
    home.write("etc/agent.d/10.toml", b"");
    let path = home.path("etc/agent.d");
    assert_eq!(
        home.warnings(),
        format!("{}: not read: no agent.toml stands beside it; create one\n", path.display())
    );
    home.write("work/agent.toml", b"[plugins.a]");
    fs::set_permissions(home.path("work/agent.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(
        home.warnings(),
        "agent.toml: everybody may write to this file; take that right away: whoever writes it chooses what the agent loads\n"
    );
}

#[test]
fn what_a_plugin_may_cost_and_touch() {
    let home = Home::with(
        r#"[plugins.a]
sha256 = "E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
max_cpu = "0.5 %"
max_memory = "64MiB"
max_processes = 1
max_files = 16
user = "nobody"
environment = ["LIBVIRT_DEFAULT_URI", "_X1"]
writable = ["/var/cache/a", "below"]
[plugins.b]
max_cpu = "100%"
"#,
    );
    let config = home.config();
    let (a, b) = (&config.plugins["a"], &config.plugins["b"]);
    let digest = a.limits.sha256.unwrap();
    assert_eq!((digest[0], digest[1], digest[31]), (0xe3, 0xb0, 0x55));
    assert_eq!(a.place.pin, Some((home.path("work/agent.toml"), 2)));
    assert_eq!((a.limits.cpu, b.limits.cpu), (Some(0.005), Some(1.0)));
    assert_eq!((a.limits.memory, a.limits.processes, a.limits.files), (64 << 20, 1, 16));
    assert_eq!(a.limits.user.as_deref(), Some("nobody"));
    assert_eq!(a.limits.environment, ["LIBVIRT_DEFAULT_URI", "_X1"]);
    assert_eq!(a.limits.writable, [PathBuf::from("/var/cache/a"), home.path("work/below")]);
    assert_eq!(b.limits, Limits { cpu: Some(1.0), ..Limits::default() });
    assert_eq!(b.place.pin, None);
    // in a drop-in: the line that must be changed is there
    home.write("work/agent.d/pin.toml", format!("[plugins.b]\n\nsha256 = \"{:064}\"\n", 7).as_bytes());
    let b = &home.config().plugins["b"];
    assert_eq!(b.limits.sha256.map(|digest| digest[31]), Some(7));
    assert_eq!(b.place.pin, Some((home.path("work/agent.d/pin.toml"), 3)));
}
