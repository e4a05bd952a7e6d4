//! Metrics that programs print and files hold, by the real agent: `exec`, `textfile`, and every example of
//! `docs/any-language.md`.
#![allow(clippy::unwrap_used, reason = "tests")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    process::Command,
    time::Duration,
};
use twarga_tests::{Agent, Home, config};

const PATIENCE: Duration = Duration::from_secs(20);

/// The newest value of a metric of one series.
fn newest(agent: &Agent, metric: &str) -> Option<f64> {
    let path = format!("/api/metrics/host/history?metric_name={metric}&limit=1");
    agent.get(&path).json()["data"][0]["value"].as_f64()
}

fn plugin(agent: &Agent, name: &str) -> Value {
    let list = agent.get("/api/plugins").json();
    let found = list["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

/// A table of `exec` that runs a shell script.
fn table(name: &str, script: &str, keys: &str) -> String {
    format!(
        "[plugins.{name}]\nplugin = \"exec\"\nmode = \"in_process\"\n[plugins.{name}.config]\ncommand = [\"sh\", \"-c\", {}]\n{keys}\n",
        json!(script)
    )
}

fn alive(pid: f64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

#[test]
fn a_script_in_each_format() {
    let tables = [
        table(
            "prom",
            "echo '# TYPE shop_orders counter'; echo 'shop_orders{kind=\"a\"} 41'",
            "prefix = \"shop_\"",
        ),
        table("influx", "echo 'room,floor=2 temp=21.5,name=\"x\"'", "format = \"influx\"\nprefix = \"\""),
        table(
            "json",
            r#"echo '{"name":"free","value":7,"unit":"bytes"}'"#,
            "format = \"json\"\nprefix = \"pool_\"",
        ),
    ];
    let home = Home::new(&config("1h", &[], &tables.concat())).plugin("exec");
    let mut agent = home.start();
    agent.until_ready();
    for (metric, value, labels) in [
        ("shop_orders_total", 41.0, "label.kind=a&label.instance=prom"),
        ("room_temp", 21.5, "label.floor=2&label.instance=influx"),
        ("pool_free_bytes", 7.0, "label.instance=json"),
        ("exec_strings_total", 2.0, "label.instance=influx"),
    ] {
        let history = agent.get(&format!("/api/metrics/host/history?metric_name={metric}&{labels}")).json();
        assert_eq!(
            (&history["data"][0]["value"], &history["count"]),
            (&json!(value), &json!(2)),
            "{history}"
        );
    }
    agent.stop();
}

/// What the page of `exec` says of the mark that the agent knows a plugin's threads by.
#[test]
fn a_program_begins_with_twelve_signals_blocked_in_process_and_none_isolated() {
    // the first six of the mask's sixteen digits are the signals 41 to 64
    let script = r#"while read -r key mask; do [ "$key" = SigBlk: ] && left=$((0x${mask%??????????})); done < /proc/self/status
                    while [ $left -gt 0 ]; do blocked=$((blocked + left % 2)) left=$((left / 2)); done
                    echo "blocked ${blocked:-0}""#;
    let isolated = table("apart", script, "prefix = \"\"").replace("in_process", "isolated");
    let within = table("within", script, "prefix = \"\"");
    let home = Home::new(&config("1h", &[], &(within + &isolated))).plugin("exec");
    let mut agent = home.start();
    agent.until_ready();
    for (name, blocked) in [("within", 12.0), ("apart", 0.0)] {
        let path = format!("/api/metrics/host/history?metric_name=blocked&label.instance={name}&limit=1");
        let history = agent.get(&path).json();
        assert_eq!(history["data"][0]["value"], json!(blocked), "{name}: {history}");
    }
    agent.stop();
}

#[test]
fn names_of_others_are_refused() {
    let script = "echo 'host_memory_stolen 1'; echo 'host_cpu_percent 2'; echo 'host_memory_used_bytes 3'; \
                  echo 'twarga_agent_x 4'; echo 'mine 5'";
    let tables = table("script", script, "prefix = \"\"");
    let home = Home::new(&config("1h", &["host-mem"], &tables)).plugin("exec").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    assert_eq!(newest(&agent, "mine"), Some(5.0));
    assert_eq!(newest(&agent, "exec_refused_total"), Some(8.0), "two collections at the start");
    assert!(newest(&agent, "host_memory_used_bytes").unwrap() > 3.0, "that of host-mem");
    agent.stop();
    let log = home.log();
    for (name, owner) in [
        ("host_memory_stolen", "the plugin `host-mem`, whose names begin with `host_memory_`"),
        ("host_cpu_percent", "a view of the agent"),
        ("host_memory_used_bytes", "the plugin `host-mem`"),
        ("twarga_agent_x", "the agent itself"),
    ] {
        let line = format!("metric `{name}` is already claimed by {owner} (said once)");
        assert_eq!(log.matches(&line).count(), 1, "{line}\n{log}");
    }
}

#[test]
fn a_stream_that_is_killed_is_started_again_and_ends_with_the_agent() {
    let script = "while true; do echo \"pid $$\"; sleep 0.1; done";
    let tables = table("stream", script, "run = \"stream\"\nprefix = \"stream_\"");
    let home = Home::new(&config("200ms", &[], &tables)).plugin("exec");
    let mut agent = home.start();
    let first = agent.until(PATIENCE, "the stream", |agent| newest(agent, "stream_pid"));
    #[allow(clippy::cast_possible_truncation, reason = "a process id")]
    let pid = Pid::from_raw(first as i32).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let second = agent
        .until(PATIENCE, "the stream again", |agent| newest(agent, "stream_pid").filter(|pid| *pid != first));
    assert!(alive(second) && !alive(first));
    let history = agent.get("/api/metrics/host/history?metric_name=stream_pid&limit=1000").json();
    let reasons = history["gaps"].to_string();
    assert!(reasons.contains("`sh` was killed by signal 9"), "{history}");
    agent.stop();
    assert!(!alive(second), "it ends with the agent");
}

#[test]
fn a_hanging_program_is_killed_and_costs_nobody_a_tick() {
    // one that is killed in time, and one whose timeout is longer than its deadline
    let script = "echo \"pid $$\"; sleep 1000";
    let tables = table("hanging", script, "timeout = \"200ms\"\nprefix = \"hanging_\"")
        + &table("late", script, "timeout = \"2s\"\nprefix = \"late_\"");
    let home = Home::new(&config("1s", &["synthetic"], &tables)).plugin("exec").plugin("synthetic");
    let mut agent = home.start();
    for (name, why) in
        [("hanging", "`sh` was killed after its timeout, 200ms"), ("late", "its deadline is 1.0 s")]
    {
        agent.until(PATIENCE, why, |agent| plugin(agent, name).to_string().contains(why).then_some(()));
    }
    let healthy = agent.until(PATIENCE, "some ticks of the other", |agent| {
        let healthy = plugin(agent, "synthetic");
        (healthy["collections"].as_u64() >= Some(6)).then_some(healthy)
    });
    assert_eq!(
        (&healthy["state"], &healthy["skipped"], &healthy["failures"]),
        (&json!("running"), &json!(0), &json!(0))
    );
    let pid = newest(&agent, "hanging_pid").expect("what was printed before counts");
    agent.until(PATIENCE, "the end of the program", |_| (!alive(pid)).then_some(()));
    agent.stop();
}

#[test]
fn a_run_that_is_under_way_ends_with_the_agent() {
    let home = Home::new("").plugin("exec");
    let keys = format!("timeout = \"1s\"\ndirectory = {}", json!(home.path("data")));
    home.write_config(&config(
        "2s",
        &[],
        &table("long", "echo $$ > pid.new; mv pid.new pid; sleep 1000", &keys),
    ));
    let mut agent = home.start();
    let pid = agent.until(PATIENCE, "the start of a run", |_| fs::read_to_string(home.path("data/pid")).ok());
    agent.stop();
    assert!(!alive(pid.trim().parse().unwrap()), "{}", home.log());
}

#[test]
fn files_are_dropped_changed_and_removed() {
    let home = Home::new("").plugin("textfile");
    fs::create_dir(home.path("textfile")).unwrap();
    home.write_config(&config(
        "200ms",
        &["textfile"],
        &format!("[plugins.textfile.config]\nprefix = \"\"\ndirectory = {}\n", json!(home.path("textfile"))),
    ));
    let mut agent = home.start();
    agent.until_ready();
    assert_eq!(newest(&agent, "job_runs"), None);
    for value in [1.0, 2.0] {
        home.write("textfile/job.tmp", &format!("job_runs {value}\n"));
        fs::rename(home.path("textfile/job.tmp"), home.path("textfile/job.prom")).unwrap();
        agent.until(PATIENCE, "the value", |agent| (newest(agent, "job_runs") == Some(value)).then_some(()));
    }
    home.write("textfile/bad.prom", "job_runs 3\nnonsense\n");
    let path = "/api/metrics/host/history?metric_name=textfile_scrape_error&label.file=bad.prom&limit=1";
    agent.until(PATIENCE, "the bad file", |agent| {
        (agent.get(path).json()["data"][0]["value"] == 1.0).then_some(())
    });
    assert_eq!(newest(&agent, "job_runs"), Some(3.0), "bad.prom comes first by name");
    for file in ["bad.prom", "job.prom"] {
        fs::remove_file(home.path("textfile").join(file)).unwrap();
    }
    agent.until(PATIENCE, "the end of the series", |agent| {
        (plugin(agent, "textfile")["series"] == 0).then_some(())
    });
    assert_eq!(newest(&agent, "job_runs"), Some(3.0), "history stays");
    agent.stop();
}

#[test]
fn a_rule_about_a_metric_of_a_program_is_no_mistake() {
    let rule = "[[alert]]\nname = \"old_backup\"\nmetric = \"backup_age_seconds\"\nop = \">\"\nthreshold = 9.0\nseverity = \"warning\"\nmessage = \"{value}\"\n";
    let tables = table("backups", "echo 'backup_age_seconds 10'", "prefix = \"backup_\"");
    let home = Home::new(&config("1h", &[], &format!("{tables}{rule}"))).plugin("exec");
    let checked = home.end(&mut home.command("check"));
    assert!(checked.code == Some(0) && !checked.err.contains("old_backup"), "{checked:?}");
    let wrong = format!("{}\n", table("bad", "true", "formt = \"json\""));
    home.write_config(&config("1h", &[], &wrong));
    let checked = home.end(&mut home.command("check"));
    assert!(
        checked.err.contains("plugins.bad.config.formt: unknown key; did you mean `format`?"),
        "{checked:?}"
    );
}

/// The code blocks with `file=…`: path and content.
fn files_of(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let content: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some(file) = info.split_whitespace().find_map(|word| word.strip_prefix("file=")) {
            found.push((file.to_string(), content.join("\n") + "\n"));
        }
    }
    found
}

fn has_python() -> bool {
    Command::new("python3").arg("-c").arg("print()").output().is_ok_and(|output| output.status.success())
}

/// A home with everything that the page writes down; its machine's folders are folders of the home.
fn as_the_page_says(python: bool) -> Home {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/any-language.md")).unwrap();
    let home = Home::new("[agent]\ninterval = \"500ms\"\n").plugin("exec").plugin("textfile");
    for folder in ["agent.d", "lib", "backups/web", "backups/db", "spool/queue", "textfile"] {
        DirBuilder::new().recursive(true).mode(0o755).create(home.path(folder)).unwrap();
    }
    for (file, content) in files_of(&page) {
        if !python && (file == "agent.d/queue.toml") {
            continue;
        }
        let content = [
            ("/usr/local/lib/twarga-agent", "lib"),
            ("/var/backups", "backups"),
            ("/var/spool", "spool"),
            ("/var/lib/twarga-agent/textfile", "textfile"),
        ]
        .iter()
        .fold(content, |content, (theirs, ours)| content.replace(theirs, home.path(ours).to_str().unwrap()));
        let place = if file.starts_with("agent.d/") { file } else { format!("lib/{file}") };
        let path = home.write(&place, &content);
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    for backup in ["backups/web/1.tar", "backups/db/1.tar"] {
        home.write(backup, "");
    }
    home.write("spool/queue/job-1", "");
    home.write("spool/updates", "a\nb\nc\n");
    home
}

#[test]
fn every_example_of_the_page_runs() {
    let python = has_python();
    if !python {
        println!("python3 is not there: the example in Python is skipped");
    }
    let home = as_the_page_says(python);
    let checked = home.end(&mut home.command("check"));
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""), "{checked:?}");
    let job = home.end(Command::new("sh").arg(home.path("lib/update-count.sh")));
    assert_eq!(job.code, Some(0), "{job:?}");

    let mut agent = home.start();
    agent.until_ready();
    let ages = agent.get("/api/metrics/host/history?metric_name=backup_age_seconds&label.machine=web").json();
    assert!(ages["data"][0]["value"].as_f64().is_some_and(|age| (0.0..600.0).contains(&age)), "{ages}");
    assert_eq!(newest(&agent, "updates_pending"), Some(3.0));
    assert!(newest(&agent, "load_one").unwrap() >= 0.0 && newest(&agent, "load_five").unwrap() >= 0.0);
    if python {
        agent.until(PATIENCE, "the program in Python", |agent| {
            (newest(agent, "queue_depth") == Some(1.0) && newest(agent, "queue_last_taken") == Some(0.0))
                .then_some(())
        });
    }
    agent.stop();
    let log = home.log();
    assert!(log.lines().all(|line| !line.contains("WARN") && !line.contains("ERROR")), "{log}");
}
