//! New versions of a plugin in the agent's process whose initialisers crash or hang.

use super::*;
use std::path::Path;
use twarga_tests::c_compiler::Compiler;

const TABLES: &str = r#"
[agent]
interval = "200ms"
align_offset = "none"
watch = false
[plugins.loading-c]
mode = "in_process"
"#;

fn put(home: &Home, compiler: &Compiler, fault: &str, version: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/c/loading.c");
    let library = home.path("new.so");
    let flags = [format!("-DFAULT=\"{fault}\""), format!("-DVERSION=\"{version}\"")];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    compiler.library(&source, &library, &flags).unwrap_or_else(|error| panic!("{error}"));
    fs::set_permissions(&library, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(library, home.plugins().join("libloading_c.so")).unwrap();
}

fn started(compiler: &Compiler) -> (Home, Agent) {
    let home = Home::new(TABLES);
    put(&home, compiler, "", "1.0.0");
    let mut agent = home.start();
    agent.until_ready();
    collects_on(&mut agent, "loading-c", 2);
    (home, agent)
}

#[test]
fn what_crashes_or_hangs_when_it_is_loaded_does_so_in_another_process() {
    let Some(compiler) = Compiler::c() else { return };
    for (fault, reason) in
        [("crash", "ended by SIGABRT"), ("hang", "killed: took longer than its deadline of 5s")]
    {
        let (home, mut agent) = started(&compiler);
        put(&home, &compiler, fault, "2.0.0");
        assert_eq!(reload(&agent)["plugins"]["upgrading"], serde_json::json!(["loading-c"]));
        let refused = event(&mut agent, "plugin_upgrade_refused");
        assert!(refused["message"].as_str().unwrap().contains(reason), "{refused}");
        collects_on(&mut agent, "loading-c", 2);
        assert_eq!(plugin(&agent, "loading-c")["version"], "1.0.0");
        // a sound one follows
        put(&home, &compiler, "", "3.0.0");
        reload(&agent);
        assert_eq!(event(&mut agent, "plugin_upgraded")["details"]["to"], "3.0.0");
        agent.stop();
    }
}

#[test]
fn a_plugin_that_is_switched_on_and_hangs_when_it_is_loaded_holds_nobody_up() {
    let Some(compiler) = Compiler::c() else { return };
    let home = Home::new(&TABLES.replace("[plugins.loading-c]", "[plugins.loading-c]\nenabled = false"));
    put(&home, &compiler, "hang", "1.0.0");
    let mut agent = home.start();
    agent.until_ready();
    let (status, answer) = post(&agent, "/api/plugins/loading-c/enable");
    assert_eq!(status, 409, "{answer}");
    assert!(answer.to_string().contains("took longer than its deadline of 5s"), "{answer}");
    reload(&agent);
    agent.stop();
}

#[test]
fn the_agent_ends_in_time_where_an_initialiser_hangs_in_its_own_process() {
    let Some(compiler) = Compiler::c() else { return };
    let (home, agent) = started(&compiler);
    put(&home, &compiler, "hang-in-agent", "2.0.0");
    reload(&agent);
    // its rehearsal went well, and the dynamic linker runs it here
    let mapped = |agent: &Agent| {
        let maps = fs::read_to_string(format!("/proc/{}/maps", agent.pid())).unwrap();
        let of_plugin = maps.lines().filter(|line| line.contains("loading_c"));
        of_plugin
            .filter_map(|line| line.split_whitespace().nth(4).map(String::from))
            .collect::<std::collections::BTreeSet<_>>()
    };
    // no request any more: threads that would serve it wait for the linker's lock
    for _ in 0..500 {
        if mapped(&agent).len() == 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(mapped(&agent).len(), 2);
    agent.stop();
}
