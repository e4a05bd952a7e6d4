//! Wall-clock time as the store keeps it.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since 1970 UTC. May be before 1970 on a machine whose clock was never set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 UTC.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The wall clock's time.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// This time plus a duration; saturates at the ends.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This time less a duration; saturates at the ends.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// Milliseconds from `earlier` to this; negative where `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As the old system wrote it: no zone, the fraction dropped on whole seconds.
    pub fn to_legacy(self) -> String {
        let (text, micros) = self.parts();
        if micros == 0 { text } else { format!("{text}.{micros:06}") }
    }

    /// Date and time without fraction and zone, and the microseconds.
    fn parts(self) -> (String, i64) {
        // whole seconds: the very ends lie between two milliseconds
        let [earliest, latest] =
            [jiff::Timestamp::MIN, jiff::Timestamp::MAX].map(|end| end.as_second() * 1000);
        let millis = self.0.clamp(earliest, latest);
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let text = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        (text, millis.rem_euclid(1000) * 1000)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(millis(since)),
            Err(before) => Self(-millis(before.duration())),
        }
    }
}

/// RFC 3339 in UTC, always six digits of a second: `2026-11-20T22:00:05.000000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, micros) = self.parts();
        write!(f, "{text}.{micros:06}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_six_digits() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999000Z");
        assert_eq!(Timestamp::from_millis(2_147_483_648_123).to_string(), "2038-01-19T03:14:08.123000Z");
        assert!(Timestamp::from_millis(i64::MAX).to_string().starts_with("9999-"));
    }

    #[test]
    fn legacy_drops_a_whole_seconds_fraction() {
        assert_eq!(Timestamp::from_millis(1000).to_legacy(), "1970-01-01T00:00:01");
        assert_eq!(Timestamp::from_millis(1500).to_legacy(), "1970-01-01T00:00:01.500000");
    }
}
