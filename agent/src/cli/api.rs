//! Asks a running agent over HTTP.

use crate::{
    app,
    config::{self, Config, Flags},
    serve::{self, AdminToken},
    store,
};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long something may take to be done: a little longer than the agent gives a request.
const PATIENCE_OF_CHANGES: Duration = Duration::from_secs(35);
/// The most bytes of an answer.
const LARGEST: usize = 64 << 20;

/// Which agent is asked.
#[derive(Debug, Args)]
pub(super) struct Whom {
    /// Ask the agent that listens here, in place of http.listen
    #[arg(long, value_name = "ADDR:PORT")]
    agent: Option<SocketAddr>,
}

/// What a token is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Admin,
}

/// Where an agent answers, and with which token it is asked.
pub(super) struct Api {
    address: SocketAddr,
    role: Role,
    token: Option<String>,
}

impl Api {
    /// Who reads: the agent of this configuration, or the one that is named.
    ///
    /// # Errors
    /// The configuration does not say where.
    pub(super) fn user(config: &Config, whom: &Whom) -> Result<Self> {
        let token = serve::client_token(&app::token_sources(config));
        Ok(Self { address: address(config, whom)?, role: Role::User, token })
    }

    /// Who changes something. An agent whose files were broken after its start stays within reach: of a configuration
    /// with errors, only the keys that say where the agent is need to be sound.
    ///
    /// # Errors
    /// The configuration does not say where, or no admin token is to be had; what to do.
    pub(super) fn admin(flags: &Flags, whom: &Whom) -> Result<Self> {
        let examined = config::examine(flags);
        let of_a_file = examined.incomplete || examined.is_refused("");
        let unsure = of_a_file || examined.is_wrong("http") || examined.is_wrong("agent.data_dir");
        let config = if unsure { examined.finish()?.config } else { examined.config };
        let address = address(&config, whom)?;
        let AdminToken { token, made } = serve::admin_client_token(&app::token_sources(&config))?;
        if made {
            belongs_to_a_running_agent(&config.agent.data_dir)?;
        }
        Ok(Self { address, role: Role::Admin, token: Some(token) })
    }

    /// Asks with GET.
    ///
    /// # Errors
    /// Nobody answers, or with something else than 200; what to do.
    pub(super) async fn get(&self, path: &str) -> Result<Answer> {
        let answer = self.send(&Method::GET, path, PATIENCE).await?;
        if answer.status == StatusCode::OK { Ok(answer) } else { Err(answer.unexpected()) }
    }

    /// Asks with POST, without a body.
    ///
    /// # Errors
    /// Nobody answers, or the token does not do; what to do.
    pub(super) async fn post(&self, path: &str) -> Result<Answer> {
        self.send(&Method::POST, path, PATIENCE_OF_CHANGES).await
    }

    async fn send(&self, method: &Method, path: &str, patience: Duration) -> Result<Answer> {
        let address = self.address;
        let answer = timeout(patience, self.ask(method, path)).await;
        let answer = answer.map_err(|_| anyhow!("not within {} s", patience.as_secs())).flatten();
        let (status, body) = answer.with_context(|| format!("no answer of an agent at http://{address}"))?;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let (role, variable) = match self.role {
                Role::User => ("a user token", "TWARGA_USER_TOKEN"),
                Role::Admin => ("an admin token", "TWARGA_ADMIN_TOKEN"),
            };
            let found = match (&self.token, status) {
                (None, _) => "none was found",
                (Some(_), StatusCode::FORBIDDEN) => "this is none",
                (Some(_), _) => "does not know this one",
            };
            bail!("the agent at http://{address} wants {role}, and {found}: set {variable} to one");
        }
        Ok(Answer { status, body, request: format!("{method} {path}"), address })
    }

    async fn ask(&self, method: &Method, path: &str) -> Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(self.address);
        let stream = stream.await.context("start it, or say where it listens with --agent ADDR:PORT")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| anyhow!("{error}"))?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(connection);
        tokio::select! {
            answer = answer => answer,
            ended = &mut connection => {
                ended?;
                bail!("the connection was closed")
            }
        }
    }
}

/// Where the agent listens, as who asks gets there.
fn address(config: &Config, whom: &Whom) -> Result<SocketAddr> {
    let listen = || config.http.listen.first().copied();
    let mut address = whom.agent.or_else(listen).context("http.listen has no address")?;
    if address.port() == 0 {
        bail!(
            "the agent takes any free port (http.listen is {address}): say which with --agent ADDR:PORT, as \
             the first line of its output does"
        );
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

/// What an agent answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Bytes,
    request: String,
    address: SocketAddr,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// It is none, or of another shape.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let read = serde_json::from_slice(&self.body);
        read.with_context(|| {
            format!("the answer of the agent is not that of {} of this version", self.request)
        })
    }

    /// The error of an answer that nobody waits for.
    pub(super) fn unexpected(&self) -> anyhow::Error {
        let Self { status, body, request, address } = self;
        let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
        anyhow!("the agent at http://{address} answers {status} to {request}: {}", text.escape_debug())
    }
}

/// The token that an agent made for itself is shown to nobody else: while the agent is down, anybody may listen at its
/// port.
fn belongs_to_a_running_agent(data_dir: &Path) -> Result<()> {
    if store::writer(&app::store_file(data_dir)).is_none() {
        bail!(
            "no agent runs with the data directory {}: start it, say --data-dir where it has another one, or set \
             TWARGA_ADMIN_TOKEN",
            data_dir.display()
        );
    }
    Ok(())
}

/// A text as one part of a path (RFC 3986, section 2.1).
pub(super) fn path_part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_part_of_a_path() {
        assert_eq!(path_part("host-cpu_2.a~"), "host-cpu_2.a~");
        assert_eq!(path_part("a b/../?\u{e9}%"), "a%20b%2F..%2F%3F%C3%A9%25");
    }
}
