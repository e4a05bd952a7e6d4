//! Times of the old system: UTC without a zone, as SQLAlchemy and people write them.

use super::database::text;
use crate::model::Timestamp;
use jiff::{civil::DateTime, tz::TimeZone};
use rusqlite::types::ValueRef;

/// Seconds of the year 9999: larger numbers are milliseconds, or nothing.
const LARGEST: f64 = 253_402_300_799.0;

/// A time in any of its forms: text, or seconds since 1970.
pub(super) fn read(column: ValueRef<'_>) -> Option<Timestamp> {
    let seconds = match column {
        ValueRef::Integer(seconds) => seconds as f64,
        ValueRef::Real(seconds) => seconds,
        other => return parse(text(other)?.trim()),
    };
    (seconds.abs() <= LARGEST).then(|| Timestamp::from_millis((seconds * 1000.0).floor() as i64))
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]` or with a `T`; UTC, unless it says otherwise.
fn parse(text: &str) -> Option<Timestamp> {
    let clock = text.get(10..).filter(|clock| clock.len() > 1)?; // a date alone is no time
    let time = if clock.contains(['Z', 'z', '+', '-']) {
        text.parse().ok()?
    } else {
        text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()
    };
    Some(Timestamp::from_millis(i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        let millis = |text: &str| parse(text).map(Timestamp::as_millis);
        let second = 1_761_406_200_000;
        assert_eq!(millis("2025-10-25 15:30:00"), Some(second));
        assert_eq!(millis("2025-10-25T15:30:00"), Some(second));
        assert_eq!(millis("2025-10-25 15:30:00.123456"), Some(second + 123));
        assert_eq!(millis("2025-10-25T15:30:00.000000Z"), Some(second));
        assert_eq!(millis("2025-10-25T17:30:00+02:00"), Some(second));
        assert_eq!(millis("1969-12-31 23:59:59.999999"), Some(-1));
        for wrong in
            ["", "now", "2025-10-25", "2025-13-25 15:30:00", "25.10.2025 15:30", "2025-10-25 25:00:00", "ä€"]
        {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
        assert_eq!(read(ValueRef::Integer(1)).map(Timestamp::as_millis), Some(1000));
        assert_eq!(read(ValueRef::Real(f64::NAN)), None);
        assert_eq!(read(ValueRef::Real(1e300)), None);
        assert_eq!(read(ValueRef::Null), None);
    }
}
