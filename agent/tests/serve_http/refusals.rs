//! What the server refuses, and in which words.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const HISTORY: &str = "/api/metrics/host/history";

#[test]
fn tokens() {
    let server = Running::start(Setup { user: Some(USER), ..Setup::default() });
    let host = "/api/metrics/host";
    for (method, target, headers, status, detail) in [
        ("GET", host, vec![], 401, "Not authenticated"),
        ("GET", host, vec![("Authorization", "Bearer wrong")], 401, "Could not validate credentials"),
        ("GET", host, vec![("Authorization", "Basic dTpw")], 401, "Not authenticated"),
        ("POST", "/api/metrics/collect", vec![AS_USER], 403, "Not enough permissions"),
        ("DELETE", "/api/metrics/cleanup?days=0", vec![], 401, "Not authenticated"),
        ("DELETE", "/api/metrics/cleanup?days=0", vec![AS_USER], 403, "Not enough permissions"),
        ("GET", "/api/metrics/vm/99", vec![], 401, "Not authenticated"),
        ("GET", "/api/metrics/vm/x", vec![], 401, "Not authenticated"),
        ("GET", HISTORY, vec![], 401, "Not authenticated"),
        ("GET", "/api/nothing", vec![], 404, "Not Found"),
        ("PUT", host, vec![], 405, "Method Not Allowed"),
    ] {
        let answer = server.ask(method, target, &headers);
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.json(), json!({ "detail": detail }));
        let challenge = (status == 401).then_some("Bearer");
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
    assert_eq!(server.ask("GET", host, &[AS_USER]).status, 200);
    assert_eq!(server.ask("GET", host, &[AS_ADMIN]).status, 200);
    assert_eq!(server.ask("POST", "/api/metrics/collect", &[AS_ADMIN]).status, 200);
    assert_eq!(*server.fake.0.days.lock().unwrap(), [0; 0]);
}

#[test]
fn reading_is_open_on_loopback_without_user_tokens() {
    let server = Running::usual();
    assert_eq!(server.get("/api/metrics/host").status, 200);
    assert_eq!(server.ask("POST", "/api/metrics/collect", &[]).status, 401);
    let wrong = server.ask("GET", "/api/metrics/host", &[("Authorization", "Bearer nobody-gave-me-this")]);
    assert_eq!(wrong.json()["detail"], "Could not validate credentials");
}

#[test]
fn paths_and_methods() {
    let server = Running::usual();
    for (method, target, status, allow) in [
        ("GET", "/", 404, None),
        ("GET", "/api/metrics/host/", 404, None),
        ("GET", "//api/metrics/host", 404, None),
        ("GET", "/api/metrics/%68ost", 404, None),
        ("GET", "/api/metrics/vm//history", 404, None),
        ("OPTIONS", "*", 404, None),
        ("POST", "/api/metrics/host", 405, Some("GET, HEAD")),
        ("OPTIONS", "/api/metrics/host", 405, Some("GET, HEAD")),
        ("BREW", "/api/metrics/host", 405, Some("GET, HEAD")),
        ("GET", "/api/metrics/collect", 405, Some("POST")),
        ("POST", "/api/metrics/cleanup", 405, Some("DELETE")),
    ] {
        let answer = server.ask(method, target, &[AS_ADMIN]);
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{method} {target}");
        assert!(answer.json()["detail"].is_string());
    }
    let mut connection = server.connect();
    connection.send("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(connection.answer().status, 404);
}

#[test]
fn machines_that_are_not() {
    let server = Running::usual();
    for target in ["/api/metrics/vm/99", "/api/metrics/vm/-1", "/api/metrics/vm/99999999999999999999"] {
        assert_eq!(server.get(target).json(), json!({"detail": "VM not found"}));
        let history = server.get(&format!("{target}/history?metric_name=vm_cpu_percent"));
        assert_eq!((history.status, history.json()), (404, json!({"detail": "VM not found"})));
    }
    let text = "Input should be a valid integer, unable to parse string as an integer";
    let wrong = json!({"type": "int_parsing", "loc": ["path", "vm_id"], "msg": text, "input": "abc"});
    let answer = server.get("/api/metrics/vm/abc");
    assert_eq!((answer.status, answer.json()), (422, json!({ "detail": [wrong] })));
    let answer = server.get("/api/metrics/vm/abc/history");
    assert_eq!(answer.json()["detail"][0], wrong);
    assert_eq!(answer.json()["detail"][1]["type"], "missing");
}

#[test]
fn parameters() {
    let server = Running::usual();
    let missing =
        json!({"type": "missing", "loc": ["query", "metric_name"], "msg": "Field required", "input": null});
    assert_eq!(server.get(HISTORY).json(), json!({ "detail": [missing] }));
    for (query, kind, place) in [
        ("limit=abc", "int_parsing", "limit"),
        ("limit=0", "greater_than_equal", "limit"),
        ("limit=-1", "greater_than_equal", "limit"),
        ("limit=200001", "less_than_equal", "limit"),
        ("from=yesterday", "datetime_parsing", "from"),
        ("to=", "datetime_parsing", "to"),
        ("from=2&to=1", "value_error", "from"),
        ("step=", "time_delta_parsing", "step"),
        ("step=-1", "time_delta_parsing", "step"),
        ("step=0", "time_delta_parsing", "step"),
        ("step=5y", "time_delta_parsing", "step"),
        ("step=60&agg=mean", "literal_error", "agg"),
        ("step=60&agg=p101", "literal_error", "agg"),
        ("agg=avg", "missing", "step"),
        ("label.device=", "value_error", "label.device"),
        ("label.device=~", "value_error", "label.device"),
        ("label.device=~(", "value_error", "label.device"),
        ("label.device=~a%29(b", "value_error", "label.device"),
        ("label.device!=~", "value_error", "label.device!"),
        ("label.device!~", "value_error", "label.device!~"),
        ("label.!=x", "value_error", "label.!"),
        ("x=%zz", "url_parsing", "x"),
        ("x=%ff", "url_parsing", "x"),
    ] {
        let answer = server.get(&format!("{HISTORY}?metric_name=host_load1&{query}"));
        assert_eq!(answer.status, 422, "{query}");
        let json = answer.json();
        assert_eq!(json["detail"][0]["type"], kind, "{query}");
        assert_eq!(json["detail"][0]["loc"], json!(["query", place]));
        assert_eq!(json["detail"].as_array().unwrap().len(), 1);
    }
    for days in ["0", "-1", "x", "36501"] {
        let answer = server.ask("DELETE", &format!("/api/metrics/cleanup?days={days}"), &[AS_ADMIN]);
        assert_eq!(answer.status, 422, "{days}");
    }
    assert!(server.fake.0.days.lock().unwrap().is_empty());
    for query in ["limit=0", "limit=1001", "severity=loud", "since=x", "cursor=x"] {
        assert_eq!(server.get(&format!("/api/events?{query}")).status, 422, "{query}");
    }
}

#[test]
fn series_that_must_be_told_apart() {
    let server = Running::usual();
    let answer = server.get(&format!("{HISTORY}?metric_name=many"));
    assert_eq!(answer.status, 422);
    let wrong = &answer.json()["detail"][0];
    assert_eq!(wrong["msg"], "Several series match; choose one by label.device (eth0, eth1)");
    assert_eq!(wrong["ctx"], json!({"labels": {"device": ["eth0", "eth1"]}}));
}

#[test]
fn steps_that_can_not_be_had() {
    let server = Running::usual();
    let refused = |query: &str| {
        let answer = server.get(&format!("{HISTORY}?metric_name={query}"));
        assert_eq!(answer.status, 422, "{query}");
        let wrong = answer.json()["detail"][0].take();
        (wrong["loc"][1].as_str().unwrap().to_owned(), wrong["msg"].as_str().unwrap().to_owned())
    };
    let (place, msg) = refused("gauge&step=60&agg=rate");
    assert_eq!(place, "agg");
    assert!(msg.contains("only a counter has a rate"), "{msg}");
    let (place, msg) = refused("long&step=1");
    assert_eq!(place, "step");
    assert!(
        msg.contains("more than 11000 steps of 1s") && msg.contains("use a step of 56s or more"),
        "{msg}"
    );
    let (place, msg) = refused("x&agg=avg");
    assert_eq!((place.as_str(), msg.as_str()), ("step", "Field required where 'agg' is given"));
    let (_, msg) = refused("x&label.a=~%28");
    assert_eq!(msg, "Value error, the pattern can't be used: unclosed group");
    let many: String = (0..17).map(|n| format!("&label.l{n}=~.")).collect();
    let (place, msg) = refused(&format!("x{many}"));
    assert_eq!((place.as_str(), msg.contains("at most 16")), ("label.", true), "{msg}");
}

#[test]
fn plugins_that_do_not_collect() {
    let server = Running::usual();
    let ask = |name: &str| {
        let answer = server.ask("POST", &format!("/api/plugins/{name}/collect"), &[AS_ADMIN]);
        (answer.status, answer.json()["detail"].as_str().unwrap().to_owned())
    };
    assert_eq!(ask("nobody"), (404, "Plugin not found".into()));
    assert_eq!(ask("%ff"), (404, "Plugin not found".into()));
    assert_eq!(ask("disabled"), (409, "The plugin is not running: disabled".into()));
    assert_eq!(ask("lost"), (500, "Internal Server Error".into()));
}

#[test]
fn faults_behind_are_hidden_and_survived() {
    let server = Running::usual();
    for metric in ["broken", "panics", "panics", "panics", "panics", "panics"] {
        let answer = server.get(&format!("{HISTORY}?metric_name={metric}"));
        assert_eq!(answer.status, 500);
        assert_eq!(answer.json(), json!({"detail": "Internal Server Error"}));
    }
    assert_eq!(server.get(&format!("{HISTORY}?metric_name=host_load1")).status, 200);
}

#[test]
fn hosts() {
    let server = Running::start(Setup { hosts: vec!["mon.example.org".into()], ..Setup::default() });
    let port = server.addresses[0].port();
    for (host, status) in [
        (format!("Host: 127.0.0.1:{port}\r\n"), 200),
        ("Host: localhost:1\r\n".into(), 200),
        ("Host: [::1]\r\n".into(), 200),
        ("Host: mon.example.org\r\n".into(), 200),
        ("Host: evil.example\r\n".into(), 421),
        (format!("Host: evil.example:{port}\r\n"), 421),
        (String::new(), 400),
        ("Host: localhost\r\nHost: localhost\r\n".into(), 400),
        ("Host: \r\n".into(), 400),
    ] {
        let mut connection = server.connect();
        connection.send(format!("GET /-/healthy HTTP/1.1\r\n{host}\r\n"));
        let answer = connection.answer();
        assert_eq!(answer.status, status, "{host}");
        assert_eq!(answer.json()["detail"].is_string(), status != 200);
    }
    let mut connection = server.connect();
    connection.send("GET http://evil.example/-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(connection.answer().status, 421);
}

#[test]
fn foreign_pages() {
    let server = Running::usual();
    let post = |origin| server.ask("POST", "/api/metrics/collect", &[AS_ADMIN, ("Origin", origin)]);
    assert_eq!(post("http://localhost").status, 200);
    for origin in ["http://evil.example", "http://localhost:9", "null"] {
        assert_eq!(post(origin).status, 403, "{origin}");
    }
    assert_eq!(server.ask("GET", "/api/metrics/host", &[("Origin", "http://evil.example")]).status, 200);
}

#[test]
fn problems() {
    let server = Running::usual();
    let accept = ("Accept", "application/problem+json");
    let answer = server.ask("GET", "/api/nothing", &[accept]);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(
        answer.json(),
        json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Not Found"})
    );
    let answer = server.ask("GET", HISTORY, &[accept]);
    let json = answer.json();
    assert_eq!((answer.status, &json["status"]), (422, &json!(422)));
    assert_eq!(json["detail"], "query.metric_name: Field required");
    assert_eq!(json["errors"][0]["type"], "missing");
    let answer = server.ask("POST", "/api/metrics/collect", &[accept]);
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    let fine = server.ask("GET", "/-/healthy", &[accept]);
    assert_eq!(fine.header("content-type"), Some("application/json"));
}

#[test]
fn any_query_gives_a_json_answer() {
    let server = Running::usual();
    let connection = std::cell::RefCell::new(server.connect());
    let target =
        prop::sample::select(vec![HISTORY, "/api/metrics/vm/1/history", "/api/events", "/api/metrics/vm/1"]);
    let key =
        "metric_name|limit|from|to|label\\.[a-z]{0,2}(!|!~|=~)?|step|agg|severity|cursor|since|[a-z%]{0,4}";
    let value = "host_load1|many|[0-9TZ:.-]{0,25}|[a-zA-Z0-9%+&=;/?~\\[\\]é⚠]{0,12}";
    let query = prop::collection::vec((key, value), 0..6);
    let strategy = (target, query, prop::bool::ANY);
    proptest!(ProptestConfig::with_cases(300), |((target, query, problem) in strategy)| {
        let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let query: String = query.join("&").bytes()
            .map(|byte| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02x}") })
            .collect();
        let accept = [("Accept", if problem { "application/problem+json" } else { "*/*" })];
        connection.borrow_mut().send(head("GET", &format!("{target}?{query}"), &accept));
        let answer = connection.borrow_mut().answer();
        prop_assert!(matches!(answer.status, 200 | 422), "{} {query}", answer.status);
        let json: Value = answer.json();
        prop_assert!(json.is_object());
        prop_assert_eq!(json["status"] == 422, problem && answer.status == 422);
    });
}
