//! The certification, from the side of the process that survives it.

use super::{
    names,
    process::{Heard, Message, Phase, Process, Task},
    report::{Answer, CHECKS, Outcome, Report},
    schema,
};
use crate::host::{Metadata, Refusal, describe, open_file};
use anyhow::Result;
use serde_json::{Map, Value as Json};
use std::{path::Path, time::Duration};
use twarga_plugin_api::duration;

/// How long one check may take beyond the interval.
const PATIENCE: Duration = Duration::from_secs(8);
/// Collections before the kill.
const BEFORE_KILL: usize = 3;

/// Certifies a file with this configuration of the plugin, which is meant to be asked every `interval`.
///
/// # Errors
/// Where no process can be started. Whatever is wrong with the plugin is in the report.
pub fn certify(file: &Path, config: &Map<String, Json>, interval: Duration) -> Result<Report> {
    let (metadata, refusal) = match open_file(file) {
        Ok(opened) => describe(&opened),
        Err(error) => (None, Some(Refusal::Io(error))),
    };
    let Some(metadata) = metadata else {
        let refusal = refusal.unwrap_or(Refusal::NotAPlugin);
        let answer = Answer::fail("abi", refusal.to_string(), refusal.advice());
        return Ok(Report::new(String::new(), String::new(), vec![answer]));
    };
    let mut answers =
        vec![about_metadata(&metadata), about_schema(&metadata), names::answer(&metadata.metrics)];
    match refusal {
        Some(refusal) => answers.push(Answer::fail("abi", refusal.to_string(), refusal.advice())),
        None => {
            let task = Task { file: file.into(), config: config.clone(), interval, phase: Phase::Checks };
            run_checks(&task, &mut answers)?;
        }
    }
    Ok(Report::new(metadata.name, metadata.version, answers))
}

fn about_metadata(metadata: &Metadata) -> Answer {
    const CHECK: &str = "metadata";
    let missing: Vec<&str> = [
        ("version", metadata.version.is_empty()),
        ("description", metadata.description.is_empty()),
        ("authors", metadata.authors.is_empty()),
        ("a namespace", metadata.namespaces.is_empty()),
    ]
    .into_iter()
    .filter_map(|(what, is_missing)| is_missing.then_some(what))
    .collect();
    if missing.is_empty() {
        let count = metadata.metrics.len();
        return Answer::pass(CHECK, format!("complete; {count} metrics are declared in the file"));
    }
    let advice = "write version, description and authors into Cargo.toml, and NAMESPACES into the collector";
    Answer::fail(CHECK, format!("missing: {}", missing.join(", ")), advice)
}

fn about_schema(metadata: &Metadata) -> Answer {
    const CHECK: &str = "schema";
    if metadata.schema.is_empty() {
        return Answer::skip(
            CHECK,
            "it has none: `check` can't know the keys of its table; set CONFIG_SCHEMA",
        );
    }
    match schema::problem(&metadata.schema) {
        Some(problem) => Answer::fail(CHECK, problem, "mend config.schema.json"),
        None => Answer::pass(CHECK, "a JSON Schema, and its defaults fit it"),
    }
}

/// The checks that run the plugin.
fn run_checks(task: &Task, answers: &mut Vec<Answer>) -> Result<()> {
    let patience = PATIENCE + task.interval;
    let mut process = Process::start(task)?;
    let (begun, end) = listen(&mut process, patience, answers);
    // a child that has done all checks ends; where it doesn't, the collector's end is what is not over
    if let Some(check) = begun.filter(|check| missing_from(answers, check)) {
        let (how, advice) = about_end(&end, patience);
        answers.push(Answer::fail(&check, how, advice));
    }
    if matches!(end, Heard::Silence) && !missing_from(answers, "stop") {
        answers.retain(|answer| answer.check != "stop");
        let advice = "join the plugin's threads in Drop, and let nothing wait without end";
        answers.push(Answer::fail("stop", "its process does not end", advice));
    }
    // what came last and was not well is what the others wait for
    let last = answers.iter().rev().find(|answer| answer.outcome != Outcome::Pass);
    let why = |answer: &Answer| if answer.outcome == Outcome::Fail { "failed" } else { "was skipped" };
    let after = last.map(|answer| format!("not reached: `{}` {}", answer.check, why(answer)));
    let can_start = answers.iter().any(|one| one.check == "first-collection" && one.outcome == Outcome::Pass);
    if can_start {
        answers.push(survives_kill(task)?);
    }
    if let Some(reason) = after {
        for (check, _) in CHECKS {
            if missing_from(answers, check) {
                answers.push(Answer::skip(check, reason.clone()));
            }
        }
    }
    Ok(())
}

/// Gathers answers until the child ends or is silent for too long, and gives the check that it had begun.
fn listen(process: &mut Process, patience: Duration, answers: &mut Vec<Answer>) -> (Option<String>, Heard) {
    // what the child has begun; the load before anything else
    let mut begun = Some("abi".to_string());
    loop {
        match process.hear(patience) {
            Heard::Message(Message::Begin(check)) => begun = Some(check),
            Heard::Message(Message::Done(answer)) => {
                begun = begun.filter(|check| *check != answer.check);
                // a name that is refused at load is told there
                answers.retain(|known| known.check != answer.check);
                answers.push(answer);
            }
            Heard::Message(Message::Collected) => {}
            ended @ Heard::Ended(_) => return (begun, ended),
            Heard::Silence => {
                process.kill();
                return (begun, Heard::Silence);
            }
        }
    }
}

fn missing_from(answers: &[Answer], check: &str) -> bool {
    !answers.iter().any(|answer| answer.check == check)
}

/// How a child ended in the middle of a check, and what to do about it.
fn about_end(end: &Heard, patience: Duration) -> (String, &'static str) {
    match end {
        Heard::Ended(how) => (
            how.clone(),
            "find what ends the process: an abort, a double panic, unsafe code or a C library; a debugger helps: \
             `gdb --args twarga-agent plugins run FILE`",
        ),
        _ => (
            format!("no answer within {}", duration::words(patience)),
            "bound every wait in the plugin: a time limit on sockets, no lock that another thread may keep",
        ),
    }
}

/// A child that collects is killed; the next one must find everything usable.
fn survives_kill(task: &Task) -> Result<Answer> {
    const CHECK: &str = "kill";
    let patience = PATIENCE + task.interval;
    let mut process = Process::start(&Task { phase: Phase::Endless, ..task.clone() })?;
    for _ in 0..BEFORE_KILL {
        match process.hear(patience) {
            Heard::Message(Message::Collected) => {}
            other => {
                return Ok(Answer::skip(CHECK, format!("it did not run a second time: {}", told(other))));
            }
        }
    }
    process.kill();
    let mut anew = Process::start(&Task { phase: Phase::Once, ..task.clone() })?;
    Ok(match anew.hear(patience) {
        Heard::Message(Message::Collected) => {
            Answer::pass(CHECK, "killed while it collected, and started anew: its first collection went well")
        }
        other => Answer::fail(
            CHECK,
            format!("after SIGKILL it does not start anew: {}", told(other)),
            "leave nothing behind that the next start stumbles over: lock by flock instead of a file's existence, \
             write files to another name and rename them",
        ),
    })
}

fn told(heard: Heard) -> String {
    match heard {
        Heard::Message(Message::Done(answer)) => answer.reason,
        Heard::Message(other) => format!("{other:?}"),
        Heard::Ended(how) => how,
        Heard::Silence => "no answer".into(),
    }
}
