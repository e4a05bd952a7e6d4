//! Which paths there are, with which methods, for whom. The gate asks it before warp sees a request, so that 404, 405
//! and 401 come in this order, whatever the handlers do.

use super::auth::Need;
use hyper::Method;

/// A method of a path.
pub(super) struct Entry {
    /// `GET` stands for `HEAD` too.
    pub(super) method: Method,
    /// The segments of the path; `{}` stands for one of any value but the empty one.
    pub(super) path: &'static str,
    /// Who may call it.
    pub(super) need: Need,
}

const fn get(path: &'static str, need: Need) -> Entry {
    Entry { method: Method::GET, path, need }
}

const fn post(path: &'static str) -> Entry {
    Entry { method: Method::POST, path, need: Need::Admin }
}

/// Every route.
pub(super) const ROUTES: &[Entry] = &[
    get("/api/metrics", Need::User),
    get("/api/metrics/host", Need::User),
    get("/api/metrics/host/history", Need::User),
    get("/api/metrics/vm/{}", Need::User),
    get("/api/metrics/vm/{}/history", Need::User),
    get("/api/metrics/alerts", Need::User),
    post("/api/metrics/collect"),
    Entry { method: Method::DELETE, path: "/api/metrics/cleanup", need: Need::Admin },
    get("/api/vms", Need::User),
    get("/api/events", Need::User),
    get("/api/plugins", Need::User),
    post("/api/plugins/{}/collect"),
    post("/api/plugins/{}/enable"),
    post("/api/plugins/{}/disable"),
    post("/api/plugins/{}/restart"),
    get("/-/healthy", Need::Open),
    get("/-/ready", Need::Open),
    post("/-/reload"),
];

/// What the table says of a request. Each path has one method so far (`HEAD` beside `GET`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is such a route.
    Route(Need),
    /// There is the path, with these methods.
    OtherMethod(&'static str),
    /// There is no such path.
    Nothing,
}

/// Looks a request up.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let Some(entry) = ROUTES.iter().find(|entry| matches(entry.path, path)) else { return Found::Nothing };
    if entry.method == *method || (entry.method == Method::GET && *method == Method::HEAD) {
        return Found::Route(entry.need);
    }
    Found::OtherMethod(match entry.method {
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "GET, HEAD",
    })
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("{}"), Some(segment)) if !segment.is_empty() => {}
            (Some(literal), Some(segment)) if literal == segment => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn lookups() {
        for (method, path, expected) in [
            (Method::GET, "/api/metrics/host", Found::Route(Need::User)),
            (Method::HEAD, "/api/metrics/vm/7/history", Found::Route(Need::User)),
            (Method::HEAD, "/-/healthy", Found::Route(Need::Open)),
            (Method::HEAD, "/api/metrics/collect", Found::OtherMethod("POST")),
            (Method::GET, "/api/metrics/cleanup", Found::OtherMethod("DELETE")),
            (Method::OPTIONS, "/api/metrics/host", Found::OtherMethod("GET, HEAD")),
            (Method::GET, "/api/metrics/host/", Found::Nothing),
            (Method::GET, "/api/metrics/vm//history", Found::Nothing),
            (Method::GET, "//api/metrics/host", Found::Nothing),
            (Method::GET, "/api/metrics/vm/{}/other", Found::Nothing),
            (Method::GET, "", Found::Nothing),
            (Method::OPTIONS, "*", Found::Nothing),
        ] {
            assert_eq!(find(&method, path), expected, "{method} {path}");
        }
    }

    /// The integration tests ask each documented route, so that table, warp and documentation can't part.
    #[test]
    fn what_is_documented_is_what_there_is() {
        let text = include_str!("../../../docs/http-api.md");
        let documented: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
            .map(|route| route.replace("{vm_id}", "{}").replace("{name}", "{}"))
            .collect();
        let routes: BTreeSet<String> =
            ROUTES.iter().map(|entry| format!("{} {}", entry.method, entry.path)).collect();
        assert_eq!(documented, routes);
        let listed = text.lines().filter(|line| line.starts_with("| [`")).count();
        assert_eq!(listed, routes.len());
    }

    #[test]
    fn a_path_has_one_entry() {
        let paths: BTreeSet<&str> = ROUTES.iter().map(|entry| entry.path).collect();
        assert_eq!(paths.len(), ROUTES.len());
    }
}
