//! Which files are read, how they join, what the command line replaces, and the shipped `agent.toml`.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use twarga_agent::{
    config::{
        self, AlignOffset, Comparison, Config, Environment, Flags, Limits, Loaded, Mode, Place,
        TimestampStyle,
    },
    model::{Labels, Severity},
};

/// A folder with files, and the surroundings of a process in it.
struct Home {
    dir: TempDir,
    environment: Environment,
    flags: Flags,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::below(dir.path());
        fs::create_dir_all(&environment.current_dir).unwrap();
        Self { dir, environment, flags: Flags::default() }
    }

    /// With this text as `./agent.toml`.
    fn with(text: &str) -> Self {
        let home = Self::new();
        home.write("work/agent.toml", text.as_bytes());
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn load(&self) -> Loaded {
        config::load_in(&self.flags, &self.environment).map_err(|errors| errors.to_string()).unwrap()
    }

    fn config(&self) -> Config {
        self.load().config
    }

    fn warnings(&self) -> String {
        self.load().warnings.iter().map(|problem| format!("{problem}\n")).collect()
    }

    fn errors(&self) -> String {
        config::load_in(&self.flags, &self.environment).unwrap_err().to_string()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn shipped() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent.toml")).unwrap()
}

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

#[test]
fn files_are_searched_in_order() {
    let home = Home::new();
    let files = [
        ("etc/agent.toml", 1),
        ("home/.config/twarga-agent/agent.toml", 2),
        ("work/agent.toml", 3),
        ("elsewhere/mine.toml", 4),
    ];
    let text = |interval: u64| format!("agent.interval = \"{interval}s\"\nplugins.a.enabled = true\n");
    for (name, interval) in &files[..3] {
        home.write(name, text(*interval).as_bytes());
        let config = home.config();
        assert_eq!(config.agent.interval, seconds(*interval), "{name}");
        assert_eq!(config.files, [home.path(name)]);
    }
    let mut home = home;
    home.write(files[3].0, text(4).as_bytes());
    home.flags.config = Some("../elsewhere/mine.toml".into());
    assert_eq!(home.config().agent.interval, seconds(4));
    home.flags.config = None;
    fs::remove_file(home.path("work/agent.toml")).unwrap();
    home.write("xdg/twarga-agent/agent.toml", text(5).as_bytes());
    home.environment.config_home = Some(home.path("xdg"));
    assert_eq!(home.config().agent.interval, seconds(5));
}

#[test]
fn the_state_lies_where_the_user_says() {
    let mut home = Home::new();
    home.environment.state_home = Some(home.path("state"));
    assert_eq!(home.config().agent.data_dir, home.path("state/twarga-agent"));
    home.environment.is_root = true;
    assert_eq!(home.config().agent.data_dir, home.path("var"));
    home.environment = Environment { is_root: false, home: None, state_home: None, ..home.environment };
    assert_eq!(
        home.errors(),
        "agent.data_dir: there is no default, because HOME is not set; set it, or give --data-dir"
    );
    home.flags.data_dir = Some("data".into());
    assert_eq!(home.config().agent.data_dir, home.path("work/data"));
}

#[test]
fn paths_begin_at_their_file() {
    let home = Home::with(
        r#"
        [agent]
        data_dir = "data"
        plugin_dirs = ["./a", "~/b", "/c", "~", "a"]
        [http.auth]
        user_tokens = "tokens/user"
        [plugins.x]
        "#,
    );
    home.write("work/agent.d/10.toml", b"http.auth.admin_tokens = \"admin\"");
    let config = home.config();
    assert_eq!(config.agent.data_dir, home.path("work/data"));
    let dirs = ["work/a", "home/b", "/c", "home/", "bin", "plugins"].map(|dir| home.path(dir));
    assert_eq!(config.agent.plugin_dirs, dirs);
    assert_eq!(config.http.user_tokens, Some(home.path("work/tokens/user")));
    assert_eq!(config.http.admin_tokens, Some(home.path("work/agent.d/admin")));
}

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
    home.flags.interval = Some(Duration::from_millis(1));
    assert_eq!(home.errors(), "--interval: 1ms is too short; write a duration of 100ms to 1d");
}

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
fn an_empty_file_is_a_configuration() {
    let wanted =
        "agent.toml: no plugin is enabled: nothing is collected; name one, such as [plugins.host-cpu]\n";
    for text in ["", "\u{feff}", "# nothing\r\n", "\n\n"] {
        assert_eq!(Home::with(text).warnings(), wanted, "{text:?}");
    }
}

#[test]
fn line_ends_and_byte_order_marks_change_nothing() {
    let unix = shipped();
    let windows = format!("\u{feff}{}", unix.replace('\n', "\r\n"));
    let home = Home::with(&unix);
    let config = home.config();
    home.write("work/agent.toml", windows.as_bytes());
    assert_eq!(home.config(), config);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let mut home = Home::new();
    home.flags.config = Some("missing.toml".into());
    let missing =
        "missing.toml: can't be read: there is no such file; create it, or name another file with --config";
    assert_eq!(home.errors(), missing);
    home.flags.config = None;
    symlink("nowhere", home.path("work/agent.toml")).unwrap();
    assert_eq!(home.errors(), missing.replace("missing", "agent"));
    fs::remove_file(home.path("work/agent.toml")).unwrap();
    fs::create_dir(home.path("work/agent.toml")).unwrap();
    assert_eq!(home.errors(), "agent.toml: is a folder, not a file; name the file in it");
    fs::remove_dir(home.path("work/agent.toml")).unwrap();
    symlink("/dev/null", home.path("work/agent.toml")).unwrap();
    assert_eq!(home.errors(), "agent.toml: is not a regular file");
    fs::remove_file(home.path("work/agent.toml")).unwrap();
    let comment = |bytes: usize| format!("plugins.a.enabled = true\n#{}", "x".repeat(bytes - 26));
    home.write("work/agent.toml", comment(1 << 20).as_bytes());
    assert_eq!(home.warnings(), "");
    home.write("work/agent.toml", comment(10 << 20).as_bytes());
    assert_eq!(home.errors(), "agent.toml: is larger than 1 MiB; is it another file than was meant?");
}

#[test]
fn folders_of_drop_ins_that_cannot_be_read_say_why() {
    let home = Home::with("[plugins.a]");
    home.write("work/agent.d", b"");
    assert_eq!(
        home.errors(),
        "agent.d: not a folder; drop-ins are files in a folder of this name; rename this file"
    );
    fs::remove_file(home.path("work/agent.d")).unwrap();
    fs::create_dir_all(home.path("work/agent.d/10.toml")).unwrap();
    symlink("nowhere", home.path("work/agent.d/20.toml")).unwrap();
    assert_eq!(
        home.errors(),
        "agent.d/10.toml: is a folder, not a file; name the file in it\n\
         agent.d/20.toml: can't be read: there is no such file; create it, or name another file with --config"
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
