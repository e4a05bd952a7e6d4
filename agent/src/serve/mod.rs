//! The HTTP API: routes by warp, under an accept loop of our own.
//!
//! The way of a request: `accept` takes the connection (or answers 503 where there are too many), hyper reads the head,
//! `gate` checks target length, `Host`, route, token, `Origin` and body, in this order, `routes` (warp) dispatches to
//! `handlers`, which ask the `Backend` and write one of the `answers`. Errors travel back as `problem::ApiError`
//! and are written by the gate.
//!
//! `docs/http-api.md` describes the routes to those who call them.

mod accept;
mod answers;
mod auth;
mod backend;
mod gate;
mod handlers;
mod limits;
mod log;
mod origin;
mod outgoing;
mod params;
mod problem;
mod routes;
mod stall;
mod table;

pub use auth::{
    Access, AdminToken, AuthError, Loaded, NoAdminToken, TokenSources, admin_client_token, client_token,
    load as load_tokens,
};
pub use backend::{
    ActiveAlert, AlertState, Backend, CollectOutcome, Flat, FlatValue, History, HistoryError, HistoryGap,
    HistoryQuery, MetricEntry, Readiness, ReloadOutcome, Reloaded, StepInfo, StepQuery, Switch,
    SwitchOutcome, Target, Vm, warns_of_not_started,
};
pub use limits::Limits;

use crate::{
    config::TimestampStyle,
    model::{PluginStatus, Timestamp},
};
use accept::{Phase, Shared};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch, time::timeout};

/// Time in which closed connections must have let go; closing waits for nobody.
const LETTING_GO: Duration = Duration::from_millis(500);

/// What `GET /api/plugins` would answer, as JSON text; for the command line.
///
/// # Errors
/// None that statuses can cause.
pub fn plugins_json(statuses: Vec<PluginStatus>) -> serde_json::Result<String> {
    serde_json::to_string(&answers::PluginsAnswer::new(statuses, Timestamp::now()))
}

/// Why the server can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// There is nothing to listen on.
    #[error("http.listen has no address")]
    NoAddress,
    /// An address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names under which the agent is reached, beside its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// How the seed's routes write times.
    pub timestamps: TimestampStyle,
    /// The tokens that are accepted.
    pub access: Access,
    /// How much of everything a client may have.
    pub limits: Limits,
}

/// Sockets that listen; connections wait in the system's queue until [`serve`](Self::serve).
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Listens on every address, or on none.
    pub async fn bind(listen: &[SocketAddr]) -> Result<Self, ServeError> {
        if listen.is_empty() {
            return Err(ServeError::NoAddress);
        }
        let mut listeners = Vec::with_capacity(listen.len());
        let mut addresses = Vec::with_capacity(listen.len());
        for &address in listen {
            let failed = |source| ServeError::Bind { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            listeners.push(listener);
        }
        Ok(Self { listeners, addresses })
    }

    /// The addresses, with the ports that were given for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves on tasks of the current runtime.
    pub fn serve(self, settings: Settings, backend: impl Backend) -> Server {
        let Settings { hosts, timestamps, access, limits } = settings;
        let context = handlers::Context::new(backend, timestamps, &limits);
        let hosts = origin::Hosts::new(self.addresses.iter().map(SocketAddr::ip), &hosts);
        let gate = gate::Gate::new(access, hosts, limits.clone(), routes::routes(context));
        let grace = limits.grace;
        let shared = Arc::new(Shared::new(gate, limits));
        let (phase, follow) = watch::channel(Phase::Serving);
        for listener in self.listeners {
            tokio::spawn(accept::accept(listener, Arc::clone(&shared), follow.clone()));
        }
        Server { phase, grace }
    }
}

/// A server at work. Dropped, it closes at once.
#[derive(Debug)]
pub struct Server {
    phase: watch::Sender<Phase>,
    grace: Duration,
}

impl Server {
    /// Stops accepting, lets running requests end for a while, then closes. Every connection is gone afterwards.
    pub async fn shutdown(self) {
        self.phase.send_replace(Phase::Draining);
        // each task has a receiver: when all receivers are gone, so are the tasks
        if timeout(self.grace, self.phase.closed()).await.is_err() {
            self.phase.send_replace(Phase::Closed);
            if timeout(LETTING_GO, self.phase.closed()).await.is_err() {
                tracing::warn!("some connections were still at work when the server stopped");
            }
        }
    }
}
