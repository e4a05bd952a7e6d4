//! The end of the server.

use super::*;
use std::net::TcpStream;

const SLOW: &str = "/api/metrics/host/history?metric_name=slow";

#[test]
fn running_requests_end_and_nothing_new_begins() {
    let limits =
        Limits { grace: Duration::from_secs(60), head: Duration::from_secs(60), ..Limits::default() };
    let mut server = Running::start(Setup { limits, ..Setup::default() });
    let mut idle = server.connect();
    idle.send(head("GET", "/-/healthy", &[]));
    assert_eq!(idle.answer().status, 200);
    let mut silent = server.connect();
    let mut running = server.connect();
    running.send(head("GET", SLOW, &[]));
    server.fake.0.until_slow(1);
    server.begin_to_stop();
    assert_eq!(idle.until_closed(), b"");
    assert_eq!(silent.until_closed(), b"");
    let address = server.addresses[0];
    eventually("nobody listens any more", || TcpStream::connect(address).is_err());
    assert!(!server.has_stopped());
    server.fake.0.release();
    assert_eq!(running.answer().json()["count"], 1);
    assert_eq!(running.until_closed(), b"");
    eventually("the server ends", || server.has_stopped());
}

#[test]
fn what_does_not_end_is_closed() {
    let limits = Limits { grace: Duration::from_millis(100), ..Limits::default() };
    let mut server = Running::start(Setup { limits, ..Setup::default() });
    let mut running = server.connect();
    running.send(head("GET", SLOW, &[]));
    let mut half = server.connect();
    half.send("GET /-/heal");
    server.fake.0.until_slow(1);
    let start = Instant::now();
    server.begin_to_stop();
    assert_eq!(running.until_closed(), b"");
    assert_eq!(half.until_closed(), b"");
    eventually("the server ends", || server.has_stopped());
    assert!(start.elapsed() < Duration::from_secs(10));
}
