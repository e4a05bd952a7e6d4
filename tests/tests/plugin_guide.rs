//! `docs/plugin-guide.md` is true: its files, written into one new folder and one drop-in of a copy of this workspace,
//! are built, tested and run, and nothing else of the workspace was touched.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};
use twarga_tests::{Home, config, guide};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The workspace as a newcomer has it: every entry is a link to the real one, `plugins` is a folder of links.
fn workspace(directory: &Path) {
    if directory.exists() {
        fs::remove_dir_all(directory).unwrap(); // links are removed, not what they lead to
    }
    fs::create_dir_all(directory).unwrap();
    // cargo looks for the workspace from these upwards, and adds the new package to the lock
    for name in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(root().join(name), directory.join(name)).unwrap();
    }
    for name in ["agent", "plugin-api", "tests", "docs", "agent.toml"] {
        symlink(root().join(name), directory.join(name)).unwrap();
    }
    let plugins = directory.join("plugins");
    fs::create_dir(&plugins).unwrap();
    for entry in fs::read_dir(root().join("plugins")).unwrap().flatten() {
        symlink(entry.path(), plugins.join(entry.file_name())).unwrap();
    }
}

/// Runs cargo in the copy; what it builds stays for the next time.
fn cargo(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).args(["--offline", "-p", "host-filefd"]);
    command.current_dir(directory).env("CARGO_TARGET_DIR", root().join("target/guide"));
    let output = command.output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "cargo {arguments:?}:\n{text}");
    text
}

#[test]
fn the_plugin_of_the_guide_is_built_tested_and_run() {
    let page = fs::read_to_string(root().join("docs/plugin-guide.md")).unwrap();
    let files = guide::files(&page);
    let (folder, others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(file, _)| file.starts_with("plugins/host-filefd/"));
    let names: Vec<&str> = folder.iter().map(|(file, _)| file.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["Cargo.toml", "parse.rs", "lib.rs"], "one folder");
    let [(drop_in, table)] = others.as_slice() else { panic!("one table, no more: {others:?}") };
    assert_eq!(drop_in, "agent.d/host-filefd.toml");

    // always in the same place, so that cargo knows again what it has built
    let copy = root().join("target/guide/workspace");
    workspace(&copy);
    for (file, content) in &folder {
        let file = copy.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    cargo(&copy, &["build", "--lib"]);
    let tested = cargo(&copy, &["test", "--lib"]);
    assert!(tested.contains("test tests::reads_file_nr ... ok"), "{tested}");

    let home = Home::new(&config("1s", &[], ""));
    let library = fs::read(root().join("target/guide/debug/libhost_filefd.so")).unwrap();
    let file = home.plugin_file("libhost_filefd.so", &library);
    fs::create_dir(home.path("agent.d")).unwrap();
    home.write(drop_in, table);
    let inspected = home.end(home.command("plugins").arg("inspect").arg(&file));
    assert!(inspected.out.starts_with("host-filefd 1.0.0: Open file handles of the host\n"), "{inspected:?}");

    let mut agent = home.start();
    agent.until_ready();
    let list = agent.get("/api/plugins").json();
    let plugin = &list["plugins"][0];
    assert_eq!((&plugin["name"], &plugin["state"]), (&"host-filefd".into(), &"running".into()), "{plugin}");
    assert_eq!(plugin["interval_seconds"], 10.0, "as the drop-in says");
    let value = |name: &str| {
        let history = agent.get(&format!("/api/metrics/host/history?metric_name={name}&limit=3")).json();
        history["data"][0]["value"].as_f64().unwrap_or_else(|| panic!("{name}: {history}"))
    };
    let known: Vec<f64> = fs::read_to_string("/proc/sys/fs/file-nr")
        .unwrap()
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let allocated = value("host_filefd_allocated");
    assert!(allocated > 0.0 && (allocated - known[0]).abs() < known[0].max(5000.0), "{allocated}, {known:?}");
    assert_eq!(value("host_filefd_maximum"), known[2]);
    agent.stop();
    assert!(
        home.log().lines().all(|line| !line.contains("WARN") && !line.contains("ERROR")),
        "{}",
        home.log()
    );
}

#[test]
fn listings_of_the_guide_are_run() {
    // the commands that the guide shows are commands that there are
    let guide = fs::read_to_string(root().join("docs/plugin-guide.md")).unwrap();
    let home = Home::new("");
    let shown: Vec<Vec<&str>> = guide
        .lines()
        .filter_map(|line| line.split_once("twarga-agent ").map(|(_, rest)| rest))
        .map(|rest| rest.split(['`', ' ']).filter(|word| !word.is_empty()).take(2).collect())
        .filter(|words: &Vec<&str>| ["run", "plugins", "check", "query"].contains(&words[0]))
        .collect();
    assert!(shown.len() >= 3, "{shown:?}");
    for words in shown {
        let arguments = if words[0] == "plugins" { &words[..2] } else { &words[..1] };
        let ended = home.end(Command::new(home.agent()).args(arguments).arg("--help"));
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    }
}
