//! Real programs: what they print, how they end, what becomes of their processes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use twarga_plugin_api::{
    Kind,
    serde_json::{Value, json},
    testing::{Collected, Harness},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// `sh -c SCRIPT`, with more keys.
fn shell(script: &str, keys: &Value) -> Harness {
    let mut config = json!({"command": ["sh", "-c", script], "prefix": "t_", "timeout": "10s"});
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    Harness::new(exec::plugin(), &config.to_string()).unwrap()
}

/// The lines of the program's own metrics.
fn lines(collected: &Collected) -> Vec<String> {
    collected.to_text().lines().filter(|line| !line.starts_with("exec_")).map(String::from).collect()
}

fn failed(harness: &mut Harness) -> (String, Vec<String>) {
    let error = harness.collect().unwrap_err();
    (error.message().to_owned(), lines(&harness.partial()))
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs: a zombie does not.
fn runs(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

#[test]
fn every_format() {
    let prometheus = "printf '# TYPE jobs counter\\njobs{queue=\"a\"} 3\\nage_seconds 2.5\\n'";
    let mut harness = shell(prometheus, &json!({}));
    let collected = harness.collect().unwrap();
    assert_eq!(lines(&collected), [r#"t_age_seconds 2.5"#, r#"t_jobs_total{queue="a"} 3"#]);
    assert_eq!(collected.value("exec_starts_total"), Some(1.0));
    assert!(collected.value("exec_duration_seconds").unwrap() > 0.0);

    let influx = "printf 'disk,path=/ free=12i,ok=true,name=\"x\" 1700000000123456789\\n'";
    let collected = shell(influx, &json!({"format": "influx"})).collect().unwrap();
    assert_eq!(lines(&collected), [r#"t_disk_free{path="/"} 12"#, r#"t_disk_ok{path="/"} 1"#]);
    assert_eq!((collected.time, collected.value("exec_strings_total")), (Some(1_700_000_000_123), Some(1.0)));

    let json =
        r#"printf '{"name":"up","value":true}\n{"name":"sent","value":7,"kind":"counter","unit":"bytes"}'"#;
    let collected = shell(json, &json!({"format": "json"})).collect().unwrap();
    assert_eq!(lines(&collected), ["t_sent_bytes_total 7", "t_up 1"]);
}

#[test]
fn histograms_infos_and_states() {
    let script = "printf '# TYPE h histogram\\nh_bucket{le=\"+Inf\"} 2\\nh_sum 3\\nh_count 2\\n\
                  # TYPE build info\\nbuild_info{version=\"1\"} 1\\n\
                  # TYPE s stateset\\ns{s=\"on\",x=\"1\"} 1\\ns{s=\"off\",x=\"1\"} 0\\n# EOF\\n'";
    let collected = shell(script, &json!({})).collect().unwrap();
    assert_eq!(
        lines(&collected),
        [
            r#"t_build_info{version="1"} 1"#,
            r#"t_h_bucket{le="+Inf"} 2"#,
            "t_h_count 2",
            "t_h_sum 3",
            r#"t_s{x="1",s="off"} 0"#,
            r#"t_s{x="1",s="on"} 1"#,
        ]
    );
    let kind =
        |name: &str| collected.readings.iter().find(|reading| reading.series.starts_with(name)).unwrap().kind;
    assert_eq!(["t_h_bucket", "t_build", "t_s"].map(kind), [Kind::Counter, Kind::Info, Kind::StateSet]);
}

#[test]
fn a_bad_line_costs_itself_and_is_told_once() {
    let mut harness = shell("echo 'a 1'; echo 'b x'; echo 'a 2'; echo 'c{l=\"1\"} NaN'", &json!({}));
    for round in 1..=3 {
        let collected = harness.collect().unwrap();
        assert_eq!(lines(&collected), ["t_a 1", "# unavailable t_c{l=\"1\"}: not a number"]);
        assert_eq!(collected.value("exec_refused_total"), Some(f64::from(2 * round)));
    }
    let logs: Vec<&str> = harness.logs().iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(
        logs,
        [
            "sh:2: the value `x` is not a number (said once)",
            "sh:3: a second sample of a series of `t_a`: that of sh:1 counts (said once)"
        ]
    );
}

#[test]
fn series_end_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let mut harness = shell(&format!("cat {}", file.display()), &json!({}));
    fs::write(&file, "x{a=\"1\"} 1\nx{a=\"2\"} 2\n").unwrap();
    harness.collect().unwrap();
    let all = harness.series_count();
    fs::write(&file, "x{a=\"2\"} 3\n").unwrap();
    assert_eq!(lines(&harness.collect().unwrap()), [r#"t_x{a="2"} 3"#]);
    assert_eq!(harness.series_count(), all - 1);
    fs::write(&file, "x{a=\"1\"} 4\nx{a=\"2\"} 5\nx{b=\"1\"} 6\n").unwrap();
    assert_eq!(lines(&harness.collect().unwrap()), [r#"t_x{a="1"} 4"#, r#"t_x{a="2"} 5"#]);
    assert_eq!(harness.series_count(), all);
    let (_, line) = harness.logs().last().unwrap();
    assert!(line.contains("`t_x` did not have the label `b` at first"), "{line}");
}

#[test]
fn a_failing_program_keeps_its_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("flag");
    let script = format!(
        "echo 'a 1'; [ -e {0} ] && {{ printf 'b 2'; echo one >&2; echo two >&2; exit 3; }}; echo 'b 22'",
        flag.display()
    );
    let mut harness = shell(&script, &json!({}));
    assert_eq!(lines(&harness.collect().unwrap()), ["t_a 1", "t_b 22"]);
    fs::write(&flag, "").unwrap();
    let (error, lines) = failed(&mut harness);
    assert_eq!(error, "`sh` ended with status 3: two");
    assert_eq!(lines, ["t_a 1", "# unavailable t_b: the command failed"]);
}

#[test]
fn a_program_that_is_not_there() {
    let config = json!({"command": ["/no/such/program"]}).to_string();
    let mut harness = Harness::new(exec::plugin(), &config).unwrap();
    let (error, _) = failed(&mut harness);
    assert!(
        error.starts_with("`/no/such/program` can't be started in /; look at command and directory: No such"),
        "{error}"
    );
}

#[test]
fn a_hanging_program_dies_with_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!("echo 'a 1'; sleep 1000 & echo $! > {}; wait", pid.display());
    let mut harness = shell(&script, &json!({"timeout": "300ms"}));
    let begin = Instant::now();
    let (error, lines) = failed(&mut harness);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(
        (error.as_str(), lines),
        ("`sh` was killed after its timeout, 300ms", vec!["t_a 1".to_owned()])
    );
    until("the end of the grandchild", || !runs(&pid));
}

#[test]
fn who_is_left_behind_is_neither_waited_for_nor_left() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; echo 'a 1'", pid.display());
    let begin = Instant::now();
    assert_eq!(lines(&shell(&script, &json!({})).collect().unwrap()), ["t_a 1"]);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    until("the end of the grandchild", || !runs(&pid));
}

#[test]
fn a_program_that_prints_too_much_is_killed() {
    let mut harness = shell("yes 'a 1'", &json!({"max_output": "64KiB"}));
    let (error, lines) = failed(&mut harness);
    assert_eq!(
        (error.as_str(), lines),
        ("`sh` printed more than max_output, 64.0 KiB", vec!["t_a 1".to_owned()])
    );
}

#[test]
fn directory_environment_and_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let keys = json!({"directory": dir.path(), "environment": {"SIZE": "5"}});
    let script = "echo \"size $SIZE\"; [ -z \"$CARGO_MANIFEST_DIR\" ] && echo 'clean 1'; \
                  [ -n \"$PATH\" ] && echo 'path 1'; echo \"input $(wc -c)\"; touch here";
    let collected = shell(script, &keys).collect().unwrap();
    assert_eq!(lines(&collected), ["t_clean 1", "t_input 0", "t_path 1", "t_size 5"]);
    assert!(dir.path().join("here").exists());
}

#[test]
fn a_sample_is_told_once_at_its_time() {
    let mut harness = shell("echo 'm v=1 1700000000000000000'", &json!({"format": "influx"}));
    assert_eq!(lines(&harness.collect().unwrap()), ["t_m_v 1"]);
    let second = harness.collect().unwrap();
    assert_eq!(
        (lines(&second), second.time),
        (vec!["# unavailable t_m_v: no newer sample".to_owned()], None)
    );
}

#[test]
fn a_stream_gives_its_newest_values() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let script = format!("echo '# TYPE n counter'; while true; do cat {}; sleep 0.01; done", pipe.display());
    fs::write(&pipe, "n 1\nn 2\n").unwrap();
    let mut harness = shell(&script, &json!({"run": "stream"}));
    until("the first lines", || harness.collect().unwrap().value("t_n_total") == Some(2.0));
    fs::write(&pipe, "n 3\nx 4\n").unwrap();
    until("the next lines", || {
        let collected = harness.collect().unwrap();
        (collected.value("t_n_total"), collected.value("t_x")) == (Some(3.0), Some(4.0))
    });
    assert_eq!(harness.collect().unwrap().value("exec_starts_total"), Some(1.0));
}

#[test]
fn a_line_of_a_stream_counts_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let script = format!(
        "printf 'a 1\\nb 12'; while [ ! -e {} ]; do sleep 0.01; done; echo 34; sleep 1000",
        go.display()
    );
    let mut harness = shell(&script, &json!({"run": "stream"}));
    until("the first line", || {
        let collected = harness.collect().unwrap();
        assert_eq!(collected.value("t_b"), None);
        collected.value("t_a") == Some(1.0)
    });
    fs::write(&go, "").unwrap();
    until("the second line", || harness.collect().unwrap().value("t_b") == Some(1234.0));
}

#[test]
fn a_stream_that_ends_is_started_again() {
    let mut harness = shell("echo 'a 1'; echo gone >&2; exit 4", &json!({"run": "stream"}));
    let mut errors = Vec::new();
    until("the second start", || {
        let answer = harness.collect();
        errors.extend(answer.err().map(|error| error.message().to_owned()));
        harness.partial().value("exec_starts_total") == Some(2.0)
    });
    assert_eq!(errors[0], "`sh` ended with status 4: gone");
    assert_eq!(errors[1], "`sh` ended with status 4: gone; started again in 1s");
}

#[test]
fn a_silent_stream_is_started_again() {
    let mut harness = shell("sleep 1000", &json!({"run": "stream", "timeout": "50ms"}));
    until("its end", || {
        harness.collect().is_err_and(|error| error.message().starts_with("`sh` printed nothing for 50ms"))
    });
}

#[test]
fn series_of_a_stream_expire() {
    let mut harness = shell("echo 'a 1'; sleep 1000", &json!({"run": "stream", "expire": "100ms"}));
    until("the line", || harness.collect().unwrap().value("t_a").is_some());
    let all = harness.series_count();
    until("its end", || {
        harness.collect().unwrap();
        harness.series_count() == all - 1
    });
}

#[test]
fn a_stream_dies_with_its_collector() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
    let harness = shell(&script, &json!({"run": "stream"}));
    until("its start", || pid.exists());
    assert!(runs(&pid));
    drop(harness);
    until("the end of the grandchild", || !runs(&pid));
}

#[test]
fn wrong_configurations_are_told() {
    for (config, key, message) in [
        (json!({}), "command", "no program is named"),
        (json!({"command": ["echo x 1"]}), "command", "no shell splits `echo x 1`"),
        (json!({"command": ["bin/a"]}), "command[0]", "`bin/a` may be anywhere: write the whole path"),
        (json!({"command": ["a"], "directory": "x"}), "directory", "write the whole path, from /"),
        (json!({"command": ["a"], "prefix": "a-"}), "prefix", "`a-` can't begin a metric's name"),
        (
            json!({"command": ["a"], "timeout": "soon"}),
            "timeout",
            "`soon` is not a duration; write one such as",
        ),
        (
            json!({"command": ["a"], "timeout": "1ms"}),
            "timeout",
            "1ms is too short: write a duration from 10ms to 1d",
        ),
        (json!({"command": ["a"], "max_output": "1B"}), "max_output", "write a size from 1KiB to 64MiB"),
        (json!({"command": ["a"], "environment": {"A=B": ""}}), "environment", "`A=B` can't be"),
        (json!({"command": ["a"], "run": "twice"}), "run", "unknown variant `twice`"),
    ] {
        let Err(error) = Harness::new(exec::plugin(), &config.to_string()) else { panic!("{config}") };
        assert_eq!(error.location(), key, "{error}");
        assert!(error.message().starts_with(message), "{error}");
    }
}
