//! `plugins …`: what is loaded, and all that a plugin's author needs. One file a subcommand.

mod certify;
mod inspect;
mod list;
mod live;
mod new;
mod own_config;
mod render;
mod switch;

use super::top;
use crate::{config::Flags, serve::Switch};
use anyhow::Result;
use clap::Subcommand;
use std::{ops::RangeInclusive, process::ExitCode, time::Duration};
use twarga_plugin_api::duration;

#[derive(Debug, Subcommand)]
pub(super) enum PluginsCommand {
    /// What is configured and found, and why something would not be loaded
    List {
        /// As JSON, in the shape of GET /api/plugins
        #[arg(long)]
        json: bool,
    },
    /// What each plugin of the running agent costs: processor, wall time, samples, bytes, memory; anew each second
    Top(top::TopArgs),
    /// Have a plugin of the running agent run, whatever its table says; until that table changes or the agent ends
    Enable(switch::SwitchArgs),
    /// Stop a plugin of the running agent; until its table changes or the agent ends
    Disable(switch::SwitchArgs),
    /// Make a plugin of the running agent anew, its failures forgotten; one that was refused is loaded again
    Restart(switch::SwitchArgs),
    /// Have a plugin of the running agent collect now, beside its ticks
    Collect(switch::SwitchArgs),
    /// What a plugin file says of itself, its SHA-256 digest, and whether its owner and mode would do; runs nothing of it
    Inspect(inspect::InspectArgs),
    /// Make the crate of a new plugin, which builds, passes its tests and runs
    New(new::NewArgs),
    /// Run a plugin and show its samples as they come, without an agent or a history
    Run(live::LiveArgs),
    /// Check a plugin by running it in a process of its own: what an operator may rely on
    Certify(certify::CertifyArgs),
    /// The process of its own of `certify`: reads its task from standard input
    #[command(hide = true)]
    CertifyChild,
}

/// The intervals that a plugin can be tried with.
fn interval(text: &str) -> Result<Duration, String> {
    const ALLOWED: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(24 * 3600);
    let interval = duration::parse(text).map_err(|error| format!("{error}; write 1s or 500ms"))?;
    if ALLOWED.contains(&interval) { Ok(interval) } else { Err("write a duration from 10ms to 1d".into()) }
}

pub(super) fn run(flags: &Flags, command: PluginsCommand) -> Result<ExitCode> {
    match command {
        PluginsCommand::List { json } => list::run(flags, json),
        PluginsCommand::Top(args) => top::run(flags, &args),
        PluginsCommand::Enable(args) => switch::run(flags, &args, Switch::Enable),
        PluginsCommand::Disable(args) => switch::run(flags, &args, Switch::Disable),
        PluginsCommand::Restart(args) => switch::run(flags, &args, Switch::Restart),
        PluginsCommand::Collect(args) => switch::collect(flags, &args),
        PluginsCommand::Inspect(args) => inspect::run(&args),
        PluginsCommand::New(args) => new::run(&args),
        PluginsCommand::Run(args) => live::run(&args),
        PluginsCommand::Certify(args) => certify::run(&args),
        PluginsCommand::CertifyChild => crate::trial::child().map(|()| ExitCode::SUCCESS),
    }
}
