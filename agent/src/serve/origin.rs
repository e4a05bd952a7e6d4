//! Whether a request was meant for this agent: `Host` against DNS rebinding, `Origin` against foreign web pages.

use super::problem::ApiError;
use hyper::{
    HeaderMap, StatusCode, Uri,
    header::{HOST, HeaderValue, ORIGIN},
    http::uri::Authority,
};
use std::net::IpAddr;

/// The names and addresses under which the agent is reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Hosts {
    /// Of the addresses listened on, and the configured names.
    pub(super) fn new(listen: impl IntoIterator<Item = IpAddr>, configured: &[String]) -> Self {
        let mut addresses: Vec<IpAddr> = listen.into_iter().map(|address| address.to_canonical()).collect();
        let mut names = vec!["localhost".to_owned()];
        for text in configured {
            match address(text) {
                Some(address) => addresses.push(address),
                None => names.push(plain(text)),
            }
        }
        Self { names, addresses }
    }

    /// Checks `Host`, and the authority of an absolute target. `local` is the connection's own end: a page of an
    /// attacker's has a name, so an address that was really connected to is no disguise.
    pub(super) fn check_host(&self, uri: &Uri, headers: &HeaderMap, local: IpAddr) -> Result<(), ApiError> {
        let bad = |detail| ApiError::new(StatusCode::BAD_REQUEST, detail);
        let mut all = headers.get_all(HOST).iter();
        let (Some(host), None) = (all.next(), all.next()) else {
            return Err(bad("Exactly one Host header is needed"));
        };
        let host = authority(host).ok_or_else(|| bad("The Host header is not a host"))?;
        for authority in [Some(&host), uri.authority()].into_iter().flatten() {
            if !self.knows(authority, local) {
                return Err(ApiError::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "This agent is not reached under this host; add the host to http.hosts",
                ));
            }
        }
        Ok(())
    }

    /// Checks that a request that changes something comes from no foreign web page.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let own = headers.get(HOST).and_then(authority);
        let same = headers.get_all(ORIGIN).iter().all(|origin| {
            let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
            let Some((scheme, Ok(origin))) = origin.map(|(scheme, rest)| (scheme, rest.parse::<Authority>()))
            else {
                return false;
            };
            // behind a proxy that rewrites Host the names configured for it still count
            own.as_ref().is_some_and(|own| same_place(own, &origin, scheme)) || self.is_configured(&origin)
        });
        if same { Ok(()) } else { Err(ApiError::new(StatusCode::FORBIDDEN, "Cross-origin request refused")) }
    }

    fn knows(&self, authority: &Authority, local: IpAddr) -> bool {
        match address(authority.host()) {
            Some(address) => {
                address.is_loopback() || address == local.to_canonical() || self.addresses.contains(&address)
            }
            None => self.names.contains(&plain(authority.host())),
        }
    }

    /// Whether the name is one of `http.hosts`; `localhost` is not, because another server on this machine is foreign.
    fn is_configured(&self, authority: &Authority) -> bool {
        self.names.iter().skip(1).any(|name| *name == plain(authority.host()))
    }
}

/// A host and perhaps a port.
fn authority(value: &HeaderValue) -> Option<Authority> {
    let authority: Authority = value.to_str().ok()?.trim().parse().ok()?;
    let text = authority.as_str();
    let port = text.get(authority.host().len()..)?;
    let port_is_number = matches!(port, "" | ":") || authority.port_u16().is_some();
    (!text.contains('@') && !authority.host().is_empty() && port_is_number).then_some(authority)
}

/// A name as it is compared: small letters, no final dot.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// An address, with or without brackets.
fn address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    inner.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn same_place(own: &Authority, origin: &Authority, scheme: &str) -> bool {
    let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    plain(own.host()) == plain(origin.host()) && port(own) == port(origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hosts() -> Hosts {
        let listen = ["127.0.0.1", "192.0.2.7"].map(|text| text.parse().unwrap());
        Hosts::new(listen, &["Mon.example.org".into(), "198.51.100.9".into()])
    }

    fn status(uri: &str, host: &[&str]) -> u16 {
        let headers = host.iter().map(|text| (HOST, HeaderValue::from_str(text).unwrap()));
        let mut map = HeaderMap::new();
        headers.for_each(|(key, value)| {
            map.append(key, value);
        });
        let local = "10.1.2.3".parse().unwrap();
        let checked = hosts().check_host(&uri.parse().unwrap(), &map, local);
        checked.map_or_else(|error| error.status().as_u16(), |()| 200)
    }

    #[test]
    fn who_the_agent_is() {
        for (host, expected) in [
            ("localhost", 200),
            ("LOCALHOST.:8000", 200),
            ("127.0.0.1:1", 200),
            ("127.9.9.9", 200),
            ("[::1]:8000", 200),
            ("[::ffff:127.0.0.1]", 200),
            ("192.0.2.7:8000", 200),
            ("10.1.2.3", 200),
            ("mon.EXAMPLE.org", 200),
            ("198.51.100.9:80", 200),
            ("localhost:", 200),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
            ("192.0.2.8", 421),
            ("", 400),
            ("user@localhost", 400),
            ("localhost:99999", 400),
            ("localhost:http", 400),
            ("local host", 400),
            ("localhost/x", 400),
        ] {
            assert_eq!(status("/", &[host]), expected, "{host}");
        }
        assert_eq!(status("/", &[]), 400);
        assert_eq!(status("/", &["localhost", "localhost"]), 400);
        assert_eq!(status("http://evil.example/", &["localhost"]), 421);
        assert_eq!(status("http://localhost:8000/", &["localhost"]), 200);
    }

    #[test]
    fn foreign_pages_change_nothing() {
        for (origin, expected) in [
            (None, true),
            (Some("http://localhost:8000"), true),
            (Some("http://LOCALHOST:8000"), true),
            (Some("https://mon.example.org"), true),
            (Some("http://localhost:3000"), false),
            (Some("http://localhost"), false),
            (Some("http://evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost:8000"))]);
            if let Some(text) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(text));
            }
            assert_eq!(hosts().check_origin(&headers).is_ok(), expected, "{origin:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(host in "[ -~]{0,30}", origin in "[ -~]{0,30}") {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(&host).unwrap());
            headers.insert(ORIGIN, HeaderValue::from_str(&origin).unwrap());
            let _ = hosts().check_host(&Uri::from_static("/"), &headers, "::1".parse().unwrap());
            let _ = hosts().check_origin(&headers);
        }
    }
}
