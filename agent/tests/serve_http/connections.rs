//! Connections: kept, pipelined, broken, of both address families.

use super::*;
use proptest::prelude::*;

#[test]
fn are_kept() {
    let server = Running::usual();
    let mut connection = server.connect();
    for _ in 0..3 {
        connection.send(head("GET", "/api/metrics/host", &[]));
        assert_eq!(connection.answer().status, 200);
        connection.send(head("GET", "/api/nothing", &[]));
        assert_eq!(connection.answer().status, 404);
    }
    connection.send(head("GET", "/-/healthy", &[("Connection", "close")]));
    assert_eq!(connection.answer().status, 200);
    assert_eq!(connection.until_closed(), b"");
    let mut old = server.connect();
    old.send("GET /-/healthy HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert_eq!(old.answer().status, 200);
    assert_eq!(old.until_closed(), b"");
}

#[test]
fn may_be_pipelined() {
    let server = Running::usual();
    let mut connection = server.connect();
    let requests = [
        head("GET", "/-/healthy", &[]),
        head("HEAD", "/-/healthy", &[]),
        head("POST", "/api/metrics/collect", &[AS_ADMIN, ("Content-Length", "2")]) + "{}",
        head("GET", "/api/nothing", &[]),
        head("GET", "/api/metrics/host", &[]),
    ];
    connection.send(requests.concat());
    assert_eq!(connection.answer().text(), r#"{"status":"ok"}"#);
    assert_eq!(connection.answer_to_head().header("content-length"), Some("15"));
    assert_eq!(connection.answer().json()["success"], true);
    assert_eq!(connection.answer().status, 404);
    assert_eq!(connection.answer().json()["cpu_percent"], 15.0);
}

#[test]
fn may_bring_a_request_byte_by_byte() {
    let server = Running::usual();
    let mut connection = server.connect();
    for byte in head("GET", "/-/healthy", &[]).bytes() {
        connection.send([byte]);
    }
    assert_eq!(connection.answer().status, 200);
}

#[test]
fn that_break_off_leave_nothing_behind() {
    let server =
        Running::start(Setup { limits: Limits { connections: 3, ..Limits::default() }, ..Setup::default() });
    let requests = [
        "GET /-/hea".to_owned(),
        head("GET", "/api/metrics/host", &[]),
        head("POST", "/api/metrics/collect", &[AS_ADMIN, ("Content-Length", "9")]) + "half",
    ];
    for request in requests.iter().cycle().take(12) {
        let mut connection = server.connect();
        connection.send(request);
        connection.end();
        drop(connection);
    }
    eventually("all places are free again", || {
        let mut three = [server.connect(), server.connect(), server.connect()];
        three.iter_mut().all(|connection| {
            connection.send(head("GET", "/-/healthy", &[]));
            connection.try_answer(true).is_some_and(|answer| answer.status == 200)
        })
    });
}

#[test]
fn that_speak_something_else_are_closed() {
    let server = Running::usual();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET /-/healthy\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /api/metrics/collect HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ] {
        let mut connection = server.connect();
        connection.send(bytes);
        connection.end();
        let answer = connection.until_closed();
        let refused =
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400") || answer.starts_with(b"HTTP/1.0 400");
        assert!(refused, "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.get("/-/healthy").status, 200);
}

#[test]
fn survive_any_bytes() {
    let server = Running::usual();
    let line = "(GET|HEAD|POST|.{0,4}) (/-/healthy|/api/events\\?limit=1|\\PC{0,20}) HTTP/1\\.[01]";
    let field = "(Host|Content-Length|Transfer-Encoding|Expect|Connection|\\PC{0,5}): (localhost|chunked|5|\\PC{0,9})";
    let request = (line, prop::collection::vec(field, 0..4), prop::collection::vec(any::<u8>(), 0..40));
    proptest!(ProptestConfig::with_cases(200), |((line, fields, body) in request)| {
        let mut connection = server.connect();
        connection.send(format!("{line}\r\n{}\r\n\r\n", fields.join("\r\n")));
        connection.send(&body);
        connection.end();
        connection.until_closed();
    });
    assert_eq!(server.get("/-/healthy").status, 200);
}

#[test]
fn of_several_addresses_and_both_families() {
    let v4 = SocketAddr::from(([127, 0, 0, 1], 0));
    let v6: SocketAddr = "[::1]:0".parse().unwrap();
    let has_v6 = std::net::TcpListener::bind(v6).is_ok();
    let listen = if has_v6 { vec![v4, v6] } else { vec![v4, v4] };
    let server = Running::start(Setup { listen, ..Setup::default() });
    assert_eq!(server.addresses.len(), 2);
    for address in &server.addresses {
        assert_ne!(address.port(), 0);
        let mut connection = Connection::to(*address);
        connection.send(format!("GET /api/metrics/host HTTP/1.1\r\nHost: {address}\r\n\r\n"));
        assert_eq!(connection.answer().status, 200, "{address}");
    }
}

#[test]
fn of_an_address_in_use_fail_with_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(Listeners::bind(&[address])).unwrap_err();
    assert!(error.to_string().starts_with(&format!("can't listen on {address}: ")), "{error}");
    assert!(runtime.block_on(Listeners::bind(&[])).is_err());
}
