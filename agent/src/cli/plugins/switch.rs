//! `plugins enable`, `disable`, `restart` and `collect`: one plugin of the running agent.

use crate::{
    cli::api::{Answer, Api, Whom, path_part},
    config::{self, Flags},
    serve::Switch,
};
use anyhow::{Result, anyhow, bail};
use clap::Args;
use hyper::StatusCode;
use serde::Deserialize;
use std::{collections::BTreeMap, io::Write, process::ExitCode};

/// How long a switch holds.
const LASTS: &str = "until its table in the configuration changes, or the agent ends";

#[derive(Debug, Args)]
pub(in crate::cli) struct SwitchArgs {
    /// The key of its table: `host-cpu` of [plugins.host-cpu]
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Deserialize)]
struct Switched {
    state: String,
}

#[derive(Deserialize)]
struct Collected {
    success: bool,
    #[serde(default)]
    failures: BTreeMap<String, String>,
}

/// The body of a refusal.
#[derive(Deserialize)]
struct Refused {
    detail: String,
}

#[derive(Deserialize)]
struct Known {
    plugins: Vec<KnownPlugin>,
}

#[derive(Deserialize)]
struct KnownPlugin {
    name: String,
}

/// Switches a plugin, and tells where it stands now.
pub(super) fn run(flags: &Flags, args: &SwitchArgs, switch: Switch) -> Result<ExitCode> {
    let state = ask(flags, args, switch.word())?.json::<Switched>()?.state;
    let note = match switch {
        Switch::Enable | Switch::Disable => format!(", {LASTS}"),
        Switch::Restart => String::new(),
    };
    writeln!(std::io::stdout(), "{}: {state}{note}", args.name)?;
    Ok(ExitCode::SUCCESS)
}

/// Has a plugin collect now.
pub(super) fn collect(flags: &Flags, args: &SwitchArgs) -> Result<ExitCode> {
    let Collected { success, failures } = ask(flags, args, "collect")?.json()?;
    if !success {
        let reasons: Vec<String> = failures.into_values().collect();
        bail!("plugin {} could not collect: {}", args.name, reasons.join("; "));
    }
    writeln!(std::io::stdout(), "{}: collected", args.name)?;
    Ok(ExitCode::SUCCESS)
}

fn ask(flags: &Flags, args: &SwitchArgs, word: &str) -> Result<Answer> {
    let api = Api::admin(flags, &args.whom)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answer = api.post(&format!("/api/plugins/{}/{word}", path_part(&args.name))).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => Err(unknown(&api, &args.name).await),
            StatusCode::CONFLICT => Err(anyhow!("{}: {}", args.name, answer.json::<Refused>()?.detail)),
            _ => Err(answer.unexpected()),
        }
    })
}

/// Names the plugin that was probably meant, else all that there are.
async fn unknown(api: &Api, name: &str) -> anyhow::Error {
    let known = match api.get("/api/plugins").await.and_then(|answer| answer.json::<Known>()) {
        Ok(known) => known,
        Err(error) => return error,
    };
    let names: Vec<&str> = known.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let hint = config::did_you_mean(name, names.iter().copied()).unwrap_or_else(|| match names[..] {
        [] => "there are none".into(),
        _ => format!("there are {}", names.join(", ")),
    });
    anyhow!("the agent has no plugin `{}`; {hint}", name.escape_debug())
}
