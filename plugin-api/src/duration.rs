//! Durations as people write them: `500ms`, `1.5s`, `1m 30s`. The agent reads those of `agent.toml` in the same way.
//!
//! A duration is one part or several, which add up. A part is a number, whole or with a fraction, and a unit: `ns`, `us`,
//! `ms`, `s`, `m`, `h`, `d`, `w`, `y`, or their English words (`min`, `hours`). A year is 365.25 days, a month (only in full:
//! `M` is easily taken for minutes) 30.44. Blanks may be anywhere but in a number or a unit.
//!
//! ```
//! use std::time::Duration;
//! use twarga_plugin_api::{duration, prelude::*};
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields, default)]
//! struct Config {
//!     #[serde(deserialize_with = "duration::deserialize")]
//!     timeout: Duration,
//!     /// Also where a duration may be left out.
//!     #[serde(deserialize_with = "duration::deserialize")]
//!     max_age: Option<Duration>,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { timeout: Duration::from_secs(4), max_age: None }
//!     }
//! }
//!
//! impl Config {
//!     /// For `Collector::new`: an error names the key and what to write.
//!     fn check(&self) -> Result<()> {
//!         duration::in_range("timeout", self.timeout, Duration::from_millis(10)..=Duration::from_secs(3600))
//!     }
//! }
//!
//! let config: Config = serde_json::from_str(r#"{"timeout": "1.5s"}"#)?;
//! assert_eq!(config.timeout, Duration::from_millis(1500));
//! assert!(config.check().is_ok() && config.max_age.is_none());
//! let config: Config = serde_json::from_str(r#"{"timeout": "2h"}"#)?;
//! let error = config.check().unwrap_err();
//! assert_eq!(error.to_string(), "timeout: 2h is too long: write a duration from 10ms to 1h");
//! # Ok::<(), serde_json::Error>(())
//! ```

use crate::error;
use serde::de::{Deserializer, Visitor};
use std::{fmt, marker::PhantomData, ops::RangeInclusive, time::Duration};

/// The units, the largest first, by their names in nanoseconds. The first name is the one that [`words`] writes.
const UNITS: [(&[&str], u128); 10] = [
    (&["y", "yr", "yrs", "year", "years"], 31_557_600_000_000_000),
    (&["month", "months"], 2_630_016_000_000_000),
    (&["w", "wk", "wks", "week", "weeks"], 604_800_000_000_000),
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000_000_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["ms", "msec", "millis"], 1_000_000),
    (&["us", "µs", "usec"], 1_000),
    (&["ns", "nsec", "nanos"], 1),
];
/// Where days are among them: years, months and weeks are read, but not written.
const DAYS: usize = 3;
const EXAMPLES: &str = "`500ms`, `1.5s` or `1m 30s` (units: ns, us, ms, s, m, h, d, w, y)";

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// Something else than numbers with units.
    Malformed,
    /// There is no unit behind this number.
    NoUnit(String),
    /// This is no unit.
    UnknownUnit(String),
    /// More than [`Duration::MAX`].
    TooLong,
    /// No whole number of nanoseconds.
    TooFine,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a duration"),
            Self::NoUnit(number) => write!(f, "not a duration: `{number}` has no unit"),
            Self::UnknownUnit(unit) => write!(f, "not a duration: `{unit}` is no unit"),
            Self::TooLong => f.write_str("too long for a duration"),
            Self::TooFine => f.write_str("not a duration: it is finer than nanoseconds"),
        }
    }
}

impl std::error::Error for ParseError {}

/// Reads a duration, exactly: there is no rounding.
///
/// ```
/// # use std::time::Duration;
/// use twarga_plugin_api::duration::{ParseError, parse};
/// assert_eq!(parse("1m 30s"), Ok(Duration::from_secs(90)));
/// assert_eq!(parse("0.25h"), Ok(Duration::from_secs(900)));
/// assert_eq!(parse("5"), Err(ParseError::NoUnit("5".into())));
/// ```
///
/// # Errors
/// See [`ParseError`]. What it displays goes behind the text and `is`.
pub fn parse(text: &str) -> Result<Duration, ParseError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(ParseError::Malformed);
    }
    let mut sum = Some(0_u128);
    while !rest.is_empty() {
        let (number, behind) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (whole, fraction) = halves(number).ok_or(ParseError::Malformed)?;
        let (unit, behind) = split(behind.trim_start(), char::is_alphabetic);
        let scale = match UNITS.iter().find(|(names, _)| names.contains(&unit)) {
            Some((_, scale)) => *scale,
            None if !unit.is_empty() => return Err(ParseError::UnknownUnit(unit.into())),
            None if behind.starts_with(|c: char| !c.is_ascii_digit()) => return Err(ParseError::Malformed),
            None => return Err(ParseError::NoUnit(number.into())),
        };
        // too many digits of a whole number are too much, whatever the unit
        let whole = whole.parse::<u128>().ok().and_then(|whole| whole.checked_mul(scale));
        let fraction = fraction_of(scale, fraction).ok_or(ParseError::TooFine)?;
        sum = sum.zip(whole).and_then(|(sum, whole)| sum.checked_add(whole)?.checked_add(fraction));
        rest = behind.trim_start();
    }
    sum.filter(|sum| *sum <= Duration::MAX.as_nanos()).map(from_nanos).ok_or(ParseError::TooLong)
}

/// The beginning that consists of such characters, and the rest.
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// What stands before the point and behind it: digits both times.
fn halves(number: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(fraction)).then_some((whole, fraction))
}

/// `digits` behind the point, times the scale; nothing where that is not whole.
fn fraction_of(scale: u128, digits: &str) -> Option<u128> {
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    // No unit can be divided so often by ten, nor by two or five. Fewer digits fit, also times the scale.
    let places = u32::try_from(digits.len()).ok().filter(|places| *places <= 20)?;
    let (product, tens) = (digits.parse::<u128>().ok()? * scale, 10_u128.pow(places));
    (product % tens == 0).then_some(product / tens)
}

fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    Duration::new((nanos / SECOND) as u64, (nanos % SECOND) as u32)
}

/// A duration in words that [`parse`] reads back: `1m 30s`. Days are the largest unit.
///
/// ```
/// # use std::time::Duration;
/// use twarga_plugin_api::duration::words;
/// assert_eq!(words(Duration::from_millis(1500)).to_string(), "1s 500ms");
/// ```
pub fn words(duration: Duration) -> Words {
    Words(duration)
}

/// What [`words`] gives.
#[derive(Clone, Copy, Debug)]
pub struct Words(Duration);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let (mut left, mut gap) = (self.0.as_nanos(), "");
        for (names, scale) in &UNITS[DAYS..] {
            let number = left / scale;
            left %= scale;
            if number > 0 {
                write!(f, "{gap}{number}{}", names[0])?;
                gap = " ";
            }
        }
        Ok(())
    }
}

/// For a field that is a [`Duration`] or an `Option<Duration>`:
/// `#[serde(deserialize_with = "twarga_plugin_api::duration::deserialize")]`. The second needs `#[serde(default)]`, too.
///
/// # Errors
/// Says what stands there and what to write instead.
pub fn deserialize<'de, D: Deserializer<'de>, T: From<Duration>>(from: D) -> Result<T, D::Error> {
    struct Text<T>(PhantomData<T>);

    impl<T: From<Duration>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a duration such as {EXAMPLES}")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            let wrong = |error| E::custom(format_args!("`{text}` is {error}; write one such as {EXAMPLES}"));
            parse(text).map(T::from).map_err(wrong)
        }
    }

    from.deserialize_str(Text(PhantomData))
}

/// Refuses a duration that is too short or too long for the key of a configuration.
///
/// # Errors
/// Of the kind [`Config`](crate::ErrorKind::Config), at this key.
pub fn in_range(
    key: impl fmt::Display,
    value: Duration,
    range: RangeInclusive<Duration>,
) -> error::Result<()> {
    let side = match value {
        _ if value < *range.start() => "short",
        _ if value > *range.end() => "long",
        _ => return Ok(()),
    };
    let (least, most) = (words(*range.start()), words(*range.end()));
    let message = format_args!("{} is too {side}: write a duration from {least} to {most}", words(value));
    Err(error::Error::config(key, message))
}

#[cfg(test)]
mod tests;
