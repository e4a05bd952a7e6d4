//! The command line: one file a command.

mod api;
mod backup;
mod check;
mod export;
mod import;
mod plugins;
mod progress;
mod query;
mod reload;
mod rows;
mod run;
mod sql;
mod store;
mod table;
mod top;

use crate::{
    app::Unusable,
    config::{ConfigErrors, Flags},
    host::isolated,
};
use clap::{Args, Parser, Subcommand};
use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};
use twarga_plugin_api::duration;

/// Exit code of a failure.
const FAILURE: u8 = 1;
/// Exit code of a reload after which an enabled plugin did not start.
const NOT_STARTED: u8 = 3;
/// Exit code of a bad configuration (`EX_CONFIG` of sysexits).
const BAD_CONFIG: u8 = 78;

const EXAMPLES: &str = "\
Examples:
  twarga-agent run                                   collect and serve, as agent.toml says
  twarga-agent run --listen 127.0.0.1:0 --interval 1s
  twarga-agent check                                 every mistake in agent.toml, with its line
  twarga-agent plugins list                          what is loaded, and why something is not
  twarga-agent plugins top                           what each plugin of the running agent costs
  twarga-agent plugins restart host-disk             in the running agent; also enable, disable, collect
  twarga-agent reload                                the running agent reads agent.toml again, and says what changed
  twarga-agent plugins new disk-temperature          a plugin of your own; also plugins run, plugins certify
  twarga-agent query host_cpu_percent                the last minutes, with a sparkline
  twarga-agent query host_network_receive_bytes_total --label device=eth0 --format csv
  twarga-agent query host_cpu_percent --from 1d --step 1h --agg max
  twarga-agent sql \"SELECT name, count(*) FROM metrics GROUP BY name\"
  twarga-agent store info                            what the history holds; also verify, compact
  twarga-agent backup history-copy.db                a copy, also while the agent runs
  twarga-agent export --match host_load1 --from 7d --output load.jsonl
  twarga-agent import load.jsonl

Configuration: --config, else ./agent.toml, else $XDG_CONFIG_HOME/twarga-agent/agent.toml, else
/etc/twarga-agent/agent.toml; beside it agent.d/*.toml. Without any, built-in defaults.

Environment:
  TWARGA_USER_TOKEN, TWARGA_ADMIN_TOKEN   tokens for the HTTP API, of the agent and of the commands that ask it
  TWARGA_LOG                              what is logged: error, warn, info (default), debug, or a filter
  NO_COLOR                                no colours

Signals of `run`: SIGHUP reads the configuration again and applies what changed, SIGTERM and SIGINT stop.

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 bad configuration; of `reload`: 3 a plugin did not start.";

/// Monitors this host and its virtual machines: collectors are plugins, history is one SQLite file, answers come over HTTP.
#[derive(Debug, Parser)]
#[command(name = "twarga-agent", version, after_help = EXAMPLES, max_term_width = 110, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where configuration, data and plugins are.
#[derive(Debug, Args)]
struct Place {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the history and the admin token lie, in place of agent.data_dir
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Look for plugins here first; may be given several times
    #[arg(long = "plugin-dir", global = true, value_name = "DIR")]
    plugin_dirs: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect, store and serve until SIGTERM or Ctrl-C
    Run(RunArgs),
    /// Read the configuration and print everything that is wrong with it
    Check,
    /// Have the running agent read its configuration again, and print what changed or why it refuses
    ///
    /// Exit code 3: the configuration applies, but an enabled plugin did not start; it is named with the reason. 78: the
    /// configuration has errors, and nothing was changed.
    Reload(reload::ReloadArgs),
    /// Show and switch plugins; make, try and certify your own
    #[command(subcommand)]
    Plugins(plugins::PluginsCommand),
    /// Print the history of a metric, also while the agent runs
    Query(query::QueryArgs),
    /// Ask the history with SQL, also while the agent runs
    Sql(sql::SqlArgs),
    /// Look at the file of the history, check it, give its free space back
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Copy the history to a file, consistently, also while the agent runs
    Backup(backup::BackupArgs),
    /// Write the samples of the history as text, also while the agent runs
    Export(export::ExportArgs),
    /// Read samples into the history: of an export, or of the old system's database; the agent must be stopped
    Import(import::ImportArgs),
}

#[derive(Debug, Default, Args)]
struct RunArgs {
    /// Listen here, in place of http.listen; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Collect this often, in place of every interval of the configuration: 1s, 500ms, 1m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    interval: Option<Duration>,
    /// Move a history away that is damaged, foreign or of a newer agent, and go on with a new one; nothing is deleted
    #[arg(long)]
    set_aside: bool,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // the agent starts itself so; nothing else may happen before
    if std::env::args_os().nth(1).is_some_and(|command| command == isolated::SUBCOMMAND) {
        return isolated::run();
    }
    let cli = Cli::parse();
    start_log();
    let outcome = match cli.command {
        Command::Run(args) => {
            let unusable = if args.set_aside { Unusable::SetAside } else { Unusable::Refuse };
            run::run(&flags(cli.place, args), unusable)
        }
        Command::Check => check::run(&flags(cli.place, RunArgs::default())),
        Command::Reload(args) => reload::run(&flags(cli.place, RunArgs::default()), &args),
        Command::Plugins(command) => plugins::run(&flags(cli.place, RunArgs::default()), command),
        Command::Query(args) => query::run(&flags(cli.place, RunArgs::default()), &args),
        Command::Sql(args) => sql::run(&flags(cli.place, RunArgs::default()), &args),
        Command::Store(command) => store::run(&flags(cli.place, RunArgs::default()), &command),
        Command::Backup(args) => backup::run(&flags(cli.place, RunArgs::default()), &args),
        Command::Export(args) => export::run(&flags(cli.place, RunArgs::default()), &args),
        Command::Import(args) => import::run(&flags(cli.place, RunArgs::default()), &args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            let bad_config = error.downcast_ref::<ConfigErrors>().is_some();
            ExitCode::from(if bad_config { BAD_CONFIG } else { FAILURE })
        }
    }
}

fn flags(place: Place, RunArgs { listen, interval, .. }: RunArgs) -> Flags {
    Flags { config: place.config, listen, data_dir: place.data_dir, plugin_dirs: place.plugin_dirs, interval }
}

/// A configuration's errors stand for themselves; others are told with their causes.
fn report(error: &anyhow::Error) {
    use std::io::Write;
    let mut out = std::io::stderr().lock();
    let written = match error.downcast_ref::<ConfigErrors>() {
        Some(errors) => writeln!(out, "{errors}"),
        None => writeln!(out, "twarga-agent: {error:#}"),
    };
    drop(written); // standard error is closed: nobody to tell
}

/// Logs go to standard error. Under systemd the journal adds time and name itself.
fn start_log() {
    let wanted = std::env::var("TWARGA_LOG").unwrap_or_default();
    let default = || tracing_subscriber::EnvFilter::new("info");
    let parsed = if wanted.trim().is_empty() { Ok(default()) } else { wanted.parse() };
    let (filter, wrong) = match parsed {
        Ok(filter) => (filter, None),
        Err(error) => (default(), Some(error)),
    };
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false);
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => log.without_time().init(),
        None => log.init(),
    }
    if let Some(error) = wrong {
        tracing::warn!("TWARGA_LOG is `{wanted}`: {error}; write error, warn, info or debug");
    }
}
