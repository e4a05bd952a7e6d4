//! `docs/plugin-guide.md` is true: its files are written and its commands are run, in its order, and the plugin that
//! comes of it runs in an agent.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use twarga_tests::{Home, author, config};

/// A code block that something is done with.
#[derive(Debug, PartialEq)]
enum Block {
    /// With `file=…`: path and content.
    File(String, String),
    /// A console's commands; with `needs=…` only where that program is there.
    Commands(Vec<String>, Option<String>),
}

fn guide() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join("docs/plugin-guide.md")).unwrap()
}

fn blocks(guide: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let content: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let given = |key: &str| info.split_whitespace().find_map(|word| word.strip_prefix(key));
        if let Some(file) = given("file=") {
            found.push(Block::File(file.to_string(), content.join("\n") + "\n"));
        } else if info.starts_with("console") {
            let commands = content.iter().map(|line| line.strip_prefix("$ ").unwrap().to_string()).collect();
            found.push(Block::Commands(commands, given("needs=").map(str::to_string)));
        }
    }
    found
}

/// The guide as one script, which stops at the first command that fails.
fn script(blocks: &[Block], in_place: impl Fn(&str) -> String) -> String {
    let mut script = String::from("set -eu\n");
    for block in blocks {
        match block {
            Block::File(file, content) => {
                let file = in_place(file);
                script += &format!(
                    "mkdir -p \"$(dirname '{file}')\"\ncat > '{file}' <<'END OF FILE'\n{content}END OF FILE\n"
                );
            }
            Block::Commands(commands, needs) => {
                let commands: String = commands.iter().map(|line| command(&in_place(line))).collect();
                match needs {
                    None => script += &commands,
                    Some(program) => {
                        script += &format!(
                            "if command -v {program} >/dev/null; then\n{commands}else echo 'without {program}'; fi\n"
                        );
                    }
                }
            }
        }
    }
    script
}

/// A command, shown before it runs. Crates are built where their dependencies are built already.
fn command(line: &str) -> String {
    let target = author::target();
    let link = format!("ln -s '{}' target\n", target.display());
    format!(
        "cat <<'END OF LINE'\n$ {line}\nEND OF LINE\n{line}\n{}",
        if line.starts_with("cd ") { &link } else { "" }
    )
}

/// Runs the guide in an empty folder. What it installs comes into the home.
fn follow(home: &Home, guide: &str) -> String {
    let place = author::workshop("guide");
    let plugins = home.plugins().display().to_string();
    let etc = home.path("").display().to_string();
    let in_place = |text: &str| {
        text.replace("/usr/lib/twarga-agent/plugins/lib", &format!("{plugins}/lib"))
            .replace(&format!("package/deb{plugins}"), "package/deb/usr/lib/twarga-agent/plugins")
            .replace("/etc/twarga-agent/", &etc)
    };
    let xdg = home.path("xdg");
    fs::create_dir(&xdg).unwrap();
    std::os::unix::fs::symlink(home.path(""), xdg.join("twarga-agent")).unwrap();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script(&blocks(guide), in_place)).current_dir(&place);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = [home.path("bin")].into_iter().chain(std::env::split_paths(&path));
    shell.env("PATH", std::env::join_paths(own).unwrap()).env("XDG_CONFIG_HOME", &xdg);
    // what is tested is the guide, not the optimiser
    shell.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_NET_OFFLINE", "true");
    shell.env_remove("CARGO_TARGET_DIR");
    let output = shell.output().unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    told
}

#[test]
fn the_plugin_of_the_guide_is_made_certified_installed_and_run() {
    let home = Home::new("");
    let plugins: PathBuf = home.plugins();
    home.write_config(&format!("[agent]\ninterval = \"1s\"\nplugin_dirs = [{plugins:?}]\n"));
    let told = follow(&home, &guide());
    for part in [
        "test samples_are_those_of_the_golden_file ... ok",
        "test a_typing_error_is_an_error_of_the_configuration ... ok",
        "2 samples, 0 unavailable",
        "16 passed, 0 failed, 0 skipped",
        "host-filefd 0.1.0: Open file handles of the host",
        "ok: 1 plugins enabled",
        "host-filefd  loadable",
        "host-filefd-0.1.0.tar.gz: OK",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }

    home.write_config(&config("1s", &[], ""));
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
    let guide = guide();
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

#[test]
fn blocks_are_cut_out_whole() {
    let found = blocks(
        "text\n```toml file=a/b.toml\n[x]\n\ny = 1\n```\n```console needs=y\n$ x\n$ z\n```\n```rust\nno\n```\n```rust file=c.rs\n```\n",
    );
    let commands = Block::Commands(vec!["x".into(), "z".into()], Some("y".into()));
    let wanted = [
        Block::File("a/b.toml".into(), "[x]\n\ny = 1\n".into()),
        commands,
        Block::File("c.rs".into(), "\n".into()),
    ];
    assert_eq!(found, wanted);
}
