//! Names and simple patterns of the configuration's lists.

use serde::Deserialize;

/// An exact name, or a pattern in which each `*` stands for any run of bytes, `/` included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `name` matches. Takes at most length of pattern × length of name steps.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut at, mut here) = (0, 0);
        // where the last `*` stood, and the first byte that it does not stand for yet
        let mut star: Option<(usize, usize)> = None;
        while here < name.len() {
            if pattern.get(at) == Some(&b'*') {
                star = Some((at, here));
                at += 1;
            } else if pattern.get(at) == Some(&name[here]) {
                at += 1;
                here += 1;
            } else if let Some((star_at, taken)) = star {
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                here = taken + 1;
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// What to report and what to leave out, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Lists {
    pub(crate) include: Vec<Pattern>,
    pub(crate) exclude: Vec<Pattern>,
}

impl Lists {
    /// What the lists say of a name: report it, leave it out, or nothing. `include` has the last word.
    pub(crate) fn verdict(&self, name: &[u8]) -> Option<bool> {
        let named = |list: &[Pattern]| list.iter().any(|pattern| pattern.matches(name));
        if named(&self.include) {
            Some(true)
        } else if named(&self.exclude) {
            Some(false)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::from(pattern).matches(name.as_bytes())
    }

    #[test]
    fn a_star_stands_for_any_run() {
        assert!(matches("/data", "/data"));
        assert!(!matches("/data", "/data/x"));
        assert!(!matches("/data", "/dat"));
        assert!(matches("/data/*", "/data/x/y"));
        assert!(!matches("/data/*", "/data"));
        assert!(matches("*", ""));
        assert!(matches("nvme*n*p*", "nvme0n1p12"));
        assert!(!matches("nvme*n*p*", "nvme0n1"));
        assert!(matches("*ab*abc", "abababc"));
        assert!(matches("a**b", "ab"));
        assert!(!matches("", "a"));
        assert!(matches("/w[0]?", "/w[0]?"));
    }

    #[test]
    fn include_has_the_last_word() {
        let lists = Lists { include: vec!["sda1".into()], exclude: vec!["sd*".into()] };
        assert_eq!(lists.verdict(b"sda1"), Some(true));
        assert_eq!(lists.verdict(b"sda"), Some(false));
        assert_eq!(lists.verdict(b"vda"), None);
    }

    /// The definition, by recursion.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| by_definition(rest, &name[skip..])),
            (Some((a, pattern)), Some((b, name))) => a == b && by_definition(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,7}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), by_definition(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
