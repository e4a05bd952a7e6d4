//! `plugins run` and `plugins inspect` against the real binary.
#![allow(clippy::unwrap_used, reason = "tests")]

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use std::{fs, path::Path, process::Command};
use twarga_tests::{Ended, Home, build, elf};

fn plugins(home: &Home, arguments: &[&str], file: &Path) -> Ended {
    home.end(Command::new(home.agent()).arg("plugins").args(arguments).arg(file))
}

fn run(home: &Home, plugin: &str, arguments: &[&str]) -> Ended {
    plugins(home, &[&["run", "--interval", "20ms"], arguments].concat(), build().library(plugin))
}

#[test]
fn samples_come_as_a_table_with_rates() {
    let home = Home::new("");
    let ended = run(&home, "synthetic", &["--count", "3", "--config", "gauges = 1\ncounters = 1"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    let cycles: Vec<&str> = ended.out.trim_end().split("\n\n").collect();
    assert_eq!(cycles.len(), 3, "{}", ended.out);
    for (number, cycle) in cycles.iter().enumerate() {
        assert!(cycle.lines().next().unwrap().contains("Z  4 samples, 0 unavailable, "), "{cycle}");
        let row = |series: &str| -> Vec<&str> {
            cycle.lines().find(|line| line.starts_with(series)).unwrap().split_whitespace().skip(1).collect()
        };
        let value = (number + 1).to_string();
        assert_eq!(row("synthetic_value{n=\"0\"}"), ["gauge", "-", value.as_str()], "{cycle}");
        let steps = row("synthetic_steps_total{n=\"0\"}");
        assert_eq!(steps[..3], ["counter", "-", value.as_str()], "{cycle}");
        // one step each 20 ms or later
        let rate = steps.get(3).map(|rate| rate.trim_end_matches("/s").parse::<f64>().unwrap());
        assert!(if number == 0 { rate.is_none() } else { rate > Some(0.0) && rate < Some(200.0) }, "{cycle}");
    }
}

#[test]
fn absences_errors_and_refusals_are_shown() {
    let home = Home::new("");
    let ended = run(&home, "faulty", &["--count", "2", "--config", r#"{"mode": "absences", "n": 1}"#]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("faulty_steps_total  counter  -     unavailable: planned\n"), "{}", ended.out);
    let ended = run(&home, "faulty", &["--count", "2", "--config", "mode = 'nan'"]);
    assert!(ended.out.contains("\nrefused: 3 samples "), "{}", ended.out);

    let ended = run(&home, "faulty", &["--count", "3", "--config", "mode = 'error_collect'\nafter = 1"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.out.matches("error (transient): planned in collect\n").count(), 2, "{}", ended.out);
    let ended = run(&home, "faulty", &["--count", "3", "--config", "mode = 'panic_collect'"]);
    assert_eq!(
        (ended.code, ended.out.matches("samples").count()),
        (Some(1), 1),
        "a panic ends it: {ended:?}"
    );
    assert!(ended.out.contains("error (panicked): panicked: planned in collect at "), "{}", ended.out);

    for (config, part) in [
        ("mode = 'error_new'", "faulty does not start: planned in new (transient)"),
        ("mod = 'x'", "unknown field `mod`"),
        ("none.toml", "--config none.toml: No such file"),
    ] {
        let ended = run(&home, "faulty", &["--config", config]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{config}: {ended:?}");
        assert!(ended.err.contains(part), "{config}: {}", ended.err);
    }
}

#[test]
fn programs_read_json_lines_and_prometheus() {
    let home = Home::new("");
    let config = r#"{"mode": "absences", "n": 1}"#;
    let ended = run(&home, "faulty", &["--count", "1", "--format", "jsonl", "--config", config]);
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["series"], &lines[0]["value"]), (&"faulty_value".into(), &1.0.into()), "{lines:?}");
    assert_eq!(lines[1]["unavailable"], "planned", "{lines:?}");
    let ended = run(
        &home,
        "synthetic",
        &["--count", "1", "--format", "prometheus", "--config", "gauges = 2\ncounters = 1"],
    );
    let wanted = "# HELP synthetic_value 1000 n + c.\n# TYPE synthetic_value gauge\n\
                  synthetic_value{n=\"0\"} 1\nsynthetic_value{n=\"1\"} 1001\n";
    assert!(ended.out.contains(wanted), "{}", ended.out);
    assert!(
        ended.out.contains("# TYPE synthetic_steps_total counter\nsynthetic_steps_total{n=\"0\"} 1\n"),
        "{}",
        ended.out
    );
}

#[test]
fn any_file_is_inspected() {
    let home = Home::new("");
    let bytes = fs::read(build().library("faulty")).unwrap();
    let put = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        home.plugin_file(name, &bytes)
    };
    let pipe = home.path("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    for (file, is_plugin, problem) in [
        (put("libsound.so", &|_| {}), true, None),
        (
            put("libarm.so", &|bytes| {
                bytes[elf::E_MACHINE..elf::E_MACHINE + 2].copy_from_slice(&183_u16.to_le_bytes());
            }),
            true,
            Some("built for Aarch64"),
        ),
        (
            put("libold.so", &|bytes| elf::edit_metadata(bytes, |text| text.replace("api=1.", "api=0."))),
            true,
            Some("built with plugin API 0."),
        ),
        (put("libhalf.so", &|bytes| bytes.truncate(bytes.len() / 2)), false, Some("truncated")),
        (home.write("text", "text"), false, Some("not an ELF shared library")),
        (home.write("empty", ""), false, Some("it is empty")),
        (home.data(), false, Some("not a file, but a directory")),
        (pipe, false, Some("not a file, but a pipe")),
        ("/dev/null".into(), false, Some("not a file, but a device")),
        (home.path("none"), false, Some("No such file")),
    ] {
        let shown = file.display();
        let ended = plugins(&home, &["inspect", "--format", "json"], &file);
        let answer: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(ended.code, Some(i32::from(problem.is_some())), "{shown}: {ended:?}");
        assert_eq!(answer["is_plugin"], is_plugin, "{shown}: {answer}");
        assert_eq!(answer["loadable"], problem.is_none(), "{shown}: {answer}");
        assert_eq!(answer["name"] == "faulty", is_plugin, "{shown}: {answer}");
        let told = answer["problem"].as_str().unwrap_or_default();
        assert!(told.contains(problem.unwrap_or_default()), "{shown}: {told}");
        let text = plugins(&home, &["inspect"], &file);
        assert_eq!((text.code, text.out.is_empty()), (ended.code, !is_plugin), "{shown}: {text:?}");
        assert!(text.err.contains(told), "{shown}: {text:?}");
    }
    // stripped of everything that strip takes; it comes with the C compiler that the build needs
    let stripped = put("libstripped.so", &|_| {});
    assert!(Command::new("strip").arg("--strip-all").arg(&stripped).status().unwrap().success());
    let ended = plugins(&home, &["inspect"], &stripped);
    assert_eq!((ended.code, ended.out.starts_with("faulty ")), (Some(0), true), "{ended:?}");
}
