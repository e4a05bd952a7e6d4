//! Asks a running agent over HTTP.

use crate::{app, config::Config, serve};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of an answer.
const LARGEST: usize = 64 << 20;

/// Where an agent answers, and with which token it is asked.
pub(super) struct Api {
    address: SocketAddr,
    token: Option<String>,
}

impl Api {
    /// The agent of this configuration, or the one that listens at `address`.
    ///
    /// # Errors
    /// The configuration does not say where.
    pub(super) fn new(config: &Config, address: Option<SocketAddr>) -> Result<Self> {
        let listen = || config.http.listen.first().copied();
        let mut address = address.or_else(listen).context("http.listen has no address")?;
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
        Ok(Self { address, token: serve::client_token(&app::token_sources(config)) })
    }

    /// Asks with GET and gives the body.
    ///
    /// # Errors
    /// Nobody answers, or with something else than 200; what to do.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes> {
        let address = self.address;
        let answer = timeout(PATIENCE, self.ask(path)).await;
        let answer = answer.map_err(|_| anyhow!("not within {} s", PATIENCE.as_secs())).flatten();
        let (status, body) = answer.with_context(|| format!("no answer of an agent at http://{address}"))?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => bail!(
                "the agent at http://{address} wants a user token, and {}: set TWARGA_USER_TOKEN to one",
                if self.token.is_some() { "does not know this one" } else { "none was found" }
            ),
            other => {
                let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
                bail!("the agent at http://{address} answers {other} to GET {path}: {}", text.escape_debug())
            }
        }
    }

    async fn ask(&self, path: &str) -> Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(self.address);
        let stream = stream.await.context("start it, or say where it listens with --agent ADDR:PORT")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::get(path).header(header::HOST, self.address.to_string());
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
