//! What the agent and the process of an isolated plugin say to each other. Pure: bytes in, bytes out.
//!
//! A frame is its length (`u32`, of all that follows it), the protocol's version (`u16`), what it is (`u16`), and its
//! body. All numbers are little-endian; a text is its length (`u32`) and UTF-8. The agent says [`Hello`] once, with the
//! plugin's file beside it, then `collect` for each collection; the child says one [`Answer`] to each of them.

use twarga_plugin_api::abi::{RawKind, RawMetric, Sample};

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
        ANSWER => Frame::Answer(body.answer()?),
        other => return Err(FrameError::Kind(other)),
    };
    if body.0.is_empty() { Ok(frame) } else { Err(FrameError::Trailing(body.0.len())) }
}

/// Writes one frame into a buffer that is used again and again.
pub(super) struct Writer<'b>(&'b mut Vec<u8>);

impl<'b> Writer<'b> {
    fn begin(buffer: &'b mut Vec<u8>, kind: u16) -> Self {
        buffer.clear();
        let mut writer = Self(buffer);
        writer.u32(0);
        writer.bytes(&PROTOCOL.to_le_bytes());
        writer.bytes(&kind.to_le_bytes());
        writer
    }

    /// # Errors
    /// Where the frame is longer than one may be.
    fn end(self) -> Result<(), FrameError> {
        let length = self.0.len();
        let told = u32::try_from(length - 4).ok().filter(|_| length <= MAX_FRAME);
        let told = told.ok_or(FrameError::TooLong(length))?;
        self.0[..4].copy_from_slice(&told.to_le_bytes());
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u32(&mut self, number: u32) {
        self.bytes(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        // longer ones are cut: such a frame would be too long anyway
        let text = &text[..text.floor_char_boundary(MAX_FRAME)];
        self.u32(u32::try_from(text.len()).unwrap_or_default());
        self.bytes(text.as_bytes());
    }
}

/// # Errors
/// Where a configuration is longer than a frame may be.
pub(super) fn write_hello(buffer: &mut Vec<u8>, hello: &Hello) -> Result<(), FrameError> {
    let mut writer = Writer::begin(buffer, HELLO);
    writer.u32(hello.parent);
    writer.u32(hello.max_series);
    for number in [hello.memory, hello.processes, hello.files] {
        writer.u64(number);
    }
    writer.text(&hello.config);
    writer.u32(u32::try_from(hello.writable.len()).unwrap_or_default());
    hello.writable.iter().for_each(|folder| writer.text(folder));
    writer.end()
}

pub(super) fn write_collect(buffer: &mut Vec<u8>) -> Result<(), FrameError> {
    Writer::begin(buffer, COLLECT).end()
}

/// Writes an answer; `calls` is what [`Recorded`] gathered, in place of the answer's own.
///
/// # Errors
/// Where it is longer than a frame may be.
pub(super) fn write_answer(
    buffer: &mut Vec<u8>,
    answer: &Answer<'_>,
    calls: &Recorded,
    samples: &[Sample],
) -> Result<(), FrameError> {
    let mut writer = Writer::begin(buffer, ANSWER);
    writer.bytes(&[u8::from(answer.confined), u8::from(answer.error.is_some())]);
    if let Some((kind, message, location)) = answer.error {
        writer.bytes(&[kind]);
        writer.text(message);
        writer.text(location);
    }
    writer.u64(answer.refused_samples);
    writer.u64(answer.refused_series);
    writer.u32(answer.unlogged);
    writer.u32(u32::try_from(calls.0.len()).map_err(|_| FrameError::TooLong(calls.0.len()))?);
    writer.bytes(&calls.0);
    writer.u32(u32::try_from(samples.len()).map_err(|_| FrameError::TooLong(samples.len()))?);
    for Sample { series, flags, value } in samples {
        writer.u32(*series);
        writer.u32(*flags);
        writer.bytes(&value.to_le_bytes());
    }
    writer.end()
}

/// The calls of one collection, written as they come.
#[derive(Debug, Default)]
pub(super) struct Recorded(Vec<u8>);

impl Recorded {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn call(&mut self, call: u8) -> Writer<'_> {
        self.0.push(call);
        Writer(&mut self.0)
    }

    pub(super) fn metric(&mut self, id: u32, metric: &RawMetric<'_>) {
        let mut writer = self.call(METRIC);
        writer.u32(id);
        writer.bytes(&[metric.kind.0]);
        for text in [metric.name, metric.unit, metric.help, metric.label_keys] {
            writer.text(text.as_str());
        }
    }

    pub(super) fn series<'l>(
        &mut self,
        id: u32,
        metric: u32,
        labels: impl ExactSizeIterator<Item = &'l str>,
    ) {
        let mut writer = self.call(SERIES);
        writer.u32(id);
        writer.u32(metric);
        writer.u32(u32::try_from(labels.len()).unwrap_or_default());
        labels.for_each(|label| writer.text(label));
    }

    pub(super) fn retire(&mut self, series: u32) {
        self.call(RETIRE).u32(series);
    }

    pub(super) fn unavailable(&mut self, series: u32, reason: &str) {
        let mut writer = self.call(UNAVAILABLE);
        writer.u32(series);
        writer.text(reason);
    }

    pub(super) fn log(&mut self, level: u8, message: &str) {
        let mut writer = self.call(LOG);
        writer.bytes(&[level]);
        writer.text(message);
    }

    pub(super) fn batch_time(&mut self, unix_ms: i64) {
        self.call(BATCH_TIME).bytes(&unix_ms.to_le_bytes());
    }
}

/// Calls that have not been read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Calls<'a>(&'a [u8]);

impl<'a> Iterator for Calls<'a> {
    type Item = Result<Call<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut reader = Reader(self.0);
        let call = reader.call();
        // nothing can be told of what follows a broken one
        self.0 = if call.is_ok() { reader.0 } else { &[] };
        Some(call)
    }
}

/// Texts that have not been read yet, known to be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts<'a> {
    left: u32,
    bytes: &'a [u8],
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.left = self.left.checked_sub(1)?;
        let mut reader = Reader(self.bytes);
        let text = reader.text().ok()?;
        self.bytes = reader.0;
        Some(text)
    }
}

/// Samples as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Samples<'a>(&'a [[u8; SAMPLE]]);

impl Samples<'_> {
    pub(super) fn iter(self) -> impl Iterator<Item = Sample> {
        self.0.iter().map(|bytes| {
            let [a, b, c, d, e, f, g, h, value @ ..] = *bytes;
            Sample {
                series: u32::from_le_bytes([a, b, c, d]),
                flags: u32::from_le_bytes([e, f, g, h]),
                value: f64::from_le_bytes(value),
            }
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, FrameError> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| FrameError::NotUtf8)
    }

    fn hello(&mut self) -> Result<Hello, FrameError> {
        let mut hello = Hello {
            parent: self.u32()?,
            max_series: self.u32()?,
            memory: self.u64()?,
            processes: self.u64()?,
            files: self.u64()?,
            config: self.text()?.into(),
            writable: Vec::new(),
        };
        for _ in 0..self.u32()? {
            hello.writable.push(self.text()?.into());
        }
        Ok(hello)
    }

    fn answer(&mut self) -> Result<Answer<'a>, FrameError> {
        let confined = self.u8()? != 0;
        let error = match self.u8()? {
            0 => None,
            _ => Some((self.u8()?, self.text()?, self.text()?)),
        };
        let (refused_samples, refused_series, unlogged) = (self.u64()?, self.u64()?, self.u32()?);
        let length = self.u32()? as usize;
        let calls = Calls(self.bytes(length)?);
        let count = self.u32()? as usize;
        let bytes = self.bytes(count.checked_mul(SAMPLE).ok_or(FrameError::Short)?)?;
        let samples = Samples(bytes.as_chunks().0);
        Ok(Answer { error, confined, refused_samples, refused_series, unlogged, calls, samples })
    }

    fn call(&mut self) -> Result<Call<'a>, FrameError> {
        Ok(match self.u8()? {
            METRIC => Call::Metric { id: self.u32()?, metric: self.metric()? },
            SERIES => Call::Series { id: self.u32()?, metric: self.u32()?, labels: self.texts()? },
            RETIRE => Call::Retire(self.u32()?),
            UNAVAILABLE => Call::Unavailable { series: self.u32()?, reason: self.text()? },
            LOG => Call::Log { level: self.u8()?, message: self.text()? },
            BATCH_TIME => Call::BatchTime(self.array().map(i64::from_le_bytes)?),
            other => return Err(FrameError::Call(other)),
        })
    }

    fn metric(&mut self) -> Result<RawMetric<'a>, FrameError> {
        let kind = RawKind(self.u8()?);
        let [name, unit, help, label_keys] = [self.text()?, self.text()?, self.text()?, self.text()?];
        Ok(RawMetric {
            name: name.into(),
            unit: unit.into(),
            help: help.into(),
            label_keys: label_keys.into(),
            ext_json: "".into(),
            kind,
        })
    }

    fn texts(&mut self) -> Result<Texts<'a>, FrameError> {
        let left = self.u32()?;
        if left > MOST_LABELS {
            return Err(FrameError::Labels(left));
        }
        let bytes = self.0;
        for _ in 0..left {
            self.text()?;
        }
        Ok(Texts { left, bytes })
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
