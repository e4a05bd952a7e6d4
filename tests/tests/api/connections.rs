//! What a client may cost, and from where it may ask.

use super::*;
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    time::Instant,
};

/// Sends bytes as they are, and reads what comes.
fn raw(agent: &Agent, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(agent.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(bytes); // it may answer and close before all is sent
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn limits() {
    let agent = quiet_agent();
    let long = format!("/api/metrics/host/history?metric_name={}", "x".repeat(9000));
    assert_detail(&agent.get(&long), 414, "URI Too Long");
    assert_eq!(agent.get(&long[..8000]).status, 200);
    let admin = agent.admin_token();
    let body = |size: usize| agent.post(Some(&admin), "/api/plugins/synthetic/collect", &"x".repeat(size));
    assert_detail(&body(65_537), 413, "Payload Too Large");
    assert_eq!(body(65_536).status, 200);
    // without a token a large body is not even read
    assert_eq!(agent.post(None, "/api/metrics/collect", &"x".repeat(65_537)).status, 401);

    let head = "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let huge = format!("{head}X: {}\r\n\r\n", "y".repeat(100_000));
    assert!(raw(&agent, huge.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert!(raw(&agent, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(raw(&agent, format!("{head}\r\n").as_bytes()).starts_with("HTTP/1.1 200 "));
    assert_eq!(agent.get("/-/healthy").status, 200, "it is well after all that");
}

#[test]
fn connections_are_bounded_in_number_and_time() {
    let agent = quiet_agent();
    let began = Instant::now();
    let mut slow = TcpStream::connect(agent.address()).unwrap();
    slow.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: local").unwrap();
    let idle: Vec<TcpStream> = (0..255).map(|_| TcpStream::connect(agent.address()).unwrap()).collect();
    let answer = agent.get("/-/healthy");
    assert_detail(&answer, 503, "Too many connections");
    assert!(answer.header("retry-after").is_some());
    drop(idle);
    let end = Instant::now() + Duration::from_secs(5);
    while agent.get("/-/healthy").status != 200 {
        assert!(Instant::now() < end, "closed connections still count");
    }
    // a head that never ends
    slow.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut rest = Vec::new();
    let closed = slow.read_to_end(&mut rest);
    assert!(closed.is_ok() && began.elapsed() > Duration::from_secs(5), "{closed:?} {rest:?}");
}

#[test]
fn hosts_and_origins() {
    let agent = quiet_agent();
    let port = agent.address().port();
    let with_host = |host: &str| agent.send(&Request::new("GET", "/-/healthy").header("Host", host)).status;
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8000", "[::1]:99"] {
        assert_eq!(with_host(host), 200, "{host}");
    }
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "192.0.2.1"] {
        assert_eq!(with_host(host), 421, "{host}");
    }
    assert!(
        raw(&agent, b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 400 ")
    );
    let admin = agent.admin_token();
    let from = |origin: &str| {
        let request =
            Request::new("POST", "/api/metrics/collect").token(Some(&admin)).header("Origin", origin);
        agent.send(&request).status
    };
    assert_eq!(from(&format!("http://{}", agent.address())), 200);
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        assert_eq!(from(origin), 403, "{origin}");
    }
    assert!(agent.get("/api/plugins").header("access-control-allow-origin").is_none());

    let home = Home::new(&config("1h", &[], "[http]\nhosts = [\"monitor.example\"]"));
    let agent = home.start();
    let request = Request::new("GET", "/-/healthy").header("Host", "monitor.example");
    assert_eq!(agent.send(&request).status, 200);
    let mode = std::fs::metadata(agent.home().data()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
}
