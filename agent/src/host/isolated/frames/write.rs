//! Writing frames.

use super::{
    ANSWER, Answer, BATCH_TIME, COLLECT, FrameError, HELLO, Hello, LOG, MAX_FRAME, METRIC, PROTOCOL,
    REHEARSE, RETIRE, SERIES, UNAVAILABLE,
};
use twarga_plugin_api::abi::{RawMetric, Sample};

/// Writes one frame into a buffer that is used again and again.
pub(in super::super) struct Writer<'b>(&'b mut Vec<u8>);

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
pub(in super::super) fn write_hello(buffer: &mut Vec<u8>, hello: &Hello) -> Result<(), FrameError> {
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

/// `parent` is the agent's process.
pub(in super::super) fn write_rehearse(buffer: &mut Vec<u8>, parent: u32) -> Result<(), FrameError> {
    let mut writer = Writer::begin(buffer, REHEARSE);
    writer.u32(parent);
    writer.end()
}

pub(in super::super) fn write_collect(buffer: &mut Vec<u8>) -> Result<(), FrameError> {
    Writer::begin(buffer, COLLECT).end()
}

/// Writes an answer; `calls` is what [`Recorded`] gathered, in place of the answer's own.
///
/// # Errors
/// Where it is longer than a frame may be.
pub(in super::super) fn write_answer(
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
pub(in super::super) struct Recorded(pub(super) Vec<u8>);

impl Recorded {
    pub(in super::super) fn clear(&mut self) {
        self.0.clear();
    }

    fn call(&mut self, call: u8) -> Writer<'_> {
        self.0.push(call);
        Writer(&mut self.0)
    }

    pub(in super::super) fn metric(&mut self, id: u32, metric: &RawMetric<'_>) {
        let mut writer = self.call(METRIC);
        writer.u32(id);
        writer.bytes(&[metric.kind.0]);
        for text in [metric.name, metric.unit, metric.help, metric.label_keys] {
            writer.text(text.as_str());
        }
    }

    pub(in super::super) fn series<'l>(
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

    pub(in super::super) fn retire(&mut self, series: u32) {
        self.call(RETIRE).u32(series);
    }

    pub(in super::super) fn unavailable(&mut self, series: u32, reason: &str) {
        let mut writer = self.call(UNAVAILABLE);
        writer.u32(series);
        writer.text(reason);
    }

    pub(in super::super) fn log(&mut self, level: u8, message: &str) {
        let mut writer = self.call(LOG);
        writer.bytes(&[level]);
        writer.text(message);
    }

    pub(in super::super) fn batch_time(&mut self, unix_ms: i64) {
        self.call(BATCH_TIME).bytes(&unix_ms.to_le_bytes());
    }
}
