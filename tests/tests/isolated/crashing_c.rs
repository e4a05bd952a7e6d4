//! A plugin in C that follows a wild pointer.

use super::{PATIENCE, assert_healthy, plugin, rows, until_failed};
use std::{fs, path::Path};
use twarga_tests::{Home, c_compiler::Compiler, config};

#[test]
fn a_crash_of_c_code_is_named_and_the_plugin_started_again_while_others_miss_nothing() {
    let Some(compiler) = Compiler::c() else { return };
    let tables = "align_offset = \"none\"\n[plugins.synthetic]\nmode = \"isolated\"\ninterval = \"500ms\"\n\
                  config = { gauges = 1, counters = 1 }\n[plugins.crash-c]\nmode = \"isolated\"\n";
    let home = Home::new(&config("100ms", &[], tables)).plugin("synthetic");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/c/crash.c");
    let library = home.path("libcrash_c.so");
    compiler.library(&source, &library, &["-O2"]).unwrap_or_else(|error| panic!("{error}"));
    home.plugin_file("libcrash_c.so", &fs::read(library).unwrap());
    let mut agent = home.start();
    until_failed(&mut agent, "crash-c", "ended by SIGSEGV");
    let status = agent.until(PATIENCE, "two restarts", |agent| {
        let status = plugin(agent, "crash-c");
        (status["restarts"].as_u64() >= Some(2)).then_some(status)
    });
    assert_eq!(status["mode"], "isolated");
    assert_healthy(&mut agent);
    let log = home.log();
    assert!(log.lines().any(|line| line.contains("crash-c") && line.contains("ended by SIGSEGV")), "{log}");
    // each of its lives brought what it collected before its end
    let ones = "SELECT count(*) AS n FROM metrics WHERE name = 'crash_c_collections' AND value = 1";
    agent.until(PATIENCE, "samples of three lives", |agent| {
        (rows(agent, ones)[0]["n"].as_u64() >= Some(3)).then_some(())
    });
    agent.stop();
}
