//! What each route does with a request that may be answered.

use super::{
    answers::{
        AlertsAnswer, CleanupAnswer, CollectAnswer, EventsAnswer, Failures, HistoryAnswer, MetricsAnswer,
        PluginCollectAnswer, PluginsAnswer, ReloadAnswer, Stamp, StatusAnswer, SwitchAnswer, VmsAnswer,
        firing_texts,
    },
    backend::{
        Backend, CollectOutcome, Flat, History, HistoryError, HistoryQuery, ReloadOutcome, Switch,
        SwitchOutcome, Target,
    },
    limits::Limits,
    outgoing::Hold,
    params::{Params, Whole, decode, path_whole},
    problem::{ApiError, Invalid},
};
use crate::{
    config::{ConfigErrors, Problem, TimestampStyle},
    model::{Severity, Timestamp},
    query::MOST_STEPS,
    store::{EventFilter, Range},
};
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration, time::Instant};
use tokio::sync::Semaphore;
use warp::reply::Response;

type Answer = Result<Response, ApiError>;

/// `limit` of a history.
const POINTS: Whole = Whole { default: 100, least: 1, greatest: 200_000 };
/// `limit` of a history in steps, of which [`MOST_STEPS`] are given at most.
const STEPS: Whole = Whole { default: MOST_STEPS as i64, ..POINTS };
/// `limit` of a list of events.
const EVENTS: Whole = Whole { default: 100, least: 1, greatest: 1000 };
/// `days` of a cleanup; at most a hundred years.
const DAYS: Whole = Whole { default: 7, least: 1, greatest: 36_500 };
/// A history of more points is a large answer: about a quarter of a megabyte and more.
const LARGE: usize = 2500;
/// The most values of a label that are listed where series must be told apart.
const CHOICES: usize = 50;

/// What the handlers share.
pub(super) struct Context<B> {
    backend: B,
    style: TimestampStyle,
    readers: Arc<Semaphore>,
    large: Arc<Semaphore>,
    delivery: Duration,
}

impl<B: Backend> Context<B> {
    pub(super) fn new(backend: B, style: TimestampStyle, limits: &Limits) -> Self {
        Self {
            backend,
            style,
            readers: Arc::new(Semaphore::new(limits.readers)),
            large: Arc::new(Semaphore::new(limits.large_answers)),
            delivery: limits.delivery,
        }
    }

    /// Runs work that may block on a thread of its own, few at a time. The permit goes with the work: when the request
    /// is given up, the work still counts until it ends.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.readers).acquire_owned().await.map_err(ApiError::internal)?;
        let context = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&context)
        })
        .await
        .map_err(ApiError::internal)?
    }

    /// The right to a large answer.
    async fn hold(&self) -> Result<Hold, ApiError> {
        let permit = Arc::clone(&self.large).acquire_owned().await.map_err(ApiError::internal)?;
        Ok(Hold::new(permit, Instant::now() + self.delivery))
    }

    /// The time of the latest values.
    fn collected(&self) -> Result<Timestamp, ApiError> {
        self.backend.snapshot().time.ok_or_else(ApiError::nothing_collected)
    }
}

/// A 200 with a JSON body.
fn json_answer(body: &impl Serialize) -> Answer {
    serde_json::to_vec(body).map(written).map_err(ApiError::internal)
}

fn written(body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn healthy() -> Answer {
    json_answer(&StatusAnswer { status: "ok" })
}

pub(super) fn ready<B: Backend>(context: &Context<B>) -> Answer {
    let waiting_for = context.backend.ready().waiting_for;
    if waiting_for.is_empty() {
        return json_answer(&StatusAnswer { status: "ready" });
    }
    Err(ApiError::unavailable("Not ready yet", Duration::from_secs(1))
        .with("waiting_for", json!(waiting_for)))
}

pub(super) fn host<B: Backend>(context: &Context<B>) -> Answer {
    let flat = context.backend.host_flat().ok_or_else(ApiError::nothing_collected)?;
    json_answer(&Flat { timestamps: context.style, ..flat })
}

pub(super) fn vm<B: Backend>(context: &Context<B>, vm_id: &str) -> Answer {
    let vm_id = path_whole("vm_id", vm_id).map_err(|invalid| ApiError::invalid(vec![*invalid]))?;
    match context.backend.vm_flat(vm_id) {
        Some(flat) => json_answer(&Flat { timestamps: context.style, ..flat }),
        None if context.backend.vm_exists(vm_id) => Err(ApiError::nothing_collected()),
        None => {
            // before the first collection nobody knows which machines there are
            context.collected()?;
            Err(vm_not_found())
        }
    }
}

fn vm_not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "VM not found")
}

pub(super) fn alerts<B: Backend>(context: &Context<B>) -> Answer {
    let time = context.collected()?;
    json_answer(&AlertsAnswer::new(&context.backend.alerts(), time, context.style))
}

pub(super) fn plugins<B: Backend>(context: &Context<B>) -> Answer {
    json_answer(&PluginsAnswer::new(context.backend.plugins(), Timestamp::now()))
}

pub(super) fn vms<B: Backend>(context: &Context<B>) -> Answer {
    json_answer(&VmsAnswer::new(context.backend.vms(), Timestamp::now()))
}

pub(super) async fn metrics<B: Backend>(context: Arc<Context<B>>) -> Answer {
    let list = |context: &Context<B>| {
        let entries = context.backend.metrics_list().map_err(ApiError::internal)?;
        json_answer(&MetricsAnswer::new(entries))
    };
    context.blocking(list).await
}

pub(super) async fn events<B: Backend>(context: Arc<Context<B>>, query: String) -> Answer {
    let mut params = Params::new(&query);
    let limit = usize::try_from(params.whole("limit", EVENTS)).unwrap_or(1);
    let words = [Severity::Info, Severity::Warning, Severity::Critical].map(Severity::word);
    let filter = EventFilter {
        since: params.time("since"),
        kind: params.text("type"),
        severity: params.word("severity", &words),
        before: params.optional_whole("cursor"),
        // one more tells whether there is another page
        limit: limit + 1,
    };
    params.finish()?;
    let list = move |context: &Context<B>| {
        let events = context.backend.events(&filter).map_err(ApiError::internal)?;
        json_answer(&EventsAnswer::new(events, limit))
    };
    context.blocking(list).await
}

pub(super) async fn vm_history<B: Backend>(context: Arc<Context<B>>, vm_id: String, query: String) -> Answer {
    let vm_id = path_whole("vm_id", &vm_id);
    history(context, vm_id.map(Target::Vm), &query).await
}

pub(super) async fn host_history<B: Backend>(context: Arc<Context<B>>, query: String) -> Answer {
    history(context, Ok(Target::Host), &query).await
}

async fn history<B: Backend>(
    context: Arc<Context<B>>,
    target: Result<Target, Box<Invalid>>,
    query: &str,
) -> Answer {
    let mut params = Params::new(query);
    let metric = params.required("metric_name");
    let steps = params.steps();
    let limit = params.whole("limit", if steps.is_some() { STEPS } else { POINTS });
    let (from, to) = (params.time("from"), params.time("to"));
    params.in_order(from, to);
    let matchers = params.matchers();
    let target = params.finish_with(target)?;
    if let Target::Vm(vm_id) = target
        && !context.backend.vm_exists(vm_id)
    {
        return Err(vm_not_found());
    }
    let range = Range { from: from.unwrap_or(Range::ALL.from), to: to.unwrap_or(Range::ALL.to) };
    let limit = usize::try_from(limit).unwrap_or(1);
    let query = HistoryQuery { target, metric, matchers, range, limit, steps };
    let hold = if most_points(&query) > LARGE { Some(context.hold().await?) } else { None };
    let mut response = context.blocking(move |context| read_history(context, &query)).await?;
    if let Some(hold) = hold {
        response.extensions_mut().insert(hold);
    }
    Ok(response)
}

/// How many points an answer may have.
fn most_points(query: &HistoryQuery) -> usize {
    let Some(steps) = query.steps else { return query.limit };
    let to = query.range.to.min(Timestamp::now());
    let long = Duration::from_millis(u64::try_from(to.millis_since(query.range.from)).unwrap_or(0));
    let within = long.as_millis() / steps.length.as_millis().max(1) + 2;
    query.limit.min(MOST_STEPS).min(usize::try_from(within).unwrap_or(MOST_STEPS))
}

/// Asks the store and writes the answer: both on a thread that may block, because 200 000 points take their time.
fn read_history<B: Backend>(context: &Context<B>, query: &HistoryQuery) -> Answer {
    let history = match context.backend.history(query) {
        Ok(history) => history,
        Err(HistoryError::Unknown) => History::default(),
        Err(HistoryError::Ambiguous { labels }) => return Err(ambiguous(&query.metric, &labels)),
        Err(wrong @ HistoryError::NotACounter(_)) => return Err(unanswerable("agg", &wrong)),
        Err(wrong @ HistoryError::TooManySteps { .. }) => return Err(unanswerable("step", &wrong)),
        Err(HistoryError::Store(cause)) => return Err(ApiError::internal(cause)),
    };
    let vm_id = match query.target {
        Target::Host => None,
        Target::Vm(vm_id) => Some(vm_id),
    };
    json_answer(&HistoryAnswer::new(vm_id, &query.metric, &history, context.style))
}

/// Parameters that are right by themselves, of which one does not fit what there is.
fn unanswerable(key: &str, wrong: &HistoryError) -> ApiError {
    ApiError::invalid(vec![Invalid {
        kind: "value_error",
        loc: ["query".into(), key.into()],
        msg: format!("Value error, {wrong}"),
        input: None,
        ctx: None,
    }])
}

/// Several series match: names the labels to choose from.
fn ambiguous(metric: &str, labels: &[(String, Vec<String>)]) -> ApiError {
    let shown = |values: &[String]| values.iter().take(CHOICES).cloned().collect::<Vec<_>>();
    let choices: Vec<String> = labels
        .iter()
        .map(|(key, values)| {
            let more = if values.len() > CHOICES { ", …" } else { "" };
            format!("label.{key} ({}{more})", shown(values).join(", "))
        })
        .collect();
    let ctx: serde_json::Map<String, Value> =
        labels.iter().map(|(key, values)| (key.clone(), json!(shown(values)))).collect();
    ApiError::invalid(vec![Invalid {
        kind: "ambiguous_series",
        loc: ["query".into(), "metric_name".into()],
        msg: format!("Several series match; choose one by {}", choices.join(", ")),
        input: Some(metric.into()),
        ctx: Some(json!({ "labels": ctx })),
    }])
}

pub(super) async fn collect<B: Backend>(context: Arc<Context<B>>) -> Answer {
    let failures = outcome(context.backend.collect(None).await)?;
    let metrics = context.backend.host_flat().ok_or_else(ApiError::nothing_collected)?;
    json_answer(&CollectAnswer {
        success: failures.is_empty(),
        timestamp: Stamp(metrics.time, context.style),
        metrics: Flat { timestamps: context.style, ..metrics },
        alerts: firing_texts(&context.backend.alerts()),
        failures,
    })
}

pub(super) async fn plugin_collect<B: Backend>(context: Arc<Context<B>>, name: String) -> Answer {
    let plugin = decode(&name, false).ok_or_else(unknown_plugin)?;
    let failures = outcome(context.backend.collect(Some(plugin.clone())).await)?;
    let timestamp = Stamp(Timestamp::now(), TimestampStyle::Rfc3339);
    json_answer(&PluginCollectAnswer { success: failures.is_empty(), plugin, timestamp, failures })
}

fn unknown_plugin() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Plugin not found")
}

fn outcome(outcome: CollectOutcome) -> Result<Failures, ApiError> {
    match outcome {
        CollectOutcome::Done { failures } => Ok(Failures(failures)),
        CollectOutcome::UnknownPlugin => Err(unknown_plugin()),
        CollectOutcome::NotRunning(reason) => {
            Err(ApiError::new(StatusCode::CONFLICT, format!("The plugin is not running: {reason}")))
        }
        CollectOutcome::Failed(cause) => Err(ApiError::internal(cause)),
    }
}

pub(super) async fn switch<B: Backend>(context: Arc<Context<B>>, name: String, switch: Switch) -> Answer {
    let plugin = decode(&name, false).ok_or_else(unknown_plugin)?;
    match context.backend.switch(plugin.clone(), switch).await {
        SwitchOutcome::Done(state) => {
            let timestamp = Stamp(Timestamp::now(), TimestampStyle::Rfc3339);
            json_answer(&SwitchAnswer { success: true, plugin, state: state.word(), timestamp })
        }
        SwitchOutcome::UnknownPlugin => Err(unknown_plugin()),
        SwitchOutcome::Refused(reason) => {
            let detail = format!("The plugin can't be {}: {reason}", switch.participle());
            Err(ApiError::new(StatusCode::CONFLICT, detail))
        }
        SwitchOutcome::Failed(cause) => Err(ApiError::internal(cause)),
    }
}

pub(super) async fn reload<B: Backend>(context: Arc<Context<B>>) -> Answer {
    match context.backend.reload().await {
        ReloadOutcome::Done(reloaded) => json_answer(&ReloadAnswer::new(*reloaded, Timestamp::now())),
        ReloadOutcome::Invalid(errors) => Err(bad_configuration(&errors)),
        ReloadOutcome::Failed(cause) => Err(ApiError::internal(cause)),
    }
}

/// A configuration with errors: all of them, as `check` tells them.
fn bad_configuration(errors: &ConfigErrors) -> ApiError {
    let one = |problem: &Problem| {
        let file = problem.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
        let line = if problem.line > 0 { format!(":{}", problem.line) } else { String::new() };
        Invalid {
            kind: "config_error",
            loc: [format!("{file}{line}"), problem.key.clone()],
            msg: problem.to_string(),
            input: None,
            ctx: None,
        }
    };
    let error = ApiError::invalid(errors.errors.iter().map(one).collect());
    if errors.more > 0 { error.with("more", json!(errors.more)) } else { error }
}

pub(super) async fn cleanup<B: Backend>(context: Arc<Context<B>>, query: String) -> Answer {
    let mut params = Params::new(&query);
    let days = params.whole("days", DAYS);
    params.finish()?;
    let days_kept = u32::try_from(days).map_err(ApiError::internal)?;
    let deleted_count = context.backend.cleanup(days_kept).await.map_err(ApiError::internal)?;
    json_answer(&CleanupAnswer { success: true, deleted_count, days_kept })
}
