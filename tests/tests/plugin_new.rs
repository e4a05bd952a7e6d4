//! `plugins new` makes a crate that builds, passes its tests, runs and is certified, without this repository.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use std::{fs, process::Command};
use twarga_tests::{Home, author, config};

#[test]
fn a_new_crate_is_built_tested_run_certified_and_configured() {
    let home = Home::new("");
    let place = author::workshop("new");
    let agent = || Command::new(home.agent());
    let made = home.end(agent().args(["plugins", "new", "run-queue", "--dir"]).arg(&place));
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""), "{made:?}");
    let folder = place.join("run-queue");
    assert!(made.out.starts_with(&format!("made {}\n", folder.display())), "{}", made.out);

    let tested = author::cargo(&folder, &["test"]);
    for test in ["known_lines_are_read", "samples_are_those_of_the_golden_file", "the_schema_says"] {
        assert!(tested.lines().any(|line| line.contains(test) && line.ends_with("... ok")), "{tested}");
    }
    assert!(!tested.contains("warning:"), "{tested}");
    author::cargo(&folder, &["build"]);
    // not by the style of the repository that the test happens to build in
    fs::write(place.join("rustfmt.toml"), "").unwrap();
    author::cargo(&folder, &["fmt", "--check"]);
    let built = author::target().join("debug/librun_queue.so");

    let file = home.plugin_file("librun_queue.so", &fs::read(built).unwrap());
    let ran = home.end(
        agent()
            .args(["plugins", "run", "--count", "2", "--interval", "100ms", "--format", "jsonl"])
            .arg(&file),
    );
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 8, "{lines:?}");
    let switches = |line: &&Value| line["metric"] == "run_queue_context_switches_total";
    let rates: Vec<&Value> = lines.iter().filter(switches).map(|line| &line["rate"]).collect();
    assert!(rates[0].is_null() && rates[1].as_f64() >= Some(0.0), "{rates:?}");

    let certified = home.end(agent().args(["plugins", "certify", "--interval", "10s"]).arg(&file));
    assert_eq!(certified.code, Some(0), "{certified:?}");
    assert!(certified.out.ends_with("\n16 passed, 0 failed, 0 skipped\n"), "{}", certified.out);

    // the schema of a stranger's plugin is known to `check`, with the lines
    home.write_config(&config("1s", &["run-queue"], "[plugins.run-queue.config]\ntaks = true\nroot = 5\n"));
    let checked = home.end(&mut home.command("check"));
    assert_eq!(checked.code, Some(78), "{checked:?}");
    let told = checked.err.replace(&home.path("agent.toml").display().to_string(), "agent.toml");
    let wanted = "agent.toml:6: plugins.run-queue.config.taks: unknown key; did you mean `tasks`?\n\
                  agent.toml:7: plugins.run-queue.config.root: the number 5 is not a text; write it in quotes: \"5\"\n";
    assert_eq!(told, wanted);
    home.write_config(&config("1s", &["run-queue"], "[plugins.run-queue.config]\ntasks = false\n"));
    let mut running = home.start();
    running.until_ready();
    let plugin = &running.get("/api/plugins").json()["plugins"][0];
    assert_eq!((&plugin["name"], &plugin["state"]), (&json!("run-queue"), &json!("running")), "{plugin}");
    running.stop();
}

#[test]
fn refusals_leave_nothing_behind() {
    let home = Home::new("");
    let place = home.path("crates");
    fs::create_dir(&place).unwrap();
    let new = |arguments: &[&str]| {
        let mut command = Command::new(home.agent());
        home.end(command.args(["plugins", "new"]).args(arguments).current_dir(&place))
    };
    for (arguments, part) in [
        (&["Disk_Temp"][..], "such as `disk-temp`"),
        (&[""], "such as `disk-temperature`"),
        (&["../escape"], "small letters, digits and `-` only"),
        (&["serde"], "taken"),
        (&["good", "--api", "nowhere"], "--api nowhere: No such file"),
        (&["good", "--api", "."], "not the folder of the crate twarga-plugin-api"),
        (&["good", "--dir", "nowhere"], "nowhere: No such file"),
    ] {
        let ended = new(arguments);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(part), "{arguments:?}: {}", ended.err);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "{arguments:?}");
    }
    assert_eq!(new(&["good", "--api", "1.0.0"]).code, Some(0));
    let manifest = fs::read_to_string(place.join("good/Cargo.toml")).unwrap();
    assert!(
        manifest.contains("twarga-plugin-api = \"1.0.0\"") && !place.join("good/vendor").exists(),
        "{manifest}"
    );
    let again = new(&["good"]);
    assert!(again.code == Some(1) && again.err.contains("good is already there and not empty"), "{again:?}");
    let api = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-api");
    assert_eq!(new(&["other", "--api", api]).code, Some(0));
    let manifest = fs::read_to_string(place.join("other/Cargo.toml")).unwrap();
    assert!(manifest.contains("plugin-api\" }") && !manifest.contains(".."), "{manifest}");
}
