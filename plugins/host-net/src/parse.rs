//! Decoders: bytes in, numbers out, no I/O. None of them panics, whatever it is given.

pub(crate) mod auxv;
pub(crate) mod dev;
pub(crate) mod keyed;
pub(crate) mod link;
pub(crate) mod snmp;

/// The content up to its last line's end: a line that was cut off might give a number that was cut off.
fn whole_lines(content: &[u8]) -> &[u8] {
    let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    &content[..end]
}
