//! What libvirt's clients and its service say to each other: frames of XDR (RFC 4506) on a stream.
//!
//! A frame is its length, six words of header, and a body. Everything here may come from a service that is broken or
//! lies: lengths are held against what is there before anything is made of them.

use std::{fmt, ops::Range};

/// Longer replies are refused. libvirt allows 32 MiB; two hundred machines are some 400 KB.
pub(super) const MAX_FRAME: usize = 8 << 20;
/// The length itself, and the header.
pub(super) const HEAD: usize = 28;
/// The program of libvirt's own procedures.
pub(super) const REMOTE: u32 = 0x2000_8086;
/// The program of keep-alive messages, and its two of them.
pub(super) const KEEP_ALIVE: u32 = 0x6b65_6570;
pub(super) const PING: u32 = 1;
pub(super) const PONG: u32 = 2;
/// All programs here have this version.
pub(super) const VERSION: u32 = 1;

/// Longer strings are refused, as libvirt does.
const MAX_STRING: usize = 4 << 20;

/// What kinds of frames there are, as far as they concern us.
pub(super) mod kind {
    pub(in crate::libvirt) const CALL: u32 = 0;
    pub(in crate::libvirt) const REPLY: u32 = 1;
    pub(in crate::libvirt) const MESSAGE: u32 = 2;
}

/// What became of a call.
pub(super) mod status {
    pub(in crate::libvirt) const OK: u32 = 0;
    pub(in crate::libvirt) const ERROR: u32 = 1;
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// It ends before it should.
    Cut,
    /// Something follows its end.
    Trailing,
    /// A frame of this length is too short or too long.
    FrameLength(u32),
    /// A string or list of this length is longer than it may be.
    Length(u32),
    /// A string that is no UTF-8.
    Text,
    /// A discriminant that does not exist.
    Choice(u32),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("a reply that ends early"),
            Self::Trailing => f.write_str("a reply that is longer than it says"),
            Self::FrameLength(length) => write!(f, "a reply of {length} bytes"),
            Self::Length(length) => write!(f, "a reply that holds a length of {length}"),
            Self::Text => f.write_str("a reply with a string that is no text"),
            Self::Choice(choice) => write!(f, "a reply with a kind {choice} of something"),
        }
    }
}

type Result<T> = std::result::Result<T, Malformed>;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) program: u32,
    pub(super) version: u32,
    pub(super) procedure: u32,
    pub(super) kind: u32,
    pub(super) serial: u32,
    pub(super) status: u32,
}

/// The frame that `bytes` begin with: its header, and where in `bytes` its body lies. None where more bytes are needed.
pub(super) fn frame(bytes: &[u8]) -> Result<Option<(Header, Range<usize>)>> {
    let mut decoder = Decoder::new(bytes);
    let Ok(length) = decoder.u32() else { return Ok(None) };
    let end = usize::try_from(length).ok().filter(|end| (HEAD..=MAX_FRAME).contains(end));
    let end = end.ok_or(Malformed::FrameLength(length))?;
    if bytes.len() < end {
        return Ok(None);
    }
    let header = Header {
        program: decoder.u32()?,
        version: decoder.u32()?,
        procedure: decoder.u32()?,
        kind: decoder.u32()?,
        serial: decoder.u32()?,
        status: decoder.u32()?,
    };
    Ok(Some((header, HEAD..end)))
}

/// Reads XDR.
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Cut)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn f64(&mut self) -> Result<f64> {
        self.array().map(f64::from_be_bytes)
    }

    fn flag(&mut self) -> Result<bool> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Malformed::Choice(other)),
        }
    }

    pub(super) fn uuid(&mut self) -> Result<[u8; 16]> {
        self.array()
    }

    pub(super) fn text(&mut self) -> Result<&'a str> {
        let told = self.u32()?;
        let length = usize::try_from(told).ok().filter(|length| *length <= MAX_STRING);
        let length = length.ok_or(Malformed::Length(told))?;
        let text = self.bytes(length)?;
        self.bytes(length.wrapping_neg() % 4)?;
        std::str::from_utf8(text).map_err(|_| Malformed::Text)
    }

    pub(super) fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// The length of a list whose elements take at least `smallest` bytes each.
    pub(super) fn list(&mut self, smallest: usize) -> Result<usize> {
        let told = self.u32()?;
        let fits = usize::try_from(told).ok().filter(|count| *count <= self.rest.len() / smallest);
        fits.ok_or(Malformed::Length(told))
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }
}

/// Writes a call.
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    /// The call of a procedure; its arguments follow. Length and serial are filled in by [`Encoder::finish`].
    pub(super) fn call(procedure: u32) -> Self {
        Self::frame(Header {
            program: REMOTE,
            version: VERSION,
            procedure,
            kind: kind::CALL,
            serial: 0,
            status: status::OK,
        })
    }

    pub(super) fn frame(header: Header) -> Self {
        let Header { program, version, procedure, kind, serial, status } = header;
        let mut encoder = Self(vec![0; 4]);
        for word in [program, version, procedure, kind, serial, status] {
            encoder.u32(word);
        }
        encoder
    }

    pub(super) fn u32(&mut self, word: u32) -> &mut Self {
        self.0.extend(word.to_be_bytes());
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        // what we send is far shorter than what a word can count
        self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text.as_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn uuid(&mut self, uuid: [u8; 16]) -> &mut Self {
        self.0.extend(uuid);
        self
    }

    /// The frame.
    pub(super) fn finish(mut self, serial: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0[20..24].copy_from_slice(&serial.to_be_bytes());
        self.0
    }
}

/// What the service says went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteError {
    pub(super) code: i32,
    pub(super) message: String,
}

impl RemoteError {
    /// The body of a reply whose status is an error.
    pub(super) fn decode(body: &[u8]) -> Result<Self> {
        let mut decoder = Decoder::new(body);
        let code = decoder.i32()?;
        decoder.i32()?;
        let message = decoder.optional(Decoder::text)?.unwrap_or("an error without a message");
        // what follows says where: levels, names and numbers, which we don't need
        let first = message.lines().next().unwrap_or_default();
        Ok(Self { code, message: first.chars().filter(|letter| !letter.is_control()).take(300).collect() })
    }
}

/// A machine, as libvirt names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Domain<'a> {
    pub(super) name: &'a str,
    pub(super) uuid: [u8; 16],
    /// A number of its own for each run; -1 while it is off.
    pub(super) id: i32,
}

impl<'a> Domain<'a> {
    pub(super) fn decode(decoder: &mut Decoder<'a>) -> Result<Self> {
        Ok(Self { name: decoder.text()?, uuid: decoder.uuid()?, id: decoder.i32()? })
    }

    pub(super) fn encode(&self, encoder: &mut Encoder) {
        encoder.text(self.name).uuid(self.uuid).u32(self.id.cast_unsigned());
    }
}

/// A value with its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Int(i32),
    Uint(u32),
    Llong(i64),
    Ullong(u64),
    Double(f64),
    Boolean(bool),
    Text(&'a str),
}

impl<'a> Scalar<'a> {
    /// As a number that is not negative.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Int(value) => value.try_into().ok(),
            Self::Uint(value) => Some(value.into()),
            Self::Llong(value) => value.try_into().ok(),
            Self::Ullong(value) => Some(value),
            Self::Double(_) | Self::Boolean(_) | Self::Text(_) => None,
        }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn decode(decoder: &mut Decoder<'a>) -> Result<Self> {
        Ok(match decoder.u32()? {
            1 => Self::Int(decoder.i32()?),
            2 => Self::Uint(decoder.u32()?),
            3 => Self::Llong(decoder.i64()?),
            4 => Self::Ullong(decoder.u64()?),
            5 => Self::Double(decoder.f64()?),
            6 => Self::Boolean(decoder.i32()? != 0),
            7 => Self::Text(decoder.text()?),
            other => return Err(Malformed::Choice(other)),
        })
    }
}

/// A parameter, such as `balloon.current`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Param<'a> {
    pub(super) field: &'a str,
    pub(super) value: Scalar<'a>,
}

/// The reply of the procedure that tells the statistics of domains: `each` gets them one after the other.
pub(super) fn domain_stats<'a>(body: &'a [u8], mut each: impl FnMut(Domain<'a>, &[Param<'a>])) -> Result<()> {
    let mut decoder = Decoder::new(body);
    // a name, an id of 16 bytes, a number and a list take no less
    let domains = decoder.list(28)?;
    let mut params = Vec::new();
    for _ in 0..domains {
        let domain = Domain::decode(&mut decoder)?;
        params.clear();
        for _ in 0..decoder.list(12)? {
            params.push(Param { field: decoder.text()?, value: Scalar::decode(&mut decoder)? });
        }
        each(domain, &params);
    }
    decoder.end()
}

/// The reply of the procedure that tells the addresses of a domain's interfaces.
pub(super) fn addresses(body: &[u8]) -> Result<Vec<&str>> {
    let mut decoder = Decoder::new(body);
    let mut addresses = Vec::new();
    for _ in 0..decoder.list(12)? {
        decoder.text()?;
        decoder.optional(Decoder::text)?;
        for _ in 0..decoder.list(12)? {
            decoder.i32()?;
            addresses.push(decoder.text()?);
            decoder.u32()?;
        }
    }
    decoder.end()?;
    Ok(addresses)
}

/// The reply of a procedure that tells one string.
pub(super) fn text(body: &[u8]) -> Result<&str> {
    let mut decoder = Decoder::new(body);
    let text = decoder.text()?;
    decoder.end()?;
    Ok(text)
}

/// Reads bytes as every kind of frame and body that there is.
pub(super) fn read_as_everything(bytes: &[u8]) {
    let body = match frame(bytes) {
        Ok(Some((_, body))) => &bytes[body],
        Ok(None) | Err(_) => bytes,
    };
    let mut told = 0_usize;
    let _ = domain_stats(body, |_, params| told += params.len());
    assert!(told <= body.len() / 12, "more parameters than there are bytes for");
    let _ = (addresses(body), text(body), RemoteError::decode(body));
}
