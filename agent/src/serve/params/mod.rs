//! Parameters of a request, checked as FastAPI checks them and refused in its words.

mod decode;
mod history;
mod time;

use super::problem::{ApiError, Invalid};
use crate::model::Timestamp;
use serde_json::{Value, json};

pub(super) use decode::decode;

/// The parameters of a query string, and all that was found wrong with them.
#[derive(Debug)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    invalid: Vec<Invalid>,
}

/// A whole number's limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    /// The value where none is given.
    pub(super) default: i64,
    /// The least.
    pub(super) least: i64,
    /// The greatest.
    pub(super) greatest: i64,
}

impl Params {
    /// Of a raw query string, without its `?`. What can't be decoded is wrong, whatever its name.
    pub(super) fn new(query: &str) -> Self {
        let mut params = Self { pairs: Vec::new(), invalid: Vec::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(key, true), decode(value, true)) {
                (Some(key), Some(value)) => params.pairs.push((key, value)),
                (key, _) => params.refuse(
                    "url_parsing",
                    &key.unwrap_or_else(|| "?".into()),
                    "Input should be percent-encoded UTF-8".into(),
                    Some(pair),
                    None,
                ),
            }
        }
        params
    }

    /// The value of a parameter; of several, the last one.
    fn last(&self, key: &str) -> Option<String> {
        self.pairs.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    /// Notes that a parameter is wrong.
    fn refuse(
        &mut self,
        kind: &'static str,
        key: &str,
        msg: String,
        input: Option<&str>,
        ctx: Option<Value>,
    ) {
        let loc = ["query".to_owned(), key.to_owned()];
        self.invalid.push(Invalid { kind, loc, msg, input: input.map(Into::into), ctx });
    }

    /// A text that may be left out.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.last(key)
    }

    /// A text that must be given. Empty where it was not: then [`finish`](Self::finish) fails.
    pub(super) fn required(&mut self, key: &str) -> String {
        self.last(key).unwrap_or_else(|| {
            self.refuse("missing", key, "Field required".into(), None, None);
            String::new()
        })
    }

    /// A whole number within limits. Its default where it was wrong: then [`finish`](Self::finish) fails.
    pub(super) fn whole(&mut self, key: &str, limits: Whole) -> i64 {
        let Some(text) = self.last(key) else { return limits.default };
        match whole_number(&text) {
            Some(number) if number < limits.least => {
                let msg = format!("Input should be greater than or equal to {}", limits.least);
                let ctx = json!({ "ge": limits.least });
                self.refuse("greater_than_equal", key, msg, Some(&text), Some(ctx));
                limits.default
            }
            Some(number) if number > limits.greatest => {
                let msg = format!("Input should be less than or equal to {}", limits.greatest);
                let ctx = json!({ "le": limits.greatest });
                self.refuse("less_than_equal", key, msg, Some(&text), Some(ctx));
                limits.default
            }
            Some(number) => number,
            None => {
                self.refuse("int_parsing", key, NOT_AN_INTEGER.into(), Some(&text), None);
                limits.default
            }
        }
    }

    /// A whole number that may be left out, of any size.
    pub(super) fn optional_whole(&mut self, key: &str) -> Option<i64> {
        let text = self.last(key)?;
        let number = whole_number(&text);
        if number.is_none() {
            self.refuse("int_parsing", key, NOT_AN_INTEGER.into(), Some(&text), None);
        }
        number
    }

    /// A time that may be left out: RFC 3339, or seconds since 1970.
    pub(super) fn time(&mut self, key: &str) -> Option<Timestamp> {
        let text = self.last(key)?;
        match time::parse(&text) {
            Ok(time) => Some(time),
            Err(reason) => {
                let msg = format!("Input should be a valid datetime, {reason}");
                self.refuse("datetime_parsing", key, msg, Some(&text), Some(json!({ "error": reason })));
                None
            }
        }
    }

    /// One of some words that may be left out.
    pub(super) fn word(&mut self, key: &str, words: &[&str]) -> Option<String> {
        let text = self.last(key)?;
        if words.contains(&text.as_str()) {
            return Some(text);
        }
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let expected = match quoted.split_last() {
            Some((last, [first @ .., before])) => {
                format!(
                    "{}{before} or {last}",
                    first.iter().map(|word| format!("{word}, ")).collect::<String>()
                )
            }
            _ => quoted.concat(),
        };
        let msg = format!("Input should be {expected}");
        self.refuse("literal_error", key, msg, Some(&text), Some(json!({ "expected": expected })));
        None
    }

    /// Refuses a range that ends before it begins.
    pub(super) fn in_order(&mut self, from: Option<Timestamp>, to: Option<Timestamp>) {
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            let given = self.last("from");
            let msg = "Value error, 'from' should not be later than 'to'".into();
            self.refuse("value_error", "from", msg, given.as_deref(), None);
        }
    }

    /// All that was wrong, what was wrong in the path first; else the value of the path.
    pub(super) fn finish_with<T>(mut self, path: Result<T, Box<Invalid>>) -> Result<T, ApiError> {
        match path {
            Ok(value) => self.finish().map(|()| value),
            Err(invalid) => {
                self.invalid.insert(0, *invalid);
                Err(ApiError::invalid(self.invalid))
            }
        }
    }

    /// All that was wrong, if anything was.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        if self.invalid.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.invalid)) }
    }
}

const NOT_AN_INTEGER: &str = "Input should be a valid integer, unable to parse string as an integer";

/// A whole number; saturates, so that a number too large is too large and not unreadable.
fn whole_number(text: &str) -> Option<i64> {
    let trimmed = text.trim();
    let (negative, digits) = match trimmed.as_bytes().first()? {
        b'-' => (true, &trimmed[1..]),
        b'+' => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

/// A whole number in a path, percent-encoded.
pub(super) fn path_whole(key: &str, raw: &str) -> Result<i64, Box<Invalid>> {
    let text = decode(raw, false);
    text.as_deref().and_then(whole_number).ok_or_else(|| {
        Box::new(Invalid {
            kind: "int_parsing",
            loc: ["path".into(), key.into()],
            msg: NOT_AN_INTEGER.into(),
            input: Some(text.unwrap_or_else(|| raw.into())),
            ctx: None,
        })
    })
}

#[cfg(test)]
mod tests;
