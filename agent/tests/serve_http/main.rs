//! The HTTP API over real sockets, with a fake agent behind it.
#![allow(clippy::unwrap_used)] // a test file throughout; the lint's exemption only sees `#[test]` functions

mod client;
mod connections;
mod fake;
mod limits;
mod refusals;
mod routes;
mod shutdown;

use client::{Answer, Connection, head};
use fake::Fake;
use std::{
    net::SocketAddr,
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use twarga_agent::{
    config::TimestampStyle,
    serve::{Access, Limits, Listeners, Settings, TokenSources, load_tokens},
};

const USER: &str = "user-token-0123456789";
const ADMIN: &str = "admin-token-0123456789";
const AS_USER: (&str, &str) = ("Authorization", "Bearer user-token-0123456789");
const AS_ADMIN: (&str, &str) = ("Authorization", "Bearer admin-token-0123456789");

/// Waits for what must come, for as long as a test may take.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How a server of a test differs from the usual one.
struct Setup {
    limits: Limits,
    timestamps: TimestampStyle,
    user: Option<&'static str>,
    hosts: Vec<String>,
    listen: Vec<SocketAddr>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timestamps: TimestampStyle::Rfc3339,
            user: None,
            hosts: Vec::new(),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        }
    }
}

/// A server in a thread of its own, as the agent runs it: on a runtime of one thread.
struct Running {
    fake: Fake,
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn usual() -> Self {
        Self::start(Setup::default())
    }

    fn start(setup: Setup) -> Self {
        let fake = Fake::default();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let backend = fake.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listeners = Listeners::bind(&setup.listen).await.unwrap();
                tell.send(listeners.addresses().to_vec()).unwrap();
                let access = access(setup.user, &setup.listen);
                let Setup { hosts, timestamps, limits, .. } = setup;
                let server = listeners.serve(Settings { hosts, timestamps, access, limits }, backend);
                let _ = stopped.await;
                server.shutdown().await;
            });
            // what a test left blocked must not keep it from ending
            runtime.shutdown_background();
        });
        let addresses = told.recv().unwrap();
        Self { fake, addresses, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> Connection {
        Connection::to(self.addresses[0])
    }

    /// Asks on a connection of its own.
    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut connection = self.connect();
        connection.send(head(method, target, headers));
        connection.answer()
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }

    /// Asks the server to stop, without waiting for it.
    fn begin_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    fn has_stopped(&self) -> bool {
        self.thread.as_ref().unwrap().is_finished()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.fake.0.release();
        self.stop.take();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
    }
}

fn access(user: Option<&str>, listen: &[SocketAddr]) -> Access {
    let sources = TokenSources {
        user_token: user.map(Into::into),
        admin_token: Some(ADMIN.into()),
        ..TokenSources::default()
    };
    load_tokens(&sources, listen).unwrap().access
}
