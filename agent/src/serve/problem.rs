//! Errors as clients get them: FastAPI's `{"detail": …}`, or RFC 9457 for those who ask for it.

use hyper::{
    HeaderMap, StatusCode,
    header::{ACCEPT, ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::time::Duration;
use warp::reply::Response;

/// The media type of RFC 9457.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What was wrong with one parameter, as FastAPI says it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Invalid {
    /// A word for programs: `missing`, `int_parsing` …
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// Where: `["query", "limit"]`.
    pub(super) loc: [String; 2],
    /// For people.
    pub(super) msg: String,
    /// What was given; `null` for nothing.
    pub(super) input: Option<String>,
    /// The limits that were broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ctx: Option<Value>,
}

/// What the body says.
#[derive(Clone, Debug, PartialEq)]
enum Detail {
    Text(String),
    Invalid(Vec<Invalid>),
}

impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Invalid(list) => list.serialize(serializer),
        }
    }
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ApiError {
    status: StatusCode,
    detail: Detail,
    /// Of status 405.
    allow: Option<&'static str>,
    /// Of status 401.
    challenge: bool,
    /// Of status 503.
    retry_after: Option<Duration>,
    /// More members of the body.
    more: Map<String, Value>,
}

/// The body as FastAPI writes it.
#[derive(Serialize)]
struct Plain<'a> {
    detail: &'a Detail,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

/// The body as RFC 9457 has it.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [Invalid]>,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl ApiError {
    /// An error of this status and detail.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: Detail::Text(detail.into()),
            allow: None,
            challenge: false,
            retry_after: None,
            more: Map::new(),
        }
    }

    /// 404, as FastAPI says it of an unknown path.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    /// 405 with the methods that there are.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed") }
    }

    /// 401 with a challenge.
    pub(super) fn unauthorized(detail: &str) -> Self {
        Self { challenge: true, ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// 422 with all that was wrong.
    pub(super) fn invalid(list: Vec<Invalid>) -> Self {
        let detail = Detail::Invalid(list);
        Self { detail, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "") }
    }

    /// 503 that asks to come again.
    pub(super) fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// 503: nothing was collected yet.
    pub(super) fn nothing_collected() -> Self {
        Self::unavailable("No metrics collected yet", Duration::from_secs(1))
    }

    /// 500; the cause goes to the log, not to the client.
    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        super::log::internal(&cause);
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
    }

    /// Adds a member to the body.
    #[must_use]
    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.into(), value);
        self
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The media type and the body, as the client prefers them.
    pub(super) fn body(&self, accept_problem: bool) -> (&'static str, Vec<u8>) {
        let written = if accept_problem {
            self.problem()
        } else {
            serde_json::to_vec(&Plain { detail: &self.detail, more: &self.more })
        };
        let body = written.expect("texts, numbers and maps with text keys can always be written as JSON");
        (if accept_problem { PROBLEM_JSON } else { "application/json" }, body)
    }

    fn problem(&self) -> serde_json::Result<Vec<u8>> {
        let (detail, errors) = match &self.detail {
            Detail::Text(text) => (text.clone(), None),
            Detail::Invalid(list) => {
                let lines: Vec<String> =
                    list.iter().map(|one| format!("{}: {}", one.loc.join("."), one.msg)).collect();
                (lines.join("; "), Some(list.as_slice()))
            }
        };
        serde_json::to_vec(&Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &detail,
            errors,
            more: &self.more,
        })
    }

    /// The headers that belong to the error.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
    }

    /// For the way out through warp: the error travels as an extension, because only the gate knows what the client
    /// prefers.
    pub(super) fn carried(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

/// Whether the client asks for RFC 9457.
pub(super) fn accepts_problem(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let refused = parts.any(|parameter| {
                parameter.split_once('=').is_some_and(|(key, q)| {
                    key.trim().eq_ignore_ascii_case("q") && q.trim().parse() == Ok(0.0)
                })
            });
            media.eq_ignore_ascii_case(PROBLEM_JSON) && !refused
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &str) -> bool {
        accepts_problem(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(value).unwrap())]))
    }

    #[test]
    fn problem_json_is_given_to_those_who_name_it() {
        assert!(accepts("application/problem+json"));
        assert!(accepts("application/json, Application/Problem+JSON;q=0.5"));
        assert!(!accepts("application/problem+json;q=0"));
        assert!(!accepts("*/*"));
        assert!(!accepts(""));
    }

    #[test]
    fn problems_carry_what_was_wrong() {
        let error = ApiError::invalid(vec![Invalid {
            kind: "missing",
            loc: ["query".into(), "metric_name".into()],
            msg: "Field required".into(),
            input: None,
            ctx: None,
        }]);
        let (media, body) = error.body(true);
        assert_eq!(media, PROBLEM_JSON);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["status"], 422);
        assert_eq!(body["title"], "Unprocessable Entity");
        assert_eq!(body["detail"], "query.metric_name: Field required");
        assert_eq!(body["errors"][0]["type"], "missing");
        let (media, body) = error.body(false);
        assert_eq!(media, "application/json");
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"detail":[{"type":"missing","loc":["query","metric_name"],"msg":"Field required","input":null}]}"#
        );
    }
}
