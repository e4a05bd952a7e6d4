//! `check` against the real binary and real plugin files, and what `run` says of the same errors.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use twarga_tests::{Home, build, elf};

/// The exit code of a bad configuration.
const BAD_CONFIG: i32 = 78;

/// Exit code, standard output and standard error of `check`; the home's path is left out of them.
fn check(home: &Home) -> (i32, String, String) {
    let output = home.command("check").output().unwrap();
    let text = |bytes| {
        String::from_utf8(bytes)
            .unwrap()
            .replace(&format!("{}/", home.path("").display()).replace("//", "/"), "")
    };
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Puts a plugin file into the home under another name, changed.
fn put(home: &Home, plugin: &str, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(build().library(plugin)).unwrap();
    change(&mut bytes);
    let file = home.plugins().join(file);
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn with_host_plugins(config: &str) -> Home {
    ["host-cpu", "host-disk", "host-mem", "host-net"]
        .iter()
        .fold(Home::new(config), |home, name| home.plugin(name))
}

#[test]
fn the_shipped_file_is_well_where_its_plugins_are() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent.toml");
    let home = ["exec", "textfile", "vagrant-vm"]
        .iter()
        .fold(with_host_plugins(&fs::read_to_string(shipped).unwrap()), |home, name| home.plugin(name));
    let (code, out, err) = check(&home);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(out, "ok: 5 plugins enabled, 4 alert rules (agent.toml)\n");

    // the same without any file
    let mut command = home.command("check");
    let arguments: Vec<String> = command.get_args().skip(3).map(|one| one.to_str().unwrap().into()).collect();
    command = std::process::Command::new(home.agent());
    command.arg("check").args(arguments).current_dir(home.data()).env("HOME", home.data());
    command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.starts_with("ok: 5 plugins enabled, 4 alert rules"), "{output:?}");
}

#[test]
fn everything_is_told_at_once_in_the_order_of_the_lines() {
    let home = with_host_plugins(
        r#"[agent]
intervall = "5s"
[plugins.host-cpuu]
[plugins.host-mem.config]
cgrup = true
source = "procfs "
[plugins.host-net.config]
exclude = ["veth*", 5]
link_refresh_seconds = "10"
[plugins.again]
plugin = "host-disk"
config.mounts.exclud = ["/"]
[[alert]]
name = "core"
metric = "host_cpu_percent"
labels = { cpu = "0" }
op = ">"
threshold = 90
"#,
    );
    fs::create_dir(home.path("agent.d")).unwrap();
    home.write("agent.d/1.toml", "\n[plugins.host-mem.config]\nroot = 1\n");
    let (code, out, err) = check(&home);
    let wanted = r#"agent.toml:2: agent.intervall: unknown key; did you mean `interval`?
agent.toml:3: plugins.host-cpuu: no plugin `host-cpuu` in plugins, bin, /usr/lib/twarga-agent/plugins (did you mean `host-cpu`?); put its .so into one of these directories, or disable it
agent.toml:5: plugins.host-mem.config.cgrup: unknown key; did you mean `cgroup`?
agent.toml:6: plugins.host-mem.config.source: unknown word "procfs "; did you mean "procfs"?
agent.toml:8: plugins.host-net.config.exclude[1]: the number 5 is not a text; write it in quotes: "5"
agent.toml:9: plugins.host-net.config.link_refresh_seconds: the text "10" is not a whole number; write 10 without quotes
agent.toml:12: plugins.again.config.mounts.exclud: unknown key; did you mean `exclude`?
agent.toml:16: alert.core.labels: the view host_cpu_percent has no labels, so that no series matches these; write metric = "host_cpu_usage_ratio" with threshold = 0.9, or remove the labels
agent.d/1.toml:3: plugins.host-mem.config.root: the number 1 is not a text; write it in quotes: "1"
"#;
    assert_eq!((code, err.as_str(), out.as_str()), (BAD_CONFIG, wanted, ""));
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let home = with_host_plugins(
        r#"[plugins.host-cpu]
[plugins.vagrant]
enabled = false
[plugins.host-net]
enabled = false
config = { zzz = 1 }
[[alert]]
name = "typo"
metric = "host_cpu_usage_ration"
op = ">"
threshold = 1
[[alert]]
name = "of_another"
metric = "host_network_receive_bytes_total"
op = ">"
threshold = 1
[[alert]]
name = "of_the_agent"
metric = "twarga_agent_uptime_seconds"
op = ">"
threshold = 1
[[alert]]
name = "native"
metric = "host_cpu_usage_ratio"
labels = { cpu = "0" }
op = ">"
threshold = 1
"#,
    );
    let (code, out, err) = check(&home);
    let wanted = "warning: agent.toml:2: plugins.vagrant: no plugin `vagrant` in plugins, bin, /usr/lib/twarga-agent/plugins; put its .so into a plugin directory, or remove this table; it is disabled anyway
warning: agent.toml:9: alert.typo.metric: no view, and no enabled plugin declares a metric host_cpu_usage_ration; did you mean `host_cpu_usage_ratio`?
warning: agent.toml:14: alert.of_another.metric: a metric of the plugin host-net, which is not enabled; enable it: [plugins.host-net]
ok: 1 plugins enabled, 8 alert rules (agent.toml)
";
    assert_eq!((code, err.as_str(), out.as_str()), (0, "", wanted));
}

#[test]
fn broken_and_ambiguous_files_are_told_and_nothing_is_run() {
    let home = Home::new("[plugins.host-cpu]\n[plugins.synthetic]\n[plugins.faulty]\nconfig.mode = 5\n")
        .plugin("synthetic");
    put(&home, "synthetic", "libother.so", |_| {});
    fs::write(home.plugins().join("libhost_cpu.so"), b"\x7fELF").unwrap();
    // the dynamic linker would refuse it: that `check` reads it on shows that it isn't loaded
    put(&home, "faulty", "libfaulty.so", |bytes| elf::undefine_a_symbol(bytes));
    let (code, _, err) = check(&home);
    let wanted = "agent.toml:1: plugins.host-cpu: plugins/libhost_cpu.so: not an ELF shared library; take it out of the plugin directory, or point `plugin` to another one
agent.toml:2: plugins.synthetic: several files carry this plugin's name: plugins/libother.so, plugins/libsynthetic.so; leave one of them there
agent.toml:4: plugins.faulty.config.mode: the number 5 is not a text; write it in quotes: \"5\"
";
    assert_eq!((code, err.as_str()), (BAD_CONFIG, wanted));
}

#[test]
fn patterns_are_those_of_ecmascript() {
    let home = Home::new("[plugins.faulty]\nconfig.mode = \"a b\"\n");
    let schema = r#"{"type":"object","properties":{"mode":{"type":"string"}}}"#;
    put(&home, "faulty", "libfaulty.so", |bytes| {
        let patterned = r#"{"properties":{"mode":{"pattern":"^[a&&b]+$"}}}"#;
        elf::edit_metadata(bytes, |text| text.replace(schema, patterned));
    });
    let (code, _, err) = check(&home);
    let wanted = r#"agent.toml:2: plugins.faulty.config.mode: "a b" does not match the pattern "^[a&&b]+$"; write a text that matches it
"#;
    assert_eq!((code, err.as_str()), (BAD_CONFIG, wanted));
    home.write_config("[plugins.faulty]\nconfig.mode = \"a&b\"\n");
    assert_eq!(check(&home).0, 0);
}

#[test]
fn an_agent_tells_the_same_and_runs() {
    let home = Home::new(
        "[plugins.synthetic]\n[plugins.syntetic]\n[plugins.faulty]\nconfig.mode = 5\n[[alert]]\n\
         name = \"a\"\nmetric = \"synthetic_valu\"\nop = \">\"\nthreshold = 1e9\n\
         [[alert]]\nname = \"system_high_cpu\"\nlabels = { cpu = \"0\" }\n",
    );
    let mut agent = home.plugin("synthetic").plugin("faulty").start();
    agent.until_ready();
    let log = agent.home().log();
    let lines = |part: &str| log.lines().filter(|line| line.contains(part)).collect::<Vec<_>>();
    assert_eq!(lines("no plugin `syntetic`").len(), 1, "{log}");
    let schema = lines("plugins.faulty.config.mode: the number 5 is not a text");
    assert!(matches!(schema[..], [line] if line.contains("ERROR")), "{log}");
    let labels = lines("alert.system_high_cpu.labels: the view host_cpu_percent has no labels");
    assert!(matches!(labels[..], [line] if line.contains("ERROR")), "{log}");
    agent.stop();
}
