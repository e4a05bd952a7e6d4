//! Times as clients write them.

use crate::model::Timestamp;

/// Seconds beyond which a number can't be meant as seconds since 1970 (the year 9999).
const LATEST: f64 = 253_402_207_200.0;

const EXPECTED: &str = "RFC 3339 or seconds since 1970 are expected";

/// RFC 3339 (also with a space for the `T`, and UTC where the zone is left out, as the old system wrote it), or seconds
/// since 1970, also with a fraction. The error says what is wrong.
pub(super) fn parse(text: &str) -> Result<Timestamp, &'static str> {
    let text = text.trim();
    let numeric = text.strip_prefix('-').unwrap_or(text);
    if !numeric.is_empty() && numeric.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let seconds: f64 = text.parse().map_err(|_| "invalid number of seconds")?;
        if seconds.abs() > LATEST {
            return Err("the number is too large: seconds since 1970 are expected");
        }
        #[allow(clippy::cast_possible_truncation)] // within the limit it fits
        return Ok(Timestamp::from_millis((seconds * 1000.0).round() as i64));
    }
    // a `+` that was not percent-encoded arrives as a space: `…T22:00:05 01:00`
    let repaired = match text.rsplit_once(' ') {
        Some((time, zone)) if time.contains(['T', 't']) => format!("{time}+{zone}"),
        _ => text.to_owned(),
    };
    if let Ok(time) = repaired.parse::<jiff::Timestamp>() {
        return Ok(Timestamp::from_millis(time.as_millisecond()));
    }
    if repaired.contains(['[', '+', 'Z', 'z']) {
        return Err(EXPECTED);
    }
    let zoneless: jiff::civil::DateTime = repaired.parse().map_err(|_| EXPECTED)?;
    let time = zoneless.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| "the time is out of range")?;
    Ok(Timestamp::from_millis(time.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        let expected = Ok(Timestamp::from_millis(1_795_212_005_250));
        for text in [
            "2026-11-20T22:00:05.250Z",
            "2026-11-20T22:00:05.25",
            "2026-11-20 22:00:05.250000",
            "2026-11-20T23:00:05.250+01:00",
            "2026-11-20T23:00:05.250 01:00",
            "1795212005.25",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("-1"), Ok(Timestamp::from_millis(-1000)));
        assert_eq!(parse("0"), Ok(Timestamp::default()));
        assert_eq!(parse("2026-11-20"), Ok(Timestamp::from_millis(1_795_132_800_000)));
        for text in
            ["", "yesterday", "1795212005250000", "1.2.3", "-", ".", "2026-13-01T00:00:00Z", "NaN", "inf"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9TZtz:. +\\[\\]-]{0,40}|.{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn our_own_times_are_read(millis in -60_000_000_000_000i64..250_000_000_000_000) {
            let time = Timestamp::from_millis(millis);
            prop_assert_eq!(parse(&time.to_string()), Ok(time));
            prop_assert_eq!(parse(&time.to_legacy()), Ok(time));
        }
    }
}
