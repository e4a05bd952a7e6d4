//! Listening, accepting, serving connections, and the end of it.

use super::{
    gate::{Ends, Gate},
    limits::{BUFFER_BYTES, Limits},
    log,
    stall::Stalling,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

/// Time for which accepting rests when the system has no room for another connection.
const REST: Duration = Duration::from_millis(100);
/// Bytes of a refused client's request that are read and thrown away.
const REFUSED_BYTES: u64 = 64 * 1024;

const OVERLOADED: &str = r#"{"detail":"Too many connections"}"#;

/// How far the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Takes requests.
    Serving,
    /// Takes no more; running ones end.
    Draining,
    /// Closes what is left.
    Closed,
}

/// What the connections share.
pub(super) struct Shared {
    pub(super) gate: Gate,
    pub(super) limits: Limits,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(gate: Gate, limits: Limits) -> Self {
        let connections = Arc::new(Semaphore::new(limits.connections));
        let refusals = Arc::new(Semaphore::new(limits.refusals));
        Self { gate, limits, connections, refusals }
    }
}

/// Waits until the server has come so far. A server that is gone is at its end.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// Accepts until the server drains.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, mut phase: watch::Receiver<Phase>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = reached(&mut phase, Phase::Draining) => return,
        };
        match accepted {
            Ok((stream, peer)) => take(stream, peer, &shared, &phase),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                log::connection("connections can't be accepted", &error);
                sleep(REST).await;
            }
        }
    }
}

/// Whether only one client is concerned, who is gone already.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Serves a connection, or refuses it.
fn take(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, phase: &watch::Receiver<Phase>) {
    if let Ok(permit) = Arc::clone(&shared.connections).try_acquire_owned() {
        tokio::spawn(serve(stream, peer, Arc::clone(shared), phase.clone(), permit));
    } else if let Ok(permit) = Arc::clone(&shared.refusals).try_acquire_owned() {
        log::connection("connection refused", &"too many connections");
        tokio::spawn(refuse(stream, shared.limits.refusal, phase.clone(), permit));
    }
}

/// Serves one connection until it ends or the server does.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    mut phase: watch::Receiver<Phase>,
    _permit: OwnedSemaphorePermit,
) {
    // small answers should not wait for more to come; a failure costs only time
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let ends = Ends { peer: peer.ip(), local: local.ip() };
    let limits = &shared.limits;
    let io = TokioIo::new(Stalling::new(stream, limits.stall));
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.gate.answer(request, ends).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            // a read may overshoot the buffer's limit; this one is exact
            .max_header_size(BUFFER_BYTES)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(io, service)
    );
    let mut next = Phase::Draining;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, %peer, "connection ended early");
                }
                return;
            }
            () = reached(&mut phase, next) => {
                if next == Phase::Closed {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                next = Phase::Closed;
            }
        }
    }
}

/// Answers 503 without looking at the request.
async fn refuse(
    mut stream: TcpStream,
    time: Duration,
    mut phase: watch::Receiver<Phase>,
    _permit: OwnedSemaphorePermit,
) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{OVERLOADED}",
        OVERLOADED.len()
    );
    let refusing = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // to close with unread bytes would reset the connection before the client has read the answer
        let mut rest = stream.take(REFUSED_BYTES);
        while rest.read(&mut [0; 1024]).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    tokio::select! {
        _ = timeout(time, refusing) => {}
        () = reached(&mut phase, Phase::Closed) => {}
    }
}
