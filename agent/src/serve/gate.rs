//! What every request passes on its way to warp and every answer on its way back.

use super::{
    auth::{Access, Need},
    limits::Limits,
    log,
    origin::Hosts,
    outgoing::{Hold, Outgoing},
    problem::{ApiError, accepts_problem},
    table::{self, Found},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue, X_CONTENT_TYPE_OPTIONS,
    },
    service::Service,
};
use hyper_util::service::TowerToHyperService;
use std::{convert::Infallible, future::Future, net::IpAddr, pin::Pin, time::Duration};
use tokio::time::timeout;
use warp::{filters::BoxedFilter, reply::Response as WarpResponse};

/// The most bytes of a body too large that are read and thrown away, so that the client gets to read the 413 instead of
/// a reset connection.
const DISCARDED_BYTES: usize = 1024 * 1024;
/// And for how long.
const DISCARDING: Duration = Duration::from_secs(1);

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) peer: IpAddr,
    pub(super) local: IpAddr,
}

type Dispatch =
    dyn Fn(Request<Full<Bytes>>) -> Pin<Box<dyn Future<Output = WarpResponse> + Send>> + Send + Sync;

/// What every request passes.
pub(super) struct Gate {
    access: Access,
    hosts: Hosts,
    limits: Limits,
    routes: Box<Dispatch>,
}

impl Gate {
    pub(super) fn new(
        access: Access,
        hosts: Hosts,
        limits: Limits,
        routes: BoxedFilter<(WarpResponse,)>,
    ) -> Self {
        let service = TowerToHyperService::new(warp::service(routes));
        let routes = Box::new(move |request| {
            let answer = service.call(request);
            let answer = async move {
                let Ok(answer): Result<WarpResponse, Infallible> = answer.await;
                answer
            };
            Box::pin(answer) as Pin<Box<dyn Future<Output = WarpResponse> + Send>>
        });
        Self { access, hosts, limits, routes }
    }

    /// Answers a request, whatever it is.
    pub(super) async fn answer(&self, request: Request<Incoming>, ends: Ends) -> Response<Outgoing> {
        let method = request.method().clone();
        let path: String = request.uri().path().chars().take(200).collect();
        let accept_problem = accepts_problem(request.headers());
        let answer = match timeout(self.limits.request, self.pass(request, ends)).await {
            Ok(answer) => answer,
            Err(_) => Err(ApiError::unavailable("The answer took too long", Duration::from_secs(5))),
        };
        let response = match answer {
            Ok(response) => finish(response, accept_problem).await,
            Err(error) => failure(&error, accept_problem),
        };
        let status = response.status();
        match status.as_u16() {
            // being asked before the agent is up is no failure
            503 if path == "/-/ready" => {}
            500.. => log::failed(status.as_u16(), method.as_str(), &path, ends.peer),
            401 | 403 => log::refused(status.as_u16(), method.as_str(), &path, ends.peer),
            code => tracing::debug!(status = code, %method, path, peer = %ends.peer, "answered"),
        }
        response
    }

    /// All checks in their order, and the routes.
    async fn pass(&self, request: Request<Incoming>, ends: Ends) -> Result<WarpResponse, ApiError> {
        let (mut head, body) = request.into_parts();
        let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
        let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if authority + target > self.limits.target_bytes {
            return Err(ApiError::new(StatusCode::URI_TOO_LONG, "URI Too Long"));
        }
        self.hosts.check_host(&head.uri, &head.headers, ends.local)?;
        let need = match table::find(&head.method, head.uri.path()) {
            Found::Route(need) => need,
            Found::OtherMethod(allow) => return Err(ApiError::method_not_allowed(allow)),
            Found::Nothing => return Err(ApiError::not_found()),
        };
        self.access.check(need, &head.headers, ends.peer)?;
        if need == Need::Admin {
            self.hosts.check_origin(&head.headers)?;
        }
        let body = self.read_body(body, &head.headers).await?;
        // hyper remembers what was asked: of an answer to HEAD it sends the head alone
        if head.method == Method::HEAD {
            head.method = Method::GET;
        }
        Ok((self.routes)(Request::from_parts(head, Full::new(body))).await)
    }

    /// The whole body, within limits.
    async fn read_body(&self, mut body: Incoming, headers: &HeaderMap) -> Result<Bytes, ApiError> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let limit = self.limits.body_bytes;
        let too_large = || ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large");
        if body.size_hint().lower() > limit as u64 {
            // a client that asks first whether it may send need not send
            if !headers.contains_key(EXPECT) {
                discard(&mut body).await;
            }
            return Err(too_large());
        }
        match timeout(self.limits.body, Limited::new(&mut body, limit).collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                discard(&mut body).await;
                Err(too_large())
            }
            Ok(Err(_)) => Err(ApiError::new(StatusCode::BAD_REQUEST, "The body is malformed")),
            Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "The body took too long")),
        }
    }
}

/// Reads some of a body and throws it away.
async fn discard(body: &mut Incoming) {
    let reading = async {
        let mut left = DISCARDED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { break };
            left = rest;
        }
    };
    let _ = timeout(DISCARDING, reading).await;
}

/// Turns warp's answer into ours.
async fn finish(response: WarpResponse, accept_problem: bool) -> Response<Outgoing> {
    let (mut parts, body) = response.into_parts();
    if let Some(error) = parts.extensions.remove::<ApiError>() {
        return failure(&error, accept_problem);
    }
    let hold = parts.extensions.remove::<Hold>();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return failure(&ApiError::internal(error), accept_problem),
    };
    let mut response = Response::new(Outgoing::new(bytes, hold));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    with_common_headers(response)
}

/// The answer of an error.
fn failure(error: &ApiError, accept_problem: bool) -> Response<Outgoing> {
    let (media, body) = error.body(accept_problem);
    let mut response = Response::new(Outgoing::new(body.into(), None));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    error.add_headers(headers);
    // what is left of such a request would be read as the next one
    if matches!(error.status().as_u16(), 400 | 408 | 413 | 414) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    with_common_headers(response)
}

fn with_common_headers(mut response: Response<Outgoing>) -> Response<Outgoing> {
    let length = response.body().size_hint().lower();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
