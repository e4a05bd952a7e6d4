//! Patterns of schemas. They are ECMAScript's, whose notation is not quite that of the regex library.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, GroupKind, Span,
    parse::Parser,
};

/// The most memory that a plugin's pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

const DIGITS: &str = "0-9";
const WORD: &str = "0-9A-Za-z_";
/// Also what ends a line.
const SPACES: &str =
    r"\t\n\x0b\x0c\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";
const DOT: &str = r"[^\n\r\u{2028}\u{2029}]";

/// A pattern, searched for anywhere in a text. Nothing where it is none, takes too much room, has what takes no linear time,
/// or what means one thing here and another in ECMAScript.
pub(crate) fn compiled(pattern: &str) -> Option<Regex> {
    let tree = Parser::new().parse(pattern).ok()?;
    let changes = ast::visit(&tree, Translation { pattern, changes: Vec::new() }).ok()?;
    let mut translated = String::with_capacity(pattern.len());
    let mut done = 0;
    for (span, text) in changes {
        translated.push_str(&pattern[done..span.start.offset]);
        translated.push_str(&text);
        done = span.end.offset;
    }
    translated.push_str(&pattern[done..]);
    RegexBuilder::new(&translated).size_limit(PATTERN_BYTES).build().ok()
}

/// What is written otherwise here, in the order of the pattern. Without Unicode's tables, which the library lacks.
struct Translation<'p> {
    pattern: &'p str,
    changes: Vec<(Span, String)>,
}

/// The pattern can't be judged.
struct Unjudged;

impl Translation<'_> {
    fn change(&mut self, span: Span, text: impl Into<String>) {
        self.changes.push((span, text.into()));
    }
}

fn members(class: &ClassPerl) -> &'static str {
    match class.kind {
        ClassPerlKind::Digit => DIGITS,
        ClassPerlKind::Space => SPACES,
        ClassPerlKind::Word => WORD,
    }
}

fn class(class: &ClassPerl) -> String {
    format!("[{}{}]", if class.negated { "^" } else { "" }, members(class))
}

impl ast::Visitor for Translation<'_> {
    type Output = Vec<(Span, String)>;
    type Err = Unjudged;

    fn finish(self) -> Result<Self::Output, Unjudged> {
        Ok(self.changes)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Unjudged> {
        match ast {
            Ast::Dot(span) => self.change(**span, DOT),
            Ast::ClassPerl(perl) => self.change(perl.span, class(perl)),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine | AssertionKind::EndLine => {}
                AssertionKind::WordBoundary => self.change(assertion.span, r"(?-u:\b)"),
                AssertionKind::NotWordBoundary => self.change(assertion.span, r"(?-u:\B)"),
                _ => return Err(Unjudged),
            },
            // `[]` has no members there, and begins a class with a bracket here
            Ast::ClassBracketed(class) => {
                let text = &self.pattern[class.span.start.offset..class.span.end.offset];
                if text.starts_with("[]") || text.starts_with("[^]") {
                    return Err(Unjudged);
                }
            }
            Ast::Group(group) => {
                if let GroupKind::NonCapturing(flags) = &group.kind
                    && !flags.items.is_empty()
                {
                    return Err(Unjudged);
                }
            }
            // case and properties need tables
            Ast::Flags(_) | Ast::ClassUnicode(_) => return Err(Unjudged),
            Ast::Empty(_) | Ast::Literal(_) | Ast::Repetition(_) | Ast::Alternation(_) | Ast::Concat(_) => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Unjudged> {
        match item {
            ClassSetItem::Perl(perl) if perl.negated => self.change(perl.span, class(perl)),
            ClassSetItem::Perl(perl) => self.change(perl.span, members(perl)),
            // there they are plain characters
            ClassSetItem::Ascii(_) | ClassSetItem::Bracketed(_) => return Err(Unjudged),
            ClassSetItem::Unicode(_) => return Err(Unjudged),
            ClassSetItem::Empty(_)
            | ClassSetItem::Literal(_)
            | ClassSetItem::Range(_)
            | ClassSetItem::Union(_) => {}
        }
        Ok(())
    }

    /// There `&&`, `--` and `~~` in a class are plain characters and ranges.
    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), Unjudged> {
        Err(Unjudged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_ecmascript() {
        let cases: [(&str, &[&str], &[&str]); 12] = [
            (r"^\S+$", &["a", "äöü", "/x-y"], &["", "a b", "a\u{a0}b", "a\u{2003}b", "a\u{feff}"]),
            (r"^\d+.*", &["1", "12 ä", "1\n"], &["x", "٣", ""]),
            (r"^\w+[^/]*$", &["a", "aä", "_ \n"], &["ä", "a/b", ""]),
            (r"^.{3}$", &["äöü", "a\u{85}b"], &["ää", "a\nb", "a\rb", "a\u{2028}b"]),
            (r"^[\w.-]+$", &["a.b-c_1"], &["ä", "a b"]),
            (r"^[^\s/]+$", &["ä"], &["a b", "a/b", "a\u{3000}b"]),
            (r"^[\D]$", &["ä", "x"], &["1"]),
            (r"^[^\W_]+$", &["a1"], &["a_", "ä"]),
            (r"\bab\b", &["ab", "äab", "x ab."], &["xab", "ab_"]),
            (r"^(?:a|(b)|(?<name>c))\/[\]\[]$", &["a/]", "c/["], &["a/x", "/]"]),
            (r"^(a+\.)+$", &["a.aa."], &["a"]),
            ("ä?ö$", &["ö", "xäö"], &["ä"]),
        ];
        for (pattern, fit, other) in cases {
            let compiled = compiled(pattern).unwrap_or_else(|| panic!("{pattern}"));
            assert!(fit.iter().all(|text| compiled.is_match(text)), "{pattern} of {fit:?}: {compiled}");
            assert!(!other.iter().any(|text| compiled.is_match(text)), "{pattern} of {other:?}: {compiled}");
        }
    }

    #[test]
    fn what_means_something_else_there_is_not_judged() {
        for pattern in [
            "[+--/]",
            "[a&&b]",
            "[a~~b]",
            "[a[b]]",
            "[[:alpha:]]",
            "[]a]",
            "[^]a]",
            r"\p{L}",
            r"[\p{L}]",
            "(?i)a",
            "(?i:a)",
            r"\Aa\z",
            r"\b{start}a",
            "(?=a)",
            r"(a)\1",
            "(",
            "a{2,1}",
            "(y{1000}){1000}",
        ] {
            assert!(compiled(pattern).is_none(), "{pattern}");
        }
    }
}
