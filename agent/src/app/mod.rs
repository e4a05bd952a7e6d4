//! Puts the rooms together: what is started in which order, and stopped in the reverse one.

mod backend;
mod canary;
pub mod check;
mod history;
mod known;
mod loaded;
mod machines;
mod manager;
mod own_metrics;
mod plugins;
mod watch;
mod way_out;

pub use history::Unusable;
pub use plugins::{Plugins, Report, load_all};

use crate::{
    collect::{Cadence, Collecting, JobOptions, Output, Times},
    config::{Config, Flags},
    ingest::{self, Ingest, Input, Published},
    model::{CollectorId, CollectorInfo, GapReason, PluginState, PluginStatus},
    serve::{self, Limits, Listeners, Settings, TokenSources},
    store::{Options, Readers, Retention, Store},
};
use anyhow::{Context, Result, bail};
use arc_swap::ArcSwap;
use backend::AgentBackend;
use manager::{Beginning, Manager, Managing, Rooms};
use own_metrics::OwnMetrics;
use std::{
    fs::DirBuilder,
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use way_out::WayOut;

/// Rounds that may wait for the writer before collecting begins to keep them back.
const CHANNEL: usize = 64;
/// A value is the present one for so many intervals, and a little.
const STALE_INTERVALS: u32 = 3;
/// The agent's own metrics change slowly.
const OWN_INTERVAL: Duration = Duration::from_secs(15);
/// By then every collector has been primed, unless it hangs.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// What stopping may take in all is 5 s.
const STOP: Duration = Duration::from_millis(4500);
/// By then the process is ended, whatever does not.
const GONE: Duration = Duration::from_millis(4800);
/// Of the first of them, what calls of plugins may take to come back.
const STOP_COLLECTING: Duration = Duration::from_millis(1000);
/// And what plugins may take to end, after everything is written.
const LET_GO: Duration = Duration::from_millis(300);

/// The database of a data directory.
pub fn store_file(data_dir: &Path) -> PathBuf {
    data_dir.join("history.db")
}

/// How the agent opens its history.
pub fn store_options(config: &Config) -> Options {
    Options {
        file: store_file(&config.agent.data_dir),
        retention: Retention {
            raw: config.storage.retention,
            minute: config.storage.retention_1m,
            hour: config.storage.retention_1h,
        },
        max_loss: config.storage.max_loss,
        max_size: config.storage.max_size,
    }
}

/// Runs the agent until SIGTERM or SIGINT. `flags` are those with which the configuration was read, for when it is read
/// again.
///
/// # Errors
/// What keeps it from starting; once it runs, only a failure to write the last samples.
pub fn run(config: Config, flags: Flags, unusable: Unusable) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
        .context("can't start the HTTP side")?;
    let ended = runtime.block_on(serve_until_stopped(config, flags, unusable));
    // a reader of the history may be at work on a thread of the runtime: it is not waited for
    runtime.shutdown_background();
    ended
}

async fn serve_until_stopped(config: Config, flags: Flags, unusable: Unusable) -> Result<()> {
    let hang_ups = signal(SignalKind::hangup())?;
    let mut stops = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let data_dir = &config.agent.data_dir;
    make_data_dir(data_dir)?;
    let access = tokens(&config)?;
    let listeners = Listeners::bind(&config.http.listen).await?;
    let store = history::open(&config, unusable)?;
    announce(&listeners)?;
    let way_out = WayOut::prepare().context("can't start the thread that ends the agent")?;
    let agent = Agent::start(&config, flags, store)?;
    let settings = Settings {
        hosts: config.http.hosts.clone(),
        timestamps: config.http.timestamps,
        access,
        limits: Limits::default(),
    };
    let server = listeners.serve(settings, AgentBackend::new(&agent, &config));
    let disk = tokio::spawn(warn_of_unknown_disk(agent.ingest.published(), config.views.disk.clone()));
    let reloads = tokio::spawn(reload_on_hang_up(agent.managing.clone(), hang_ups));
    let watching = config.agent.watch.then(|| tokio::spawn(watch::watch(agent.managing.clone())));
    tokio::select! {
        () = wait_for_stop(&mut stops) => tracing::info!("stops"),
        // it never ends by itself: a panic, and nothing would be stored any more
        () = agent.writer_ended.notified() => tracing::error!("the writer has ended; the agent stops"),
    }
    let deadline = Instant::now() + STOP;
    way_out.by(Instant::now() + GONE);
    for task in [disk, reloads].into_iter().chain(watching) {
        task.abort();
    }
    server.shutdown().await;
    agent.stop(deadline, way_out)
}

/// The disk views would be empty for ever, and the disk alert silent, where `views.disk` names a mount that no plugin
/// reports.
async fn warn_of_unknown_disk(published: Arc<ArcSwap<Published>>, disk: String) {
    tokio::time::sleep(FIRST_LOOK).await;
    let snapshot = Arc::clone(&published.load().snapshot);
    let mounts = snapshot.catalog.of_metric("host_filesystem_size_bytes").iter();
    let mut points =
        mounts.map(|index| snapshot.catalog.series[*index].def.labels.get("mountpoint")).peekable();
    if points.peek().is_some() && !points.clone().any(|point| point == disk) {
        let known: Vec<&str> = points.collect();
        tracing::warn!(
            "views.disk is {disk}, and no plugin reports such a mount (there are {}): the flat disk keys stay empty and \
             the disk alert silent; choose one of them, or let host-disk report it with mounts.include",
            known.join(", ")
        );
    }
}

fn make_data_dir(data_dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .with_context(|| format!("can't make the data directory {}", data_dir.display()))
}

/// Where the tokens of this configuration and this process's environment come from.
pub fn token_sources(config: &Config) -> TokenSources {
    let environment = |name| std::env::var_os(name);
    TokenSources {
        user_file: config.http.user_tokens.clone(),
        admin_file: config.http.admin_tokens.clone(),
        user_token: environment("TWARGA_USER_TOKEN"),
        admin_token: environment("TWARGA_ADMIN_TOKEN"),
        data_dir: config.agent.data_dir.clone(),
    }
}

fn tokens(config: &Config) -> Result<serve::Access> {
    let loaded = serve::load_tokens(&token_sources(config), &config.http.listen)?;
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

/// SIGHUP: the configuration is read again.
async fn reload_on_hang_up(managing: Managing, mut hang_ups: Signal) {
    while hang_ups.recv().await.is_some() {
        managing.reload_and_log("SIGHUP").await;
    }
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
    managing: Managing,
    writer_ended: Arc<Notify>,
}

impl Agent {
    fn start(config: &Config, flags: Flags, store: Store) -> Result<Self> {
        let Plugins { mut jobs, others, loaded, claims, keeper, known } = load_all(config, Report::Log);
        let (inputs, receiver) = mpsc::sync_channel(CHANNEL);
        let readers = store.readers();
        let mut own = own_job(&jobs, config);
        let collectors: Vec<CollectorInfo> = jobs.iter().chain([&own]).map(collector_info).collect();
        let options = ingest::Options {
            collectors: collectors.clone(),
            rules: config.alerts.clone(),
            disk: config.views.disk.as_str().into(),
            recycled: None,
        };
        let ingest = Ingest::spawn(store, options, receiver).context("can't start the writer")?;
        let dropped = Arc::default();
        let own_metrics = OwnMetrics::new(&jobs, &ingest.stats(), &dropped);
        own.factory = Box::new(own_metrics.clone());
        let statuses = jobs.iter().map(|job| (job.id, Arc::clone(&job.status))).collect();
        jobs.push(own);
        let writer_ended = Arc::new(Notify::new());
        let output = output(inputs.clone(), Arc::clone(&writer_ended));
        let idle = idle(config, &others);
        let collecting = Collecting::start(jobs, idle, output, dropped).context("can't start collecting")?;
        keeper.on_end(collecting.end_noticed());
        let collecting = Arc::new(collecting);
        let rooms = Rooms { collecting: Arc::clone(&collecting), inputs: inputs.clone() };
        let beginning =
            Beginning { collectors, statuses, others, loaded, claims, keeper, known, own_metrics };
        let managing = Managing::new(Manager::new(config.clone(), flags, rooms, beginning));
        Ok(Self { collecting, ingest, inputs, readers, managing, writer_ended })
    }

    /// Collecting first, so that nothing comes after the last commit.
    fn stop(self, deadline: Instant, way_out: WayOut) -> Result<()> {
        let Self { collecting, ingest, inputs, .. } = self;
        let began = Instant::now();
        let left = collecting.stop(STOP_COLLECTING);
        if left > 0 {
            tracing::warn!("{left} collections had not come back");
        }
        let written = stop_writing(ingest, &inputs, deadline, way_out);
        if written.is_ok() {
            tracing::info!("stopped in {:.1} s, everything is written", began.elapsed().as_secs_f64());
        }
        let_go(collecting);
        written
    }
}

fn stop_writing(
    ingest: ingest::Handle,
    inputs: &mpsc::SyncSender<Input>,
    deadline: Instant,
    way_out: WayOut,
) -> Result<()> {
    let (sender, answer) = mpsc::channel();
    let reply = Box::new(move |stopped: ingest::Stopped| {
        if stopped.lost_samples == 0 && stopped.error.is_none() {
            way_out.written();
        }
        drop(sender.send(stopped));
    });
    tell_to_stop(inputs, Input::Stop { reply }, deadline)?;
    let left = || deadline.saturating_duration_since(Instant::now());
    let stopped = answer.recv_timeout(left()).context("the writer did not end in time")?;
    if stopped.lost_samples > 0 {
        bail!("the store did not take the last {} samples", stopped.lost_samples);
    }
    if let Some(error) = stopped.error {
        bail!("the store could not be closed: {error}");
    }
    ingest.join_within(left());
    Ok(())
}

/// The writer takes what is queued before; a channel that stays full must not hold up the stop.
fn tell_to_stop(inputs: &mpsc::SyncSender<Input>, mut stop: Input, deadline: Instant) -> Result<()> {
    loop {
        match inputs.try_send(stop) {
            Ok(()) => return Ok(()),
            Err(mpsc::TrySendError::Disconnected(_)) => bail!("the writer had ended before"),
            Err(mpsc::TrySendError::Full(_)) if Instant::now() > deadline => {
                bail!("the writer did not answer in time")
            }
            Err(mpsc::TrySendError::Full(input)) => stop = input,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Drops the collectors. That runs code of the plugins, so it has a thread of its own, and is not waited for long.
fn let_go(collecting: Arc<Collecting>) {
    let (sender, gone) = mpsc::channel();
    let thread = std::thread::Builder::new().name("let-go".into());
    let started = thread.spawn(move || {
        collecting.release();
        let _ = sender.send(()); // perhaps nobody waits any more
    });
    if started.is_ok() && gone.recv_timeout(LET_GO).is_err() {
        tracing::warn!("a plugin takes long to end, and is left behind");
    }
}

/// The collectors that are configured and do not run, and why: their history says so.
fn idle(config: &Config, others: &[PluginStatus]) -> Vec<(Arc<str>, GapReason)> {
    let configured = others.iter().filter(|other| config.plugins.contains_key(&other.name));
    let reason = |other: &PluginStatus| match other.state {
        PluginState::Disabled => Some(GapReason::Disabled),
        PluginState::Refused => Some(GapReason::Failed(other.reason.clone().unwrap_or_default())),
        _ => None,
    };
    configured.filter_map(|other| Some((other.name.as_str().into(), reason(other)?))).collect()
}

/// Hands rounds to the writer; one that is behind gives them back, one that has ended is told of.
fn output(inputs: mpsc::SyncSender<Input>, ended: Arc<Notify>) -> Output {
    Box::new(move |round| {
        let input = match inputs.try_send(Input::Round(Box::new(round))) {
            Ok(()) => return Ok(()),
            Err(mpsc::TrySendError::Full(input)) => input,
            Err(mpsc::TrySendError::Disconnected(input)) => {
                ended.notify_one();
                input
            }
        };
        match input {
            Input::Round(round) => Err(*round),
            _ => Ok(()), // what comes back is what was sent
        }
    })
}

fn collector_info(job: &JobOptions) -> CollectorInfo {
    info(&job.name, &job.times())
}

fn info(name: &Arc<str>, times: &Times) -> CollectorInfo {
    let stale_after = times.interval * STALE_INTERVALS + times.deadline;
    CollectorInfo { name: Arc::clone(name), stale_after }
}

/// When the agent's own metrics are collected.
fn own_times(config: &Config) -> Times {
    let interval = OWN_INTERVAL.max(config.agent.interval);
    let cadence = Cadence::new(interval, plugins::offset(config, interval));
    Times { cadence, interval, deadline: interval, jitter: Duration::ZERO }
}

/// The built-in collector of the agent's own metrics.
fn own_job(plugins: &[JobOptions], config: &Config) -> JobOptions {
    let Times { cadence, interval, deadline, jitter } = own_times(config);
    let status =
        PluginStatus::new(own_metrics::NAME, own_metrics::NAME, PluginState::Running, interval, deadline);
    JobOptions {
        id: CollectorId(u32::try_from(plugins.len()).unwrap_or(u32::MAX)),
        name: own_metrics::NAME.into(),
        cadence,
        interval,
        deadline,
        jitter,
        max_cpu: None,
        factory: Box::new(OwnMetrics::default()),
        status: Arc::new(Mutex::new(status)),
    }
}
