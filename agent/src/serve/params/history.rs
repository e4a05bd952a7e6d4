//! Parameters of the history routes: label matchers, steps.

use super::Params;
use crate::{
    query::{StepQuery, parse_step},
    store::{Aggregate, BadPattern, Matcher},
};
use serde_json::json;

/// The most label matchers of a request: each pattern is compiled, and held against every series.
const MOST_MATCHERS: usize = 16;

impl Params {
    /// The label matchers, as they are written in PromQL: `label.KEY=value`, `label.KEY!=value`, `label.KEY=~pattern`,
    /// `label.KEY!~pattern`. A query string is cut at its first `=`: of `label.KEY!=value` the name ends in `!`, of
    /// `label.KEY=~pattern` the value begins with `~`, and all of `label.KEY!~pattern` is a name.
    pub(in crate::serve) fn matchers(&mut self) -> Vec<Matcher> {
        let given: Vec<(String, String)> =
            self.pairs.iter().filter(|(key, _)| key.starts_with("label.")).cloned().collect();
        if given.len() > MOST_MATCHERS {
            let msg = format!("Value error, at most {MOST_MATCHERS} label matchers are allowed");
            self.refuse("value_error", "label.", msg, None, None);
            return Vec::new();
        }
        let mut matchers: Vec<(bool, Matcher)> = Vec::new();
        for (key, value) in given {
            match matcher(&key, &value) {
                Ok((plain, matcher)) => {
                    // of several values that one label must have, the last one counts, as of any parameter
                    let replaced = |known: &Matcher| plain && known.label() == matcher.label();
                    matchers.retain(|(known_plain, known)| !(*known_plain && replaced(known)));
                    matchers.push((plain, matcher));
                }
                Err(wrong) => {
                    self.refuse("value_error", &key, format!("Value error, {wrong}"), Some(&value), None);
                }
            }
        }
        matchers.into_iter().map(|(_, matcher)| matcher).collect()
    }

    /// `step` and `agg`.
    pub(in crate::serve) fn steps(&mut self) -> Option<StepQuery> {
        let length = self.last("step").and_then(|text| match parse_step(&text) {
            Ok(length) => Some(length),
            Err(wrong) => {
                let msg = format!("Input should be a valid timedelta, {wrong}");
                self.refuse("time_delta_parsing", "step", msg, Some(&text), None);
                None
            }
        });
        let aggregate = self.last("agg").and_then(|text| match text.parse::<Aggregate>() {
            Ok(aggregate) => Some(aggregate),
            Err(expected) => {
                let msg = format!("Input should be {expected}");
                let ctx = json!({ "expected": expected.to_string() });
                self.refuse("literal_error", "agg", msg, Some(&text), Some(ctx));
                None
            }
        });
        if aggregate.is_some() && self.last("step").is_none() {
            self.refuse("missing", "step", "Field required where 'agg' is given".into(), None, None);
        }
        Some(StepQuery { length: length?, aggregate })
    }
}

/// A text that is no label matcher.
#[derive(Debug, thiserror::Error)]
enum WrongMatcher {
    #[error("a label matcher is label.KEY=VALUE, neither of them empty")]
    Empty,
    #[error("the pattern can't be used: {0}")]
    Pattern(#[from] BadPattern),
}

/// Of a parameter, whose name begins with `label.`; and whether it is a plain `label.KEY=value`.
fn matcher(name: &str, value: &str) -> Result<(bool, Matcher), WrongMatcher> {
    let key = name.strip_prefix("label.").unwrap_or(name);
    let filled = |text: &str| if text.is_empty() { Err(WrongMatcher::Empty) } else { Ok(()) };
    if let Some((key, pattern)) = key.split_once("!~") {
        let pattern = match (pattern, value) {
            ("", value) => value.to_owned(),
            (pattern, "") => pattern.to_owned(),
            // the pattern has a `=`, at which it was cut
            (pattern, rest) => format!("{pattern}={rest}"),
        };
        filled(key).and(filled(&pattern))?;
        return Ok((false, Matcher::matches_not(key, &pattern)?));
    }
    let (key, negated) = key.strip_suffix('!').map_or((key, false), |key| (key, true));
    filled(key)?;
    match (negated, value.strip_prefix('~')) {
        (false, None) => filled(value).map(|()| (true, Matcher::equal(key, value))),
        // not empty: any value
        (true, None) => Ok((false, Matcher::not_equal(key, value))),
        (_, Some(pattern)) => {
            filled(pattern)?;
            let matcher =
                if negated { Matcher::matches_not(key, pattern) } else { Matcher::matches(key, pattern) };
            Ok((false, matcher?))
        }
    }
}
