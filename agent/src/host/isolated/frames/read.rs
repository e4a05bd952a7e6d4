//! Reading frames: nothing that they say is believed before it is there.

use super::{
    Answer, BATCH_TIME, Call, FrameError, Hello, LOG, METRIC, MOST_LABELS, RETIRE, SAMPLE, SERIES,
    UNAVAILABLE,
};
use twarga_plugin_api::abi::{RawKind, RawMetric, Sample};

/// Calls that have not been read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in super::super) struct Calls<'a>(&'a [u8]);

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
pub(in super::super) struct Texts<'a> {
    pub(super) left: u32,
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
pub(in super::super) struct Samples<'a>(&'a [[u8; SAMPLE]]);

impl Samples<'_> {
    pub(in super::super) fn iter(self) -> impl Iterator<Item = Sample> {
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

/// The bytes of a frame that have not been read yet.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

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

    pub(super) fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, FrameError> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| FrameError::NotUtf8)
    }

    pub(super) fn hello(&mut self) -> Result<Hello, FrameError> {
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

    pub(super) fn answer(&mut self) -> Result<Answer<'a>, FrameError> {
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

    pub(super) fn texts(&mut self) -> Result<Texts<'a>, FrameError> {
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
