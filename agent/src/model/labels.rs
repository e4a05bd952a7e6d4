//! Label sets.

use std::{fmt, sync::Arc};

/// Label keys and values, sorted by key, each key once. An empty value is the same as no label, as in Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// From pairs in any order. Of a key that stands twice, the last one counts.
    pub fn new<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut sorted: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (key, value) in pairs {
            let (key, value) = (key.as_ref(), value.as_ref());
            sorted.retain(|(known, _)| **known != *key);
            if !value.is_empty() {
                sorted.push((key.into(), value.into()));
            }
        }
        sorted.sort();
        Self(sorted.into())
    }

    /// The value of a label; empty where there is none.
    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(known, _)| **known == *key).map_or("", |(_, value)| value)
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what [`Display`](fmt::Display) writes; nothing where it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let mut rest = text.strip_prefix('{')?;
        let mut pairs = Vec::new();
        loop {
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = unescape(after)?;
            pairs.push((key, value));
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None if after == "}" => return Some(Self::new(pairs)),
                None => return None,
            }
        }
    }
}

/// The text up to the closing quote, unescaped, and what follows the quote.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

/// As in the Prometheus exposition: `{cpu="0",mode="idle"}`, or nothing where there are no labels.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for (index, (key, value)) in self.iter().enumerate() {
            write!(f, "{}{key}=\"", if index == 0 { '{' } else { ',' })?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    other => f.write_char(other)?,
                }
            }
            f.write_char('"')?;
        }
        if self.is_empty() { Ok(()) } else { f.write_char('}') }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn are_sorted_and_unique() {
        let labels = Labels::new([("b", "1"), ("a", "x\"\\\n"), ("b", "2"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="x\"\\\n",b="2"}"#);
        assert_eq!(labels.get("b"), "2");
        assert_eq!(labels.get("c"), "");
    }

    proptest! {
        #[test]
        fn are_read_as_written(pairs in prop::collection::vec(("[a-z_][a-z0-9_]{0,3}", ".*"), 0..5)) {
            let labels = Labels::new(pairs);
            prop_assert_eq!(Labels::parse(&labels.to_string()), Some(labels));
        }

        #[test]
        fn garbage_is_refused_without_a_panic(text in ".*") {
            let _ = Labels::parse(&text);
        }
    }
}
