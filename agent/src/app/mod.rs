//! Puts the rooms together: what is started in which order, and stopped in the reverse one.

mod backend;
pub mod check;
mod own_metrics;
mod plugins;

pub use plugins::{Plugins, Report, load_all};

use crate::{
    collect::{Cadence, Collecting, JobOptions, Output},
    config::Config,
    ingest::{self, Ingest, Input},
    model::{CollectorId, CollectorInfo, PluginState, PluginStatus},
    serve::{self, Limits, Listeners, Settings, TokenSources},
    store::{Options, Readers, Store},
};
use anyhow::{Context, Result, bail};
use backend::AgentBackend;
use own_metrics::{OwnMetrics, OwnValue};
use std::{
    fs::DirBuilder,
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, mpsc},
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
const STOP_COLLECTING: Duration = Duration::from_millis(1000);
const STOP_WRITING: Duration = Duration::from_millis(1900);

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
    announce(&listeners)?;
    let agent = Agent::start(&config, store)?;
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
    let sources = TokenSources {
        user_file: config.http.user_tokens.clone(),
        admin_file: config.http.admin_tokens.clone(),
        user_token: environment("TWARGA_USER_TOKEN"),
        admin_token: environment("TWARGA_ADMIN_TOKEN"),
        data_dir: config.agent.data_dir.clone(),
    };
    let loaded = serve::load_tokens(&sources, &config.http.listen)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(made) = &loaded.made {
        tracing::info!("the admin token is in {}", made.display());
    }
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
struct Agent {
    collecting: Arc<Collecting>,
    ingest: ingest::Handle,
    inputs: mpsc::SyncSender<Input>,
    readers: Readers,
    others: Vec<PluginStatus>,
}

impl Agent {
    fn start(config: &Config, store: Store) -> Result<Self> {
        let Plugins { mut jobs, others } = load_all(config, Report::Log);
        let (inputs, receiver) = mpsc::sync_channel(CHANNEL);
        let readers = store.readers();
        let own = Arc::new(OnceLock::new());
        jobs.push(own_job(&jobs, config, Arc::clone(&own)));
        let options = ingest::Options {
            collectors: jobs.iter().map(collector_info).collect(),
            rules: config.alerts.clone(),
            disk: config.views.disk.as_str().into(),
            recycled: None,
        };
        let ingest = Ingest::spawn(store, options, receiver).context("can't start the writer")?;
        let collecting = Collecting::start(jobs, output(inputs.clone())).context("can't start collecting")?;
        let mut values = own_metrics::of_process();
        values.extend(own_metrics::of_writer(&ingest.stats(), &collecting.dropped()));
        let _ = own.set(values); // nobody else sets it
        Ok(Self { collecting: Arc::new(collecting), ingest, inputs, readers, others })
    }

    /// Collecting first, so that nothing comes after the last commit.
    fn stop(self) -> Result<()> {
        let began = Instant::now();
        let left = self.collecting.stop(STOP_COLLECTING);
        if left > 0 {
            tracing::warn!("{left} collections had not come back");
        }
        let (sender, answer) = mpsc::channel();
        let reply = Box::new(move |stopped| drop(sender.send(stopped)));
        if self.inputs.send(Input::Stop { reply }).is_err() {
            bail!("the writer had ended before");
        }
        let stopped = answer.recv_timeout(STOP_WRITING).context("the writer did not end in time")?;
        self.ingest.join_within(STOP_WRITING);
        if stopped.lost_samples > 0 {
            bail!("the store did not take the last {} samples", stopped.lost_samples);
        }
        if let Some(error) = stopped.error {
            bail!("the store could not be closed: {error}");
        }
        tracing::info!("stopped in {:.1} s, everything is written", began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Hands rounds to the writer; one that is behind gives them back.
fn output(inputs: mpsc::SyncSender<Input>) -> Output {
    Box::new(move |round| match inputs.try_send(Input::Round(Box::new(round))) {
        Ok(()) => Ok(()),
        Err(mpsc::TrySendError::Full(input) | mpsc::TrySendError::Disconnected(input)) => match input {
            Input::Round(round) => Err(*round),
            _ => Ok(()), // what comes back is what was sent
        },
    })
}

fn collector_info(job: &JobOptions) -> CollectorInfo {
    let stale_after = job.interval * STALE_INTERVALS + job.deadline;
    CollectorInfo { name: Arc::clone(&job.name), stale_after }
}

/// The built-in collector of the agent's own metrics; its values are known once everything else runs.
fn own_job(plugins: &[JobOptions], config: &Config, values: Arc<OnceLock<Vec<OwnValue>>>) -> JobOptions {
    let interval = OWN_INTERVAL.max(config.agent.interval);
    let status =
        PluginStatus::new(own_metrics::NAME, own_metrics::NAME, PluginState::Running, interval, interval);
    JobOptions {
        id: CollectorId(u32::try_from(plugins.len()).unwrap_or(u32::MAX)),
        name: own_metrics::NAME.into(),
        cadence: Cadence::new(interval, plugins::offset(config, interval)),
        interval,
        deadline: interval,
        jitter: Duration::ZERO,
        factory: Box::new(OwnMetrics {
            plugins: plugins.iter().map(|job| Arc::clone(&job.status)).collect(),
            values,
        }),
        status: Arc::new(Mutex::new(status)),
    }
}
