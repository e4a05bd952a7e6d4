//! Series as PromQL names them: `host_load1`, `host_cpu_seconds_total{mode=~"idle|iowait",cpu!="all"}`.

use super::{
    definitions::{check_labels, check_name},
    number::shortened,
};
use crate::{
    model::Labels,
    store::{Matcher, Selector},
};

/// What is no selector, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct BadSelector(String);

/// Reads a selector.
///
/// # Errors
/// What is wrong with it, and how it is written.
pub fn parse_selector(text: &str) -> Result<Selector, BadSelector> {
    let (name, labels) = match text.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').ok_or_else(|| wrong(labels))?),
        None => (text, ""),
    };
    check_name(name).map_err(BadSelector)?;
    let (mut matchers, mut rest) = (Vec::new(), labels.trim());
    while !rest.is_empty() {
        let (matcher, after) = matcher(rest)?;
        matchers.push(matcher);
        rest = match after.trim_start() {
            "" => "",
            more => more.strip_prefix(',').ok_or_else(|| wrong(more))?.trim_start(),
        };
    }
    Ok(Selector { metric: name.into(), matchers })
}

fn wrong(text: &str) -> BadSelector {
    let text = shortened(text);
    BadSelector(format!("`{text}`: write a selector as name{{label=\"value\",other=~\"pattern\"}}"))
}

/// The first condition, and what follows it.
fn matcher(text: &str) -> Result<(Matcher, &str), BadSelector> {
    let key_end = text.find(['=', '!']).ok_or_else(|| wrong(text))?;
    let key = text[..key_end].trim();
    if key.is_empty() {
        return Err(wrong(text));
    }
    check_labels(&Labels::new([(key, "x")])).map_err(BadSelector)?;
    let rest = &text[key_end..];
    let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| rest.starts_with(operator));
    let operator = operator.ok_or_else(|| wrong(text))?;
    let quoted = rest[operator.len()..].trim_start().strip_prefix('"').ok_or_else(|| wrong(text))?;
    let (value, after) = unquoted(quoted).ok_or_else(|| wrong(text))?;
    let bad = |error: crate::store::BadPattern| BadSelector(format!("{key}: {error}"));
    let matcher = match operator {
        "=~" => Matcher::matches(key, &value).map_err(bad)?,
        "!~" => Matcher::matches_not(key, &value).map_err(bad)?,
        "!=" => Matcher::not_equal(key, value),
        _ => Matcher::equal(key, value),
    };
    Ok((matcher, after))
}

/// The text up to the closing quote. Only a quote and a backslash are escaped; `\d` of a pattern stays what it is.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' if chars.peek().is_some_and(|(_, next)| matches!(next, '"' | '\\')) => {
                value.extend(chars.next().map(|(_, next)| next));
            }
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read() {
        for text in [
            "host_load1",
            r#"a{b="c"}"#,
            r#"a{b="c",d!="e",f=~"g.*",h!~"i|j"}"#,
            r#"a{b="with } and , and \" and \\"}"#,
        ] {
            assert_eq!(parse_selector(text).unwrap().to_string(), text);
        }
        assert_eq!(parse_selector(r#"a{ b = "c" , d="e", }"#).unwrap().to_string(), r#"a{b="c",d="e"}"#);
        assert_eq!(parse_selector("a{}").unwrap().to_string(), "a");
    }

    #[test]
    fn garbage_is_refused() {
        for text in [
            "",
            "{}",
            "a{",
            "a}",
            "a{b}",
            "a{b=}",
            "a{b=\"}",
            "a{b=c}",
            "a{=\"c\"}",
            "a{b=~\"(\"}",
            "ä",
            "a{b=\"c\"d}",
        ] {
            assert!(parse_selector(text).is_err(), "{text}");
        }
    }
}
