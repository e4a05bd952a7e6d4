//! The routes as warp filters. `table` has decided before that there is such a route and who may call it; a test holds
//! the two against each other.

use super::{
    backend::{Backend, Switch},
    handlers::{self, Context},
    problem::ApiError,
};
use std::{convert::Infallible, sync::Arc};
use warp::{Filter, filters::BoxedFilter, reply::Response};

/// Every route; what fits none is a 404.
pub(super) fn routes<B: Backend>(context: Context<B>) -> BoxedFilter<(Response,)> {
    let context = Arc::new(context);
    let nothing = warp::any().map(|| ApiError::not_found().carried());
    flat(&context)
        .or(lists(&context))
        .unify()
        .or(histories(&context))
        .unify()
        .or(commands(&context))
        .unify()
        .or(nothing)
        .unify()
        .boxed()
}

/// The latest values, and the state of the agent.
fn flat<B: Backend>(context: &Arc<Context<B>>) -> BoxedFilter<(Response,)> {
    let host = warp::path!("api" / "metrics" / "host").and(given(context));
    let vm = warp::path!("api" / "metrics" / "vm" / String).and(given(context));
    let alerts = warp::path!("api" / "metrics" / "alerts").and(given(context));
    let ready = warp::path!("-" / "ready").and(given(context));
    let healthy = warp::path!("-" / "healthy").map(|| answer(handlers::healthy()));
    let host = host.map(|context: Arc<_>| answer(handlers::host(&*context)));
    let vm = vm.map(|vm_id: String, context: Arc<_>| answer(handlers::vm(&*context, &vm_id)));
    let alerts = alerts.map(|context: Arc<_>| answer(handlers::alerts(&*context)));
    let ready = ready.map(|context: Arc<_>| answer(handlers::ready(&*context)));
    let all = host.or(vm).unify().or(alerts).unify().or(healthy).unify().or(ready).unify();
    warp::get().and(all).boxed()
}

/// What there is.
fn lists<B: Backend>(context: &Arc<Context<B>>) -> BoxedFilter<(Response,)> {
    let plugins = warp::path!("api" / "plugins").and(given(context));
    let vms = warp::path!("api" / "vms").and(given(context));
    let metrics = warp::path!("api" / "metrics").and(given(context));
    let events = warp::path!("api" / "events").and(given(context)).and(query());
    let plugins = plugins.map(|context: Arc<_>| answer(handlers::plugins(&*context)));
    let vms = vms.map(|context: Arc<_>| answer(handlers::vms(&*context)));
    let metrics = metrics.then(async |context| answer(handlers::metrics(context).await));
    let events = events.then(async |context, query| answer(handlers::events(context, query).await));
    let all = plugins.or(vms).unify().or(metrics).unify().or(events).unify();
    warp::get().and(all).boxed()
}

/// What was.
fn histories<B: Backend>(context: &Arc<Context<B>>) -> BoxedFilter<(Response,)> {
    let host = warp::path!("api" / "metrics" / "host" / "history").and(given(context)).and(query());
    let host = host.then(async |context, query| answer(handlers::host_history(context, query).await));
    let vm = warp::path!("api" / "metrics" / "vm" / String / "history");
    let vm = vm.and(given(context)).and(query());
    let vm = vm.then(async |vm_id, context, query| answer(handlers::vm_history(context, vm_id, query).await));
    warp::get().and(host.or(vm).unify()).boxed()
}

/// What changes something.
fn commands<B: Backend>(context: &Arc<Context<B>>) -> BoxedFilter<(Response,)> {
    let collect = warp::path!("api" / "metrics" / "collect").and(warp::post()).and(given(context));
    let collect = collect.then(async |context| answer(handlers::collect(context).await));
    let one = warp::path!("api" / "plugins" / String / "collect").and(warp::post()).and(given(context));
    let one = one.then(async |name, context| answer(handlers::plugin_collect(context, name).await));
    let cleanup = warp::path!("api" / "metrics" / "cleanup").and(warp::delete()).and(given(context));
    let cleanup =
        cleanup.and(query()).then(async |context, query| answer(handlers::cleanup(context, query).await));
    collect.or(one).unify().or(cleanup).unify().or(changes(context)).unify().boxed()
}

/// What changes which plugins run, and how.
fn changes<B: Backend>(context: &Arc<Context<B>>) -> BoxedFilter<(Response,)> {
    let switch = |switch: Switch| {
        let path = warp::path!("api" / "plugins" / String / ..).and(warp::path(switch.word()));
        let one = path.and(warp::path::end()).and(warp::post()).and(given(context));
        one.then(move |name, context| async move { answer(handlers::switch(context, name, switch).await) })
    };
    let reload = warp::path!("-" / "reload").and(warp::post()).and(given(context));
    let reload = reload.then(async |context| answer(handlers::reload(context).await));
    let (enable, disable, restart) =
        (switch(Switch::Enable), switch(Switch::Disable), switch(Switch::Restart));
    enable.or(disable).unify().or(restart).unify().or(reload).unify().boxed()
}

fn given<T: Send + Sync>(
    value: &Arc<T>,
) -> impl Filter<Extract = (Arc<T>,), Error = Infallible> + Clone + use<T> {
    let value = Arc::clone(value);
    warp::any().map(move || Arc::clone(&value))
}

/// The raw query string; empty where there is none.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

fn answer(result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(ApiError::carried)
}
