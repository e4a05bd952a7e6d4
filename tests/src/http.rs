//! A client that does what a test needs and nothing else: one request a connection, an answer read to its end.

use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long a request may take in all its parts.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer longer than this is an error of the test.
const LONGEST: u64 = 256 << 20;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, without the marks of a chunked one.
    pub body: Vec<u8>,
}

impl Request {
    /// Without headers and body.
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// With a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a bearer token, if there is one.
    #[must_use]
    pub fn token(self, token: Option<&str>) -> Self {
        match token {
            Some(token) => self.header("Authorization", &format!("Bearer {token}")),
            None => self,
        }
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// Where the connection fails, lasts longer than 10 s, or brings no HTTP.
    pub fn send(&self, address: SocketAddr) -> io::Result<Response> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&self.to_bytes(address))?;
        let mut bytes = Vec::new();
        stream.take(LONGEST).read_to_end(&mut bytes)?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, String::from_utf8_lossy(&bytes).into_owned());
        Response::parse(&bytes, self.method == "HEAD").ok_or_else(bad)
    }

    fn to_bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", self.method, self.path);
        let mut add = |name: &str, value: &str| {
            let _ = write!(head, "{name}: {value}\r\n"); // to a string: can't fail
        };
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            add("Host", &address.to_string());
        }
        if !self.body.is_empty() || self.method == "POST" {
            add("Content-Length", &self.body.len().to_string());
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

impl Response {
    /// Reads a whole answer; nothing where it is cut off or no HTTP/1. An answer to HEAD has no body.
    pub fn parse(bytes: &[u8], head_only: bool) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let status = words.next().filter(|version| version.starts_with("HTTP/1.")).and(words.next())?;
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_string()))
        };
        let headers = lines.map(header).collect::<Option<Vec<_>>>()?;
        let mut response = Self { status: status.parse().ok()?, headers, body: Vec::new() };
        let rest = &bytes[end + 4..];
        response.body = match (response.header("transfer-encoding"), response.header("content-length")) {
            _ if head_only => rest.is_empty().then(Vec::new)?,
            (Some("chunked"), _) => unchunk(rest)?,
            (_, Some(length)) => (length.parse() == Ok(rest.len())).then(|| rest.to_vec())?,
            _ => rest.to_vec(),
        };
        Some(response)
    }

    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// Where it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|error| panic!("the body is no text: {error}"))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is something else.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("status {}, the body is no JSON ({error}): {}", self.status, self.text())
        })
    }
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        let chunk = rest.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk.get(..size)?);
        rest = chunk.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y: z\r\n\r\n{}";
        let response = Response::parse(plain, false).unwrap();
        assert_eq!((response.status, response.header("x"), response.text()), (200, Some("y: z"), "{}"));
        let chunked =
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
        assert_eq!(Response::parse(chunked, false).unwrap().json(), serde_json::json!([1, 2]));
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(Response::parse(head, true).unwrap().body, b"");
        for whole in [&plain[..], chunked] {
            let cut = (0..whole.len() - 4).filter(|end| Response::parse(&whole[..*end], false).is_some());
            assert_eq!(cut.count(), 0);
        }
        assert!(Response::parse(b"HELLO\r\n\r\n", false).is_none());
    }
}
