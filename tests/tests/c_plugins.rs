//! `docs/c-plugins.md` is true: its plugin is compiled by its command and run by the real agent with its table; so is the
//! example that comes with the header.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use twarga_tests::{Agent, Home, c_compiler::Compiler, config, guide, modes};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn table(plugin: &str, mode: &str) -> String {
    config("1s", &[], &format!("[plugins.{plugin}]\nmode = \"{mode}\"\n"))
}

/// The newest value of a metric, once there is one.
fn value(agent: &mut Agent, metric: &str) -> f64 {
    let path = format!("/api/metrics/host/history?metric_name={metric}&limit=1");
    agent.until(Duration::from_secs(10), metric, |agent| agent.get(&path).json()["data"][0]["value"].as_f64())
}

fn running(agent: &mut Agent, plugin: &str) {
    agent.until(Duration::from_secs(10), "the plugin to run", |agent| {
        let list = agent.get("/api/plugins").json();
        let found = list["plugins"].as_array()?.iter().find(|found| found["name"] == plugin)?.clone();
        (found["state"] == "running" && found["failures"] == 0).then_some(())
    });
}

#[test]
fn the_plugin_of_the_page_is_built_inspected_and_run() {
    if Compiler::c().is_none() {
        return;
    }
    let page = fs::read_to_string(root().join("docs/c-plugins.md")).unwrap();
    let files = guide::files(&page);
    let names: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(names, ["entropy.c", "agent.d/entropy.toml"]);

    for mode in modes() {
        let home = Home::new(&config("1s", &[], ""));
        symlink(root().join("plugin-api"), home.path("plugin-api")).unwrap();
        fs::create_dir(home.path("agent.d")).unwrap();
        for (file, content) in &files {
            home.write(file, &content.replace("mode = \"in_process\"", &format!("mode = \"{mode}\"")));
        }
        let command = page.lines().find_map(|line| line.strip_prefix("$ cc ")).unwrap();
        let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        cc.args(command.split(' ')).arg("-Werror").current_dir(home.path("."));
        let compiled = home.end(&mut cc);
        assert_eq!(compiled.code, Some(0), "{compiled:?}");
        let file = home.plugin_file("libentropy.so", &fs::read(home.path("libentropy.so")).unwrap());

        let inspected = home.end(home.command("plugins").arg("inspect").arg(&file));
        let shown =
            page.lines().skip_while(|line| !line.contains("plugins inspect libentropy.so")).nth(1).unwrap();
        assert_eq!(inspected.out.lines().next(), Some(shown), "{inspected:?}");
        assert!(inspected.out.contains("\nplugin API  1.0 (C)\n"), "{inspected:?}");
        let listed = home.end(home.command("plugins").arg("list"));
        assert!(listed.code == Some(0) && listed.out.contains("loadable"), "{listed:?}");

        let mut agent = home.start();
        agent.until_ready();
        running(&mut agent, "entropy");
        let bits = value(&mut agent, "entropy_available");
        assert!(bits > 0.0 && bits <= 4096.0, "{bits}");
        agent.stop();
    }
}

#[test]
fn the_example_of_the_header_is_run() {
    let Some(compiler) = Compiler::c() else { return };
    for mode in modes() {
        let home = Home::new(&table("filefd-c", mode));
        let library = home.path("libfilefd_c.so");
        let compiled = compiler.library(&root().join("plugin-api/examples/c/filefd.c"), &library, &["-O2"]);
        compiled.unwrap();
        home.plugin_file("libfilefd_c.so", &fs::read(library).unwrap());
        let mut agent = home.start();
        agent.until_ready();
        running(&mut agent, "filefd-c");
        let known = fs::read_to_string("/proc/sys/fs/file-nr").unwrap();
        let most: f64 = known.split_whitespace().nth(2).unwrap().parse().unwrap();
        assert_eq!(value(&mut agent, "filefd_c_maximum"), most);
        agent.stop();
        let log = home.log();
        assert!(log.lines().all(|line| !line.contains("WARN") && !line.contains("ERROR")), "{log}");
    }
}

#[test]
fn a_configuration_that_the_schema_refuses_is_found_before_it_runs() {
    let Some(compiler) = Compiler::c() else { return };
    let home =
        Home::new(&format!("{}[plugins.filefd-c.config]\nroot = 1\n", table("filefd-c", "in_process")));
    let library = home.path("libfilefd_c.so");
    compiler.library(&root().join("plugin-api/examples/c/filefd.c"), &library, &[]).unwrap();
    home.plugin_file("libfilefd_c.so", &fs::read(library).unwrap());
    let checked = home.end(&mut home.command("check"));
    let said = format!("{}{}", checked.out, checked.err);
    assert!(checked.code == Some(78) && said.contains("plugins.filefd-c.config"), "{checked:?}");
}
