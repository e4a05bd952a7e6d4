//! No client may have more than its share: of bytes, of time, of connections.

use super::*;
use serde_json::json;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(60);
const COLLECT: &str = "/api/metrics/collect";

fn with(change: impl FnOnce(&mut Limits)) -> Running {
    let mut setup = Setup::default();
    change(&mut setup.limits);
    Running::start(setup)
}

#[test]
fn long_targets() {
    let server = Running::usual();
    let target = |length: usize| format!("/-/healthy?{}", "x".repeat(length - "/-/healthy?".len()));
    assert_eq!(server.get(&target(8192)).status, 200);
    for length in [8193, 60_000] {
        let answer = server.get(&target(length));
        assert_eq!((answer.status, answer.json()), (414, json!({"detail": "URI Too Long"})));
    }
    assert_eq!(server.get(&target(200_000)).status, 431);
    assert_eq!(server.get("/-/healthy").status, 200);
}

#[test]
fn large_heads() {
    let server = Running::usual();
    let value = "x".repeat(100_000);
    assert_eq!(server.ask("GET", "/-/healthy", &[("X-Large", &value)]).status, 431);
    let many = [("X-Many", "1"); 200];
    assert_eq!(server.ask("GET", "/-/healthy", &many).status, 431);
}

#[test]
fn large_bodies() {
    let server = Running::usual();
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        let mut connection = server.connect();
        connection.send(head("POST", COLLECT, &[&[AS_ADMIN], headers].concat()));
        connection.send(body);
        connection.answer()
    };
    let chunk = |length: usize| {
        [format!("{length:x}\r\n").into_bytes(), vec![b'x'; length], b"\r\n".to_vec()].concat()
    };
    let end = b"0\r\n\r\n".to_vec();
    let chunked = [("Transfer-Encoding", "chunked")];
    assert_eq!(post(&[("Content-Length", "65536")], &[b'x'; 65536]).status, 200);
    assert_eq!(post(&[("Content-Length", "65537")], &[b'x'; 65537]).status, 413);
    assert_eq!(post(&[("Content-Length", "900000")], &[b'x'; 900_000]).status, 413);
    assert_eq!(post(&chunked, &[chunk(65536), end.clone()].concat()).status, 200);
    assert_eq!(post(&chunked, &[chunk(65536), chunk(1), end].concat()).status, 413);
    let endless = post(&chunked, &chunk(600_000));
    assert_eq!((endless.status, endless.json()), (413, json!({"detail": "Payload Too Large"})));
    assert_eq!(post(&[("Content-Length", "99999999999"), ("Expect", "100-continue")], b"").status, 413);
    assert_eq!(post(&chunked, b"this is no chunk\r\n").status, 400);
    let mut asks = server.connect();
    asks.send(head("POST", COLLECT, &[AS_ADMIN, ("Content-Length", "2"), ("Expect", "100-continue")]));
    assert_eq!(asks.try_answer(false).unwrap().status, 100);
    asks.send("{}");
    assert_eq!(asks.answer().status, 200);
}

#[test]
fn a_body_is_looked_at_only_after_the_token() {
    let server = Running::usual();
    let answer = server.ask("POST", COLLECT, &[("Content-Length", "99999999999")]);
    assert_eq!(answer.status, 401);
    assert!(server.fake.0.collections.lock().unwrap().is_empty());
}

#[test]
fn slow_heads() {
    let server = with(|limits| limits.head = SHORT);
    let mut silent = server.connect();
    let mut partial = server.connect();
    partial.send("GET /-/healthy HTTP/1.1\r\nHost: loc");
    let mut idle = server.connect();
    idle.send(head("GET", "/-/healthy", &[]));
    assert_eq!(idle.answer().status, 200);
    for connection in [&mut silent, &mut partial, &mut idle] {
        assert_eq!(connection.until_closed(), b"");
    }
}

#[test]
fn slow_bodies() {
    let server = with(|limits| limits.body = SHORT);
    let mut connection = server.connect();
    connection.send(head("POST", COLLECT, &[AS_ADMIN, ("Content-Length", "10")]));
    connection.send("12345");
    let answer = connection.answer();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert_eq!(connection.until_closed(), b"");
    assert!(server.fake.0.collections.lock().unwrap().is_empty());
}

#[test]
fn slow_answers() {
    let server = with(|limits| limits.request = SHORT);
    for (method, target) in
        [("GET", "/api/metrics/host/history?metric_name=slow"), ("POST", "/api/plugins/hangs/collect")]
    {
        let answer = server.ask(method, target, &[AS_ADMIN]);
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json(), json!({"detail": "The answer took too long"}));
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    assert_eq!(server.get("/api/metrics/host").status, 200);
}

#[test]
fn given_up_readers_still_count() {
    let server = with(|limits| {
        limits.request = SHORT;
        limits.readers = 1;
    });
    let slow = "/api/metrics/host/history?metric_name=slow";
    assert_eq!(server.get(slow).status, 503);
    assert_eq!(server.get(slow).status, 503);
    // the first one still holds the only place: the second one never began
    assert_eq!(server.fake.0.queries.lock().unwrap().len(), 1);
    assert_eq!(server.get("/api/metrics/host").status, 200);
    server.fake.0.release();
    eventually("the place is free again", || server.get("/api/events").status == 200);
}

#[test]
fn too_many_connections() {
    let server = with(|limits| {
        limits.connections = 2;
        limits.refusals = 1;
        limits.refusal = LONG;
        limits.head = LONG;
    });
    let mut served = [server.connect(), server.connect()];
    for connection in &mut served {
        connection.send(head("GET", "/-/healthy", &[]));
        assert_eq!(connection.answer().status, 200);
    }
    let mut refused = server.connect();
    refused.send(head("GET", "/-/healthy", &[]));
    let answer = refused.answer();
    assert_eq!((answer.status, answer.json()), (503, json!({"detail": "Too many connections"})));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(refused.until_closed(), b"");
    // as long as that one stays, there is not even a 503 for the next
    let mut closed = server.connect();
    closed.send(head("GET", "/-/healthy", &[]));
    assert_eq!(closed.until_closed(), b"");
    drop(refused);
    let [mut kept, left] = served;
    kept.send(head("GET", "/-/healthy", &[]));
    assert_eq!(kept.answer().status, 200);
    drop(left);
    eventually("a place becomes free", || {
        let mut connection = server.connect();
        connection.send(head("GET", "/-/healthy", &[]));
        connection.try_answer(true).is_some_and(|answer| answer.status == 200)
    });
}

const LARGE: &str = "/api/metrics/host/history?metric_name=large&limit=200000";

#[test]
fn clients_that_take_nothing() {
    let server = with(|limits| {
        limits.stall = SHORT;
        limits.large_answers = 1;
    });
    let mut stalled = server.connect();
    stalled.send(head("GET", LARGE, &[]));
    eventually("the question arrives", || !server.fake.0.queries.lock().unwrap().is_empty());
    // the next large answer needs what the stalled one holds
    assert_eq!(server.get(LARGE).json()["count"], 200_000);
    assert!(stalled.try_answer(true).is_none(), "the stalled client was given up");
}

#[test]
fn large_answers_wait_for_their_turn() {
    let server = with(|limits| {
        limits.stall = LONG;
        limits.large_answers = 1;
    });
    let begun =
        || server.fake.0.queries.lock().unwrap().iter().filter(|query| query.metric == "large").count();
    let mut first = server.connect();
    first.send(head("GET", LARGE, &[]));
    // the head is there, the body is not taken: most of it is still in the server
    assert_eq!(first.try_answer(false).unwrap().status, 200);
    let mut second = server.connect();
    second.send(head("GET", LARGE, &[]));
    for _ in 0..5 {
        assert_eq!(server.get("/api/metrics/host/history?metric_name=host_load1&limit=2500").status, 200);
    }
    assert_eq!(begun(), 1);
    drop(first);
    assert_eq!(second.answer().json()["count"], 200_000);
    assert_eq!(begun(), 2);
}

#[test]
fn clients_that_take_for_ever() {
    let server = with(|limits| limits.delivery = Duration::ZERO);
    let mut connection = server.connect();
    connection.send(head("GET", LARGE, &[]));
    assert!(connection.try_answer(true).is_none());
    assert_eq!(server.get("/api/metrics/host").status, 200);
}
