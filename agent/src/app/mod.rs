//! Puts the rooms together: what is started in which order, and stopped in the reverse one.

mod backend;
mod own_metrics;
mod plugins;

pub use plugins::{Plugins, Report, load_all};

use crate::{
    collect::{Cadence, Collecting, JobOptions},
    config::Config,
    ingest::{self, Ingest, Input},
    model::{CollectorId, CollectorInfo, PluginState, PluginStatus},
    serve::{self, Limits, Listeners, Settings, TokenSources},
    store::{Options, Store},
};
use anyhow::{Context, Result};
use backend::AgentBackend;
use own_metrics::{OwnMetrics, OwnValue};
use std::{
    fs::DirBuilder,
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Rounds that may wait for the writer before collecting begins to keep them back.
const CHANNEL: usize = 64;
/// A value is the present one for so many intervals, and a little.
const STALE_INTERVALS: u32 = 3;
/// The agent's own metrics change slowly.
const OWN_INTERVAL: Duration = Duration::from_secs(15);
/// What stopping may take in all is 5 s; each step has its part.
const STOP_COLLECTING: Duration = Duration::from_millis(1500);

/// The database of a data directory.
pub fn store_file(data_dir: &Path) -> PathBuf {
    data_dir.join("history.db")
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting; once it runs, only a failure to write the last samples.
pub fn run(config: Config) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
        .context("can't start the HTTP side")?;
    runtime.block_on(serve_until_stopped(config))
}

async fn serve_until_stopped(config: Config) -> Result<()> {
    let mut stops = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let data_dir = &config.agent.data_dir;
    make_data_dir(data_dir)?;
    let access = tokens(&config)?;
    let listeners = Listeners::bind(&config.http.listen).await?;
    let store = Store::open(Options {
        file: store_file(data_dir),
        retention: config.storage.retention,
        max_loss: config.storage.max_loss,
        max_size: config.storage.max_size,
    })?;
    let agent = Agent::start(&config, store)?;
    announce(&listeners)?;
    let settings = Settings {
        hosts: config.http.hosts.clone(),
        timestamps: config.http.timestamps,
        access,
        limits: Limits::default(),
    };
    let server = listeners.serve(settings, AgentBackend::new(&agent, &config));
    wait_for_stop(&mut stops).await;
    tracing::info!("stops");
    server.shutdown().await;
    agent.stop()
}

fn make_data_dir(data_dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .with_context(|| format!("can't make the data directory {}", data_dir.display()))
}

fn tokens(config: &Config) -> Result<serve::Access> {
    let environment = |name| std::env::var(name).ok();
    let loaded = serve::load_tokens(&TokenSources {
        user_file: config.http.user_tokens.clone(),
        admin_file: config.http.admin_tokens.clone(),
        user_environment: environment("TWARGA_USER_TOKEN"),
        admin_environment: environment("TWARGA_ADMIN_TOKEN"),
        data_dir: config.agent.data_dir.clone(),
        listen: config.http.listen.clone(),
    })?;
    Ok(loaded.access)
}

/// The first line on standard output says where the agent listens: scripts wait for it.
fn announce(listeners: &Listeners) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for address in listeners.addresses() {
        writeln!(out, "listening on http://{address}")?;
    }
    Ok(out.flush()?)
}

async fn wait_for_stop((terminate, interrupt): &mut (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The running rooms behind the HTTP side.
pub struct Agent {
    collecting: Arc<Collecting>,
    ingest: Ingest,
    others: Vec<PluginStatus>,
}

impl Agent {
    fn start(config: &Config, store: Store) -> Result<Self> {
        let Plugins { mut jobs, others } = load_all(config, Report::Log);
        let (sender, receiver) = mpsc::sync_channel(CHANNEL);
        let own = own_job(&jobs);
        jobs.push(own);
        let collectors = jobs.iter().map(info).collect();
        let ingest = Ingest::spawn(store, ingest::Settings::of(config), collectors, sender.clone(), receiver)?;
        let output = move |round| {
            sender.try_send(Input::Round(Box::new(round))).map_err(|error| match error {
                mpsc::TrySendError::Full(Input::Round(round))
                | mpsc::TrySendError::Disconnected(Input::Round(round)) => *round,
                _ => unreachable!("what comes back is what was sent"),
            })
        };
        let collecting = Collecting::start(jobs, Box::new(output)).context("can't start collecting")?;
        Ok(Self { collecting: Arc::new(collecting), ingest, others })
    }

    /// Collecting first, so that nothing comes after the last commit.
    fn stop(self) -> Result<()> {
        let began = Instant::now();
        let left = self.collecting.stop(STOP_COLLECTING);
        if left > 0 {
            tracing::warn!("{left} collections had not come back");
        }
        self.ingest.stop().context("the last samples could not be written")?;
        tracing::info!("stopped in {:.1} s, everything is written", began.elapsed().as_secs_f64());
        Ok(())
    }
}
