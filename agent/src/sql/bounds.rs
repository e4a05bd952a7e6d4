//! From conditions on a time to the range that has to be read. The range may be too wide, never too narrow: SQLite
//! compares each row once more.

use super::vtab::Compared;
use crate::{model::Timestamp, store::Range};
use rusqlite::types::Value;

/// The least and the largest millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    from: i64,
    to: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { from: i64::MIN, to: i64::MAX }
    }
}

impl Bounds {
    /// How a plan writes this comparison.
    pub(super) const fn letter(compared: Compared) -> char {
        match compared {
            Compared::Equal => '=',
            Compared::Less => '<',
            Compared::AtMost => '(',
            Compared::Greater => '>',
            Compared::AtLeast => ')',
        }
    }

    /// Takes in another condition.
    pub(super) fn narrow(&mut self, letter: char, value: &Value) {
        let Some((floor, ceiling)) = millis(value) else { return };
        if matches!(letter, '=' | '>' | ')') {
            self.from = self.from.max(floor);
        }
        if matches!(letter, '=' | '<' | '(') {
            self.to = self.to.min(ceiling);
        }
    }

    /// The range within another one; nothing where none is left.
    pub(super) fn within(self, range: Range) -> Option<Range> {
        let from = Timestamp::from_millis(self.from).max(range.from);
        let to = Timestamp::from_millis(self.to).min(range.to);
        (from <= to).then_some(Range { from, to })
    }

    /// The earliest time, where there is one.
    pub(super) fn earliest(self) -> Option<Timestamp> {
        (self.from > i64::MIN).then(|| Timestamp::from_millis(self.from))
    }
}

/// The milliseconds between which a value lies; nothing for what is no time.
fn millis(value: &Value) -> Option<(i64, i64)> {
    match value {
        Value::Integer(millis) => Some((*millis, *millis)),
        // saturates
        Value::Real(real) => Some((real.floor() as i64, real.ceil() as i64)),
        Value::Text(text) => moment(text).map(|millis| (millis, millis)),
        Value::Null | Value::Blob(_) => None,
    }
}

/// The earliest time whose text is not less than this beginning of one: `2026-11-20`, `2026-11-20T22:00`.
fn moment(text: &str) -> Option<i64> {
    const SHAPE: &str = "0000-01-01T00:00:00.000000Z";
    let fits = |(given, shape): (u8, u8)| {
        if shape.is_ascii_digit() { given.is_ascii_digit() } else { given == shape }
    };
    if !(4..=SHAPE.len()).contains(&text.len()) || !text.bytes().zip(SHAPE.bytes()).all(fits) {
        return None;
    }
    let whole = format!("{text}{}", &SHAPE[text.len()..]);
    Some(whole.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(conditions: &[(char, Value)]) -> (i64, i64) {
        let mut bounds = Bounds::default();
        for (letter, value) in conditions {
            bounds.narrow(*letter, value);
        }
        (bounds.from, bounds.to)
    }

    #[test]
    fn conditions_narrow_the_range() {
        let (least, most) = (i64::MIN, i64::MAX);
        assert_eq!(bounds(&[]), (least, most));
        assert_eq!(bounds(&[('>', 5.into()), ('(', 9.into()), (')', 7.into())]), (7, 9));
        assert_eq!(bounds(&[('=', 5.into())]), (5, 5));
        assert_eq!(bounds(&[('>', 1.5.into()), ('<', 1.5.into())]), (1, 2));
        assert_eq!(bounds(&[('>', f64::NEG_INFINITY.into()), ('<', f64::INFINITY.into())]), (least, most));
        // what is compared as text, or never true, is left to SQLite
        assert_eq!(bounds(&[('>', "x".to_owned().into()), ('<', Value::Null)]), (least, most));
    }

    #[test]
    fn the_beginning_of_a_time_is_a_bound() {
        let day = 1_795_132_800_000;
        for text in ["2026-11-20", "2026-11-20T", "2026-11-20T00:00:00.000000Z"] {
            assert_eq!(bounds(&[(')', text.to_owned().into())]).0, day, "{text}");
        }
        for text in ["2026-11-20 10:00", "2026-13-01", "20", "", "2026-11-20T00:00:00+01:00", "2026-1ä"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
