//! XDR, written and read independently of the plugin, so that a mistake there is not made here, too.

use crate::{Domain, Value};

pub(crate) fn word(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_be_bytes());
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    word(out, text.len() as u32);
    out.extend_from_slice(text.as_bytes());
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
}

pub(crate) fn domain(out: &mut Vec<u8>, domain: &Domain) {
    text(out, &domain.name);
    out.extend_from_slice(&domain.uuid);
    word(out, domain.id as u32);
}

pub(crate) fn param(out: &mut Vec<u8>, field: &str, value: &Value) {
    text(out, field);
    match value {
        Value::Int(number) => {
            word(out, 1);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Uint(number) => {
            word(out, 2);
            word(out, *number);
        }
        Value::Llong(number) => {
            word(out, 3);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Ullong(number) => {
            word(out, 4);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Double(number) => {
            word(out, 5);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(truth) => {
            word(out, 6);
            word(out, u32::from(*truth));
        }
        Value::Text(content) => {
            word(out, 7);
            text(out, content);
        }
    }
}

/// The body of an error.
pub(crate) fn error(code: i32, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    word(&mut out, code as u32);
    word(&mut out, 10); // VIR_FROM_QEMU
    word(&mut out, 1);
    text(&mut out, message);
    word(&mut out, 2); // VIR_ERR_ERROR
    for _ in 0..4 {
        word(&mut out, 0); // no domain, no strings
    }
    word(&mut out, u32::MAX);
    word(&mut out, u32::MAX);
    word(&mut out, 0); // no network
    out
}

/// Reads the arguments of a call. A client that sends what is no call gets an error.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn word(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.word()? as usize;
        let text = self.bytes(length)?;
        self.bytes(length.next_multiple_of(4) - length)?;
        std::str::from_utf8(text).ok()
    }

    /// The UUID of a domain.
    pub(crate) fn domain(&mut self) -> Option<[u8; 16]> {
        self.text().filter(|name| !name.is_empty())?;
        let uuid = self.bytes(16)?.try_into().ok()?;
        self.word()?;
        Some(uuid)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}
