//! Conditions on labels, as PromQL has them.

use regex::Regex;
use std::fmt;

/// A condition on one label. A label that a series doesn't have counts as empty.
#[derive(Clone, Debug)]
pub struct Matcher {
    label: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
    MatchesNot(Regex),
}

/// A regular expression that can't be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct BadPattern(String);

/// Compiled, a pattern may take so much memory at most; which also bounds the time that compiling takes.
const PATTERN_BYTES: usize = 1 << 18;

impl Matcher {
    /// `label="value"`
    pub fn equal(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), test: Test::Equal(value.into()) }
    }

    /// `label!="value"`
    pub fn not_equal(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), test: Test::NotEqual(value.into()) }
    }

    /// `label=~"pattern"`: the whole value must match.
    ///
    /// # Errors
    /// The pattern is no regular expression, or too large a one.
    pub fn matches(label: impl Into<String>, pattern: &str) -> Result<Self, BadPattern> {
        Ok(Self { label: label.into(), test: Test::Matches(whole(pattern)?) })
    }

    /// `label!~"pattern"`
    ///
    /// # Errors
    /// As [`Matcher::matches`].
    pub fn matches_not(label: impl Into<String>, pattern: &str) -> Result<Self, BadPattern> {
        Ok(Self { label: label.into(), test: Test::MatchesNot(whole(pattern)?) })
    }

    /// The label that is looked at.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether a value of the label is meant.
    pub fn accepts(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Matches(pattern) => pattern.is_match(value),
            Test::MatchesNot(pattern) => !pattern.is_match(value),
        }
    }
}

impl fmt::Display for Matcher {
    /// As PromQL writes it: `device=~"eth.*"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operator, text) = match &self.test {
            Test::Equal(text) => ("=", text.as_str()),
            Test::NotEqual(text) => ("!=", text.as_str()),
            Test::Matches(pattern) => ("=~", inside(pattern)),
            Test::MatchesNot(pattern) => ("!~", inside(pattern)),
        };
        write!(f, "{}{operator}{text:?}", self.label)
    }
}

/// What stands around a pattern.
const AROUND: (&str, &str) = ("^(?s:", ")$");

/// The pattern as it was given.
fn inside(pattern: &Regex) -> &str {
    let text = pattern.as_str();
    text.strip_prefix(AROUND.0).and_then(|text| text.strip_suffix(AROUND.1)).unwrap_or(text)
}

fn whole(pattern: &str) -> Result<Regex, BadPattern> {
    // alone first: `a)(b` is no pattern, though between the brackets below it is one
    let build = |text: &str| regex::RegexBuilder::new(text).size_limit(PATTERN_BYTES).build();
    let both = build(pattern).and_then(|_| build(&format!("{}{pattern}{}", AROUND.0, AROUND.1)));
    both.map_err(|error| {
        // the first lines show the pattern, for a terminal
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        BadPattern(last.trim_start_matches("error: ").to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_value() {
        let eth = Matcher::matches("device", "eth.|lo").unwrap();
        assert!(eth.accepts("eth0") && eth.accepts("lo"));
        assert!(!eth.accepts("eth10") && !eth.accepts("veth0") && !eth.accepts("lo0") && !eth.accepts(""));
        let none = Matcher::matches_not("device", "eth.*").unwrap();
        assert!(!none.accepts("eth0") && none.accepts("lo") && none.accepts(""));
        assert_eq!(eth.to_string(), r#"device=~"eth.|lo""#);
        assert_eq!(none.to_string(), r#"device!~"eth.*""#);
        assert!(Matcher::matches("a", "").unwrap().accepts(""));
        assert_eq!(Matcher::matches("a", "(").unwrap_err().to_string(), "unclosed group");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["(", "a)(b", "[", "*", "(?x", &"(a{1000}){1000}".repeat(10)] {
            assert!(Matcher::matches("device", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_label_may_be_equal_or_not() {
        assert!(Matcher::equal("mode", "idle").accepts("idle"));
        assert!(!Matcher::equal("mode", "idle").accepts("user"));
        assert!(Matcher::not_equal("mode", "idle").accepts("user"));
        assert!(!Matcher::not_equal("mode", "").accepts(""));
    }
}
