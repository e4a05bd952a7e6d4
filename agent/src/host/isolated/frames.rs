//! What the agent and the process of an isolated plugin say to each other. Pure: bytes in, bytes out.
//!
//! A frame is its length (`u32`, of all that follows it), the protocol's version (`u16`), what it is (`u16`), and its
//! body. All numbers are little-endian; a text is its length (`u32`) and UTF-8. The agent says [`Hello`] once, with the
//! plugin's file beside it, then `collect` for each collection; the child says one [`Answer`] to each of them. Or it says
//! `rehearse`, with a file, which is loaded and answered for, and no more.

mod read;
mod write;

pub(super) use read::{Calls, Samples, Texts};
pub(super) use write::{Recorded, write_answer, write_collect, write_hello, write_rehearse};

use read::Reader;
use twarga_plugin_api::abi::RawMetric;

/// The version of the protocol. Another number is another protocol.
pub(super) const PROTOCOL: u16 = 1;
/// The most bytes that a frame may say to have.
pub(super) const MAX_FRAME: usize = 64 << 20;
/// The most labels of a series: as a family may declare.
const MOST_LABELS: u32 = twarga_plugin_api::MAX_LABELS as u32;
/// Length, version, kind.
pub(super) const HEADER: usize = 8;
/// Bytes of a sample: series, flags, value.
const SAMPLE: usize = 16;

const HELLO: u16 = 1;
const COLLECT: u16 = 2;
const ANSWER: u16 = 3;
const REHEARSE: u16 = 4;

const METRIC: u8 = 1;
const SERIES: u8 = 2;
const RETIRE: u8 = 3;
const UNAVAILABLE: u8 = 4;
const LOG: u8 = 5;
const BATCH_TIME: u8 = 6;

/// Bytes that are no frame of this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("protocol {0} in place of {PROTOCOL}: agent and plugin process are of different builds")]
    Version(u16),
    #[error("a frame of {0} bytes, {MAX_FRAME} are allowed")]
    TooLong(usize),
    #[error("a frame that ends too early")]
    Short,
    #[error("a frame of the unknown kind {0}")]
    Kind(u16),
    #[error("an unknown call {0}")]
    Call(u8),
    #[error("a series with {0} labels, {MOST_LABELS} are allowed")]
    Labels(u32),
    #[error("a text that is not UTF-8")]
    NotUtf8,
    #[error("{0} bytes after the end of a frame")]
    Trailing(usize),
}

/// What the child needs to know before anything else. The plugin's open file comes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hello {
    /// The agent's process.
    pub(super) parent: u32,
    pub(super) max_series: u32,
    /// Bytes.
    pub(super) memory: u64,
    pub(super) processes: u64,
    pub(super) files: u64,
    /// The plugin's own configuration, JSON.
    pub(super) config: String,
    /// Folders that it may write to.
    pub(super) writable: Vec<String>,
}

/// What the child says after it was made, and after each collection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer<'a> {
    /// Kind, message, location.
    pub(super) error: Option<(u8, &'a str, &'a str)>,
    /// Whether the kernel keeps it from writing to files.
    pub(super) confined: bool,
    /// Samples that it had too many to send, and registrations of series that were one too many, since its start.
    pub(super) refused_samples: u64,
    pub(super) refused_series: u64,
    /// Lines of log that were too many.
    pub(super) unlogged: u32,
    pub(super) calls: Calls<'a>,
    pub(super) samples: Samples<'a>,
}

/// A call of the plugin into its host.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call<'a> {
    Metric { id: u32, metric: RawMetric<'a> },
    Series { id: u32, metric: u32, labels: Texts<'a> },
    Retire(u32),
    Unavailable { series: u32, reason: &'a str },
    Log { level: u8, message: &'a str },
    BatchTime(i64),
}

/// A frame, once its bytes are complete.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    Hello(Hello),
    /// The agent's process.
    Rehearse(u32),
    Collect,
    Answer(Answer<'a>),
}

/// The bytes of the frame at the beginning of these, where it is complete.
pub(super) fn complete(bytes: &[u8]) -> Result<Option<&[u8]>, FrameError> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let whole = 4 + u32::from_le_bytes(*length) as usize;
    match () {
        () if whole > MAX_FRAME => Err(FrameError::TooLong(whole)),
        () if whole < HEADER => Err(FrameError::Short),
        () if bytes.len() > whole => Err(FrameError::Trailing(bytes.len() - whole)),
        () => Ok((bytes.len() == whole).then_some(bytes)),
    }
}

/// Reads a complete frame.
pub(super) fn decode(frame: &[u8]) -> Result<Frame<'_>, FrameError> {
    let mut body = Reader(frame);
    body.u32()?;
    let version = body.u16()?;
    if version != PROTOCOL {
        return Err(FrameError::Version(version));
    }
    let frame = match body.u16()? {
        HELLO => Frame::Hello(body.hello()?),
        COLLECT => Frame::Collect,
        REHEARSE => Frame::Rehearse(body.u32()?),
        ANSWER => Frame::Answer(body.answer()?),
        other => return Err(FrameError::Kind(other)),
    };
    if body.0.is_empty() { Ok(frame) } else { Err(FrameError::Trailing(body.0.len())) }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
