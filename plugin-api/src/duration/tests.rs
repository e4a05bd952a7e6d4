#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use serde::Deserialize;

fn nanos(text: &str) -> Result<u128, ParseError> {
    parse(text).map(|duration| duration.as_nanos())
}

#[test]
fn a_number_and_a_unit_are_a_duration() {
    for (names, scale) in UNITS {
        for name in names {
            assert_eq!(nanos(&format!("3{name}")), Ok(3 * scale), "{name}");
        }
    }
    for (text, wanted) in [
        ("0s", 0),
        ("0.0w", 0),
        ("0s 0ns", 0),
        ("1.5 s", 1_500_000_000),
        ("  250ms ", 250_000_000),
        ("007s", 7_000_000_000),
        ("0.000000001s", 1),
        ("1.10000000000000000000000000000000s", 1_100_000_000),
        ("0.125w", 75_600_000_000_000),
        ("1y", 31_557_600_000_000_000),
        ("12months", 31_560_192_000_000_000),
    ] {
        assert_eq!(nanos(text), Ok(wanted), "{text}");
    }
}

#[test]
fn parts_add_up() {
    for text in ["1m 30s", "1m30s", "30s 1m", "1.5m", "90s", "1min\t30 seconds"] {
        assert_eq!(nanos(text), Ok(90_000_000_000), "{text}");
    }
}

#[test]
fn garbage_is_told_by_its_kind() {
    for text in
        ["", "  ", "s", "-1s", "+1s", "soon", "1..2s", "1.2.3s", "1.s", ".5s", "1s x", "1s,", "5-", "٣s"]
    {
        assert_eq!(parse(text), Err(ParseError::Malformed), "{text}");
    }
    for (text, number) in [("2", "2"), ("0", "0"), ("1m 30", "30"), ("1 000s", "1"), (" 1.5 ", "1.5")] {
        assert_eq!(parse(text), Err(ParseError::NoUnit(number.into())), "{text}");
    }
    // `M` is easily taken for minutes
    for (text, unit) in [("7 tage", "tage"), ("5M", "M"), ("1e3s", "e"), ("2S", "S"), ("1µ", "µ")] {
        assert_eq!(parse(text), Err(ParseError::UnknownUnit(unit.into())), "{text}");
    }
}

#[test]
fn neither_too_much_nor_too_fine_is_rounded() {
    assert_eq!(parse("18446744073709551615s 999999999ns"), Ok(Duration::MAX));
    let digits = "9".repeat(60);
    for text in
        ["18446744073709551615s 1s", "18446744073709551616s", &format!("{digits}ns"), &format!("{digits}w")]
    {
        assert_eq!(parse(text), Err(ParseError::TooLong), "{text}");
    }
    for text in
        ["0.5ns", "0.0000000001s", "0.00000000000000000001w", &format!("0.{digits}s"), "1.00000000005s"]
    {
        assert_eq!(parse(text), Err(ParseError::TooFine), "{text}");
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Config {
    #[serde(deserialize_with = "deserialize")]
    timeout: Duration,
    #[serde(deserialize_with = "deserialize")]
    expire: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(4), expire: None }
    }
}

#[test]
fn fields_of_a_configuration_are_durations() {
    let config: Config = serde_json::from_str("{}").unwrap();
    assert_eq!((config.timeout, config.expire), (Duration::from_secs(4), None));
    // an escape: the text is not a piece of what was read
    let config: Config = serde_json::from_str(r#"{"timeout": "1.5s", "expire": "2\u006d"}"#).unwrap();
    assert_eq!(
        (config.timeout, config.expire),
        (Duration::from_millis(1500), Some(Duration::from_secs(120)))
    );
}

#[test]
fn what_is_wrong_in_a_configuration_is_said_with_what_to_write() {
    let refused = |text: &str| serde_json::from_str::<Config>(text).unwrap_err().to_string();
    for (value, wanted) in [
        (
            r#""soon""#,
            "`soon` is not a duration; write one such as `500ms`, `1.5s` or `1m 30s` (units: ns, us, ms, s,",
        ),
        (r#""5""#, "`5` is not a duration: `5` has no unit; write one such as"),
        (r#""5 tage""#, "`5 tage` is not a duration: `tage` is no unit; write one such as"),
        (r#""0.1ns""#, "`0.1ns` is not a duration: it is finer than nanoseconds; write one such as"),
        (
            r#""99999999999999999999s""#,
            "`99999999999999999999s` is too long for a duration; write one such as",
        ),
        ("5", "invalid type: integer `5`, expected a duration such as `500ms`, `1.5s`"),
        ("null", "invalid type: null, expected a duration such as"),
    ] {
        for key in ["timeout", "expire"] {
            let message = refused(&format!("{{\"{key}\": {value}}}"));
            assert!(message.starts_with(wanted), "{message}");
        }
    }
}

#[test]
fn the_bounds_belong_to_a_range() {
    let range = Duration::from_millis(10)..=Duration::from_secs(86_400);
    let check = |value| in_range("a.b", value, range.clone());
    for end in [range.start(), range.end()] {
        assert!(check(*end).is_ok());
    }
    let error = check(Duration::ZERO).unwrap_err();
    assert_eq!((error.kind(), error.location()), (crate::ErrorKind::Config, "a.b"));
    assert_eq!(error.message(), "0s is too short: write a duration from 10ms to 1d");
    let error = check(Duration::new(86_400, 1)).unwrap_err();
    assert_eq!(error.message(), "1d 1ns is too long: write a duration from 10ms to 1d");
}

#[test]
fn words_leave_out_what_is_nought() {
    for (duration, wanted) in [
        (Duration::ZERO, "0s"),
        (Duration::from_millis(1600), "1s 600ms"),
        (Duration::from_secs(100 * 365 * 86_400), "36500d"),
        (Duration::from_secs(14 * 86_400 + 60), "14d 1m"),
        (Duration::from_nanos(1_001_001_001), "1s 1ms 1us 1ns"),
    ] {
        assert_eq!(words(duration).to_string(), wanted);
    }
}

proptest! {
    #[test]
    fn words_are_read_back(seconds: u64, nanos in 0..1_000_000_000_u32) {
        let duration = Duration::new(seconds, nanos);
        prop_assert_eq!(parse(&words(duration).to_string()), Ok(duration));
    }

    #[test]
    fn a_fraction_is_what_it_says(seconds in 0..u64::from(u32::MAX), nanos in 0..1_000_000_000_u32) {
        prop_assert_eq!(parse(&format!("{seconds}.{nanos:09}s")), Ok(Duration::new(seconds, nanos)));
    }

    /// Anything from outside gets an answer; a sum is never smaller than one of its parts.
    #[test]
    fn any_text_has_an_answer(text in "[0-9. a-zµ\\-]{0,40}", other in "\\PC{0,40}") {
        let _ = parse(&other);
        if let Ok(duration) = parse(&text) {
            let more = parse(&format!("{text} 1ns"));
            prop_assert!(more.is_ok_and(|more| more > duration));
        }
    }
}
