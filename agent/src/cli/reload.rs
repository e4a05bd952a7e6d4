//! `reload`: the running agent reads its configuration again.

use super::{
    BAD_CONFIG, NOT_STARTED,
    api::{Answer, Api, Whom},
};
use crate::{config::Flags, serve::warns_of_not_started};
use anyhow::Result;
use clap::Args;
use hyper::StatusCode;
use serde::Deserialize;
use std::{collections::BTreeMap, io::Write, process::ExitCode};

#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    whom: Whom,
}

/// What changed.
#[derive(Deserialize)]
struct Reloaded {
    plugins: Plugins,
    alerts: Alerts,
    keys: Vec<String>,
    needs_restart: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Plugins {
    started: Vec<String>,
    stopped: Vec<String>,
    changed: BTreeMap<String, Vec<String>>,
    upgrading: Vec<String>,
    /// An agent of before does not say.
    #[serde(default)]
    failed: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Alerts {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

/// All errors of a configuration that was refused.
#[derive(Deserialize)]
struct Refused {
    detail: Vec<Problem>,
    #[serde(default)]
    more: usize,
}

#[derive(Deserialize)]
struct Problem {
    msg: String,
}

/// Prints what changed; a configuration that the agent refuses is told as `check` tells it.
pub(super) fn run(flags: &Flags, args: &ReloadArgs) -> Result<ExitCode> {
    let api = Api::admin(flags, &args.whom)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(api.post("/-/reload"))?;
    match answer.status {
        StatusCode::OK => {
            let reloaded = answer.json()?;
            write!(std::io::stdout(), "{}", told(&reloaded))?;
            not_started(&reloaded.plugins.failed)
        }
        StatusCode::UNPROCESSABLE_ENTITY => refused(&answer),
        _ => Err(answer.unexpected()),
    }
}

fn refused(answer: &Answer) -> Result<ExitCode> {
    let Refused { detail, more } = answer.json()?;
    let mut err = std::io::stderr().lock();
    for problem in detail {
        writeln!(err, "{}", problem.msg)?;
    }
    if more > 0 {
        writeln!(err, "and {more} more")?;
    }
    writeln!(err, "twarga-agent: nothing was changed")?;
    Ok(ExitCode::from(BAD_CONFIG))
}

/// The configuration applies, and yet something is wrong: who reads only the exit code is to notice.
fn not_started(failed: &BTreeMap<String, String>) -> Result<ExitCode> {
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut err = std::io::stderr().lock();
    for (name, reason) in failed {
        writeln!(err, "plugin {name} did not start: {reason}")?;
    }
    let names: Vec<&str> = failed.keys().map(String::as_str).collect();
    writeln!(
        err,
        "twarga-agent: the configuration applies, but not all plugins started: {}",
        names.join(", ")
    )?;
    Ok(ExitCode::from(NOT_STARTED))
}

/// A line for each kind of change.
fn told(reloaded: &Reloaded) -> String {
    let Reloaded { plugins, alerts, keys, needs_restart, warnings } = reloaded;
    let changed: Vec<String> =
        plugins.changed.iter().map(|(name, keys)| format!("{name} ({})", keys.join(", "))).collect();
    // what did not start is told on standard error
    let told_below = |warning: &&String| {
        let of = |(name, reason): (&String, &String)| {
            !reason.is_empty() && warns_of_not_started(warning, name) && warning.contains(reason)
        };
        plugins.failed.iter().any(of)
    };
    let warnings = warnings.iter().filter(|warning| !told_below(warning));
    let mut text: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
    let mut nothing = true;
    for (what, names) in [
        ("plugins started", &plugins.started),
        ("plugins stopped", &plugins.stopped),
        ("plugins changed", &changed),
        ("new files being tried out", &plugins.upgrading),
        ("alert rules added", &alerts.added),
        ("alert rules removed", &alerts.removed),
        ("alert rules changed", &alerts.changed),
        ("keys changed", keys),
        ("only a restart takes", needs_restart),
    ] {
        if !names.is_empty() {
            nothing = false;
            text.push_str(&format!("{what}: {}\n", names.join(", ")));
        }
    }
    if nothing {
        text.push_str("nothing changed\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_warnings_that_are_told_below_are_left_out() {
        let nothing: [&str; 0] = [];
        let warnings = ["plugin a is not loaded: no file", "plugin b is not loaded: why", "plugin b is new"];
        let reloaded: Reloaded = serde_json::from_value(json!({
            "plugins": {
                "started": nothing, "stopped": nothing, "changed": {}, "upgrading": nothing,
                "failed": { "a": "no file", "b": "" },
            },
            "alerts": { "added": nothing, "removed": nothing, "changed": nothing },
            "keys": nothing, "needs_restart": nothing, "warnings": warnings,
        }))
        .unwrap();
        let wanted = "warning: plugin b is not loaded: why\nwarning: plugin b is new\nnothing changed\n";
        assert_eq!(told(&reloaded), wanted);
    }
}
