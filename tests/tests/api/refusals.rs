//! What is not answered: without a token, by another method, with bad parameters, too early.

use super::*;
use rustix::process::Signal;
use twarga_tests::USER_TOKEN;

/// Every route: method, a path, and whether it is for admins; nothing where it is for all.
const ROUTES: [(&str, &str, Option<bool>); 14] = [
    ("GET", "/api/metrics", Some(false)),
    ("GET", "/api/metrics/host", Some(false)),
    ("GET", "/api/metrics/host/history?metric_name=host_load1", Some(false)),
    ("GET", "/api/metrics/vm/1", Some(false)),
    ("GET", "/api/metrics/vm/1/history?metric_name=vm_cpu_percent", Some(false)),
    ("GET", "/api/metrics/alerts", Some(false)),
    ("POST", "/api/metrics/collect", Some(true)),
    ("DELETE", "/api/metrics/cleanup", Some(true)),
    ("GET", "/api/vms", Some(false)),
    ("GET", "/api/events", Some(false)),
    ("GET", "/api/plugins", Some(false)),
    ("POST", "/api/plugins/host-cpu/collect", Some(true)),
    ("GET", "/-/healthy", None),
    ("GET", "/-/ready", None),
];

#[test]
fn nothing_collected_yet_is_503() {
    // collectors that never come back, one after the other: 25 ms each until somebody else takes the lead
    let tables: String = (0..60)
        .map(|n| format!("[plugins.hangs-{n}]\nplugin = \"faulty\"\nmode = \"in_process\"\nconfig = {{ mode = \"hang\" }}\n"))
        .collect();
    let mut agent = Home::new(&config("1h", &[], &tables)).plugin("faulty").start();
    for path in ["/api/metrics/host", "/api/metrics/alerts", "/api/metrics/vm/1"] {
        let answer = agent.get(path);
        assert_detail(&answer, 503, "No metrics collected yet");
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    let ready = agent.get_as(None, "/-/ready");
    assert_eq!((ready.status, ready.header("retry-after").is_some()), (503, true));
    assert_eq!(ready.json()["detail"], "Not ready yet");
    assert!(!ready.json()["waiting_for"].as_array().unwrap().is_empty());
    assert_eq!(agent.get_as(None, "/-/healthy").json(), json!({"status": "ok"}));
    agent.signal(Signal::TERM);
    assert!(agent.wait(Duration::from_secs(5)).success(), "{}", agent.home().log());
}

#[test]
fn authentication_comes_before_everything_else() {
    let agent = quiet_agent();
    for (method, path, need) in ROUTES {
        let send = |token| agent.send(&Request::new(method, path).token(token));
        let Some(admin) = need else {
            assert_eq!(send(None).status, 200, "{method} {path}");
            assert_eq!(send(Some("nonsense")).status, 200, "{method} {path}");
            continue;
        };
        for (token, detail) in
            [(None, "Not authenticated"), (Some("a-wrong-token-of-length"), "Could not validate credentials")]
        {
            let answer = send(token);
            assert_detail(&answer, 401, detail);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path}");
        }
        if admin {
            assert_detail(&send(Some(USER_TOKEN)), 403, "Not enough permissions");
        } else {
            // an admin may read too
            let answer = send(Some(&agent.admin_token()));
            assert!(matches!(answer.status, 200 | 404), "{method} {path}: {}", answer.text());
        }
    }
    // neither bad parameters nor missing machines are told to who has no token
    for path in [
        "/api/metrics/host/history",
        "/api/metrics/host/history?limit=x",
        "/api/metrics/vm/x",
        "/api/metrics/vm/99",
        "/api/metrics/vm/99/history",
    ] {
        assert_eq!(agent.get_as(None, path).status, 401, "{path}");
    }
    assert_eq!(agent.delete(None, "/api/metrics/cleanup?days=0").status, 401);
    assert_eq!(agent.delete(Some(USER_TOKEN), "/api/metrics/cleanup?days=0").status, 403);
    assert_eq!(agent.delete(Some(&agent.admin_token()), "/api/metrics/cleanup?days=0").status, 422);
    assert_eq!(agent.post(Some(USER_TOKEN), "/api/plugins/none/collect", "").status, 403);
    let basic = agent.send(&Request::new("GET", "/api/plugins").header("Authorization", "Basic YTpi"));
    assert_detail(&basic, 401, "Not authenticated");
}

#[test]
fn methods() {
    let agent = quiet_agent();
    let admin = agent.admin_token();
    for (method, path, _) in ROUTES {
        let allowed = if method == "GET" { "GET, HEAD" } else { method };
        for other in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            if other == method {
                continue;
            }
            let answer = agent.send(&Request::new(other, path).token(Some(&admin)));
            assert_detail(&answer, 405, "Method Not Allowed");
            assert_eq!(answer.header("allow"), Some(allowed), "{other} {path}");
        }
        let head = agent.send(&Request::new("HEAD", path).token(Some(&admin)));
        if method == "GET" {
            let get = agent.get(path);
            assert_eq!(head.status, get.status, "{path}");
            assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
            assert!(head.header("content-length").is_some(), "{path}");
        } else {
            assert_eq!((head.status, head.header("allow")), (405, Some(allowed)), "{path}");
        }
    }
    for path in
        ["/", "/api", "/api/", "/api/metrics/host/", "/api/metrics/nothing", "//api/vms", "/api/vms/1"]
    {
        assert_detail(&agent.get(path), 404, "Not Found");
    }
}

#[test]
fn bad_parameters() {
    let agent = quiet_agent();
    let history = "/api/metrics/host/history";
    let one = |kind: &str, place: &str| vec![(kind.to_string(), place.to_string())];
    for (query, expected) in [
        ("", one("missing", "query.metric_name")),
        ("?metric_name=x&limit=ten", one("int_parsing", "query.limit")),
        ("?metric_name=x&limit=", one("int_parsing", "query.limit")),
        ("?metric_name=x&limit=1.5", one("int_parsing", "query.limit")),
        ("?metric_name=x&limit=0", one("greater_than_equal", "query.limit")),
        ("?metric_name=x&limit=-1", one("greater_than_equal", "query.limit")),
        ("?metric_name=x&limit=200001", one("less_than_equal", "query.limit")),
        ("?metric_name=x&limit=99999999999999999999", one("less_than_equal", "query.limit")),
        ("?metric_name=x&from=yesterday", one("datetime_parsing", "query.from")),
        ("?metric_name=x&from=20&to=10", one("value_error", "query.from")),
        ("?metric_name=x&step=1x", one("time_delta_parsing", "query.step")),
        ("?metric_name=x&label.=1", one("value_error", "query.label.")),
        ("?metric_name=%ff", one("url_parsing", "query.metric_name")),
        (
            "?limit=0&from=x",
            [
                one("missing", "query.metric_name"),
                one("greater_than_equal", "query.limit"),
                one("datetime_parsing", "query.from"),
            ]
            .concat(),
        ),
    ] {
        let answer = agent.get(&format!("{history}{query}"));
        if query.contains("%ff") {
            assert!(invalid(&answer).iter().any(|(kind, _)| kind == "url_parsing"), "{}", answer.text());
        } else {
            assert_eq!(invalid(&answer), expected, "{query}");
        }
    }
    assert_eq!(agent.get(&format!("{history}?metric_name=x&limit=200000")).status, 200);
    let answer = agent.get(&format!("{history}?metric_name=x&limit=0")).json();
    let detail = &answer["detail"][0];
    assert_eq!(detail["loc"], json!(["query", "limit"]));
    assert_eq!(detail["input"], "0");
    assert_eq!(detail["ctx"], json!({"ge": 1}));

    assert_eq!(invalid(&agent.get("/api/metrics/vm/one")), one("int_parsing", "path.vm_id"));
    let both = invalid(&agent.get("/api/metrics/vm/one/history"));
    assert_eq!(both, [one("int_parsing", "path.vm_id"), one("missing", "query.metric_name")].concat());
    assert_eq!(invalid(&agent.get("/api/events?severity=bad")), one("literal_error", "query.severity"));
    assert_eq!(invalid(&agent.get("/api/events?limit=1001")), one("less_than_equal", "query.limit"));
    let cleanup =
        |query: &str| agent.delete(Some(&agent.admin_token()), &format!("/api/metrics/cleanup{query}"));
    assert_eq!(invalid(&cleanup("?days=0")), one("greater_than_equal", "query.days"));
    assert_eq!(invalid(&cleanup("?days=-1")), one("greater_than_equal", "query.days"));
    assert_eq!(invalid(&cleanup("?days=week")), one("int_parsing", "query.days"));
    assert_eq!(invalid(&cleanup("?days=36501")), one("less_than_equal", "query.days"));
}

#[test]
fn errors_as_problems() {
    let agent = quiet_agent();
    let problem = |method: &str, path: &str, token: Option<&str>| {
        let request = Request::new(method, path).token(token).header("Accept", "application/problem+json");
        let answer = agent.send(&request);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        let body = answer.json();
        assert_eq!(body["status"], answer.status, "{body}");
        body
    };
    let body = problem("GET", "/api/plugins", None);
    assert_eq!((&body["title"], &body["detail"]), (&json!("Unauthorized"), &json!("Not authenticated")));
    assert_eq!(body["type"], "about:blank");
    let body = problem("GET", "/api/metrics/host/history", Some(USER_TOKEN));
    assert_eq!(body["detail"], "query.metric_name: Field required");
    assert_eq!(body["errors"][0]["type"], "missing");
    assert_eq!(problem("GET", "/nowhere", Some(USER_TOKEN))["title"], "Not Found");
    assert_eq!(problem("PUT", "/api/vms", Some(USER_TOKEN))["status"], 405);
}

#[test]
fn reading_is_open_on_loopback_where_no_user_token_is_set() {
    let home = Home::new(&config("1h", &["synthetic"], "")).plugin("synthetic").without_user_token();
    let agent = home.start();
    assert_eq!(agent.get_as(None, "/api/plugins").status, 200);
    assert_eq!(agent.get("/api/plugins").status, 401, "a wrong token is refused there too");
    assert_eq!(agent.post(None, "/api/metrics/collect", "").status, 401);
    assert_eq!(agent.post(Some(&agent.admin_token()), "/api/metrics/collect", "").status, 200);
}
