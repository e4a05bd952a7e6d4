//! Values and times as text, so that what is read back is what was written, to the last bit.

use crate::model::Timestamp;
use std::fmt::Write;

/// Times farther from 1970 than this (milliseconds) are no times.
const FARTHEST: i64 = 1 << 54;

/// Appends the shortest text that is read back as this very value: `0.1`, `-0`, `1e300`.
pub(super) fn write_value(out: &mut String, value: f64) {
    let _ = write!(out, "{value:?}"); // a String takes everything
    if out.ends_with(".0") {
        out.truncate(out.len() - 2);
    }
}

/// A value; NaN and infinities too.
pub(super) fn parse_value(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("`{}` is no number", shortened(text)))
}

/// Appends seconds since 1970 with three decimals: `1763719788.250`.
pub(super) fn write_seconds(out: &mut String, time: Timestamp) {
    let millis = time.as_millis();
    let (sign, part) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs());
    let _ = write!(out, "{sign}{}.{:03}", part / 1000, part % 1000); // a String takes everything
}

/// Seconds since 1970; what is finer than a millisecond is cut off.
pub(super) fn parse_seconds(text: &str) -> Result<Timestamp, String> {
    let wrong =
        || format!("`{}` is no time: write seconds since 1970, such as 1763719788.250", shortened(text));
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let millis = if !whole.is_empty() && digits(whole) && digits(fraction) {
        let seconds: i64 = whole.parse().map_err(|_| wrong())?;
        let part = fraction.bytes().chain(*b"000").take(3);
        let part = part.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        seconds.checked_mul(1000).and_then(|millis| millis.checked_add(part)).ok_or_else(wrong)?
    } else {
        let seconds: f64 = unsigned.parse().map_err(|_| wrong())?; // 1.7e9
        if !(0.0..1e15).contains(&seconds) {
            return Err(wrong());
        }
        (seconds * 1000.0).round() as i64
    };
    if millis > FARTHEST {
        return Err(wrong());
    }
    Ok(Timestamp::from_millis(if text.starts_with('-') { -millis } else { millis }))
}

/// RFC 3339 in both directions; consecutive lines most often have the same time, which is worked out once.
#[derive(Debug, Default)]
pub(super) struct Rfc3339 {
    time: Timestamp,
    text: String,
}

impl Rfc3339 {
    /// UTC with milliseconds: `2026-11-20T22:00:05.000Z`.
    pub(super) fn text(&mut self, time: Timestamp) -> &str {
        if self.text.is_empty() || self.time != time {
            let [first, last] =
                [jiff::Timestamp::MIN, jiff::Timestamp::MAX].map(|end| end.as_second() * 1000);
            let millis = time.as_millis().clamp(first, last);
            let exact = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            self.time = time;
            self.text = format!("{exact:.3}");
        }
        &self.text
    }

    /// What is finer than a millisecond is cut off.
    pub(super) fn parse(&mut self, text: &str) -> Result<Timestamp, String> {
        if self.text != text {
            let time: jiff::Timestamp = text.parse().map_err(|_| {
                let text = shortened(text);
                format!("`{text}` is no time: write RFC 3339, such as 2026-11-20T22:00:05.000Z")
            })?;
            self.time = Timestamp::from_millis(time.as_nanosecond().div_euclid(1_000_000) as i64);
            text.clone_into(&mut self.text);
        }
        Ok(self.time)
    }
}

/// The beginning of a text, for messages.
pub(super) fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let mut start: String = chars.by_ref().take(60).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        start.push('…');
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value_text(value: f64) -> String {
        let mut text = String::new();
        write_value(&mut text, value);
        text
    }

    #[test]
    fn values_are_short() {
        for (value, text) in
            [(1.0, "1"), (-0.0, "-0"), (0.1, "0.1"), (1e300, "1e300"), (100.0, "100"), (5e-324, "5e-324")]
        {
            assert_eq!(value_text(value), text);
        }
    }

    #[test]
    fn seconds_are_read_exactly() {
        let millis = |text| parse_seconds(text).map(Timestamp::as_millis);
        assert_eq!(millis("1763719788.25"), Ok(1_763_719_788_250));
        assert_eq!(millis("-0.001"), Ok(-1));
        assert_eq!(millis("1.7e9"), Ok(1_700_000_000_000));
        assert_eq!(millis("1.2349"), Ok(1234));
        for wrong in ["", "-", ".", "x", "1.2.3", "nan", "inf", "99999999999999999999", "1e99", "--1"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bits: u64, millis in -(1_i64 << 54)..(1_i64 << 54)) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(parse_value(&value_text(value)).unwrap().to_bits(), bits);
            let json: f64 = serde_json::from_str(&value_text(value)).unwrap();
            prop_assert_eq!(json.to_bits(), bits);
            let mut text = String::new();
            write_seconds(&mut text, Timestamp::from_millis(millis));
            prop_assert_eq!(parse_seconds(&text).unwrap().as_millis(), millis);
        }

        #[test]
        fn dates_are_read_as_written(millis in -62_135_596_800_000_i64..253_402_207_200_000) {
            let time = Timestamp::from_millis(millis);
            let text = Rfc3339::default().text(time).to_owned();
            prop_assert_eq!(Rfc3339::default().parse(&text), Ok(time));
        }
    }
}
