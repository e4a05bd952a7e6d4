//! Patterns of schemas. JSON Schema means ECMAScript's, whose syntax the regex library does not read everywhere as
//! ECMAScript does: `\d` is ASCII's, and `&&` in a class is two characters. They are rewritten, so that all builds judge
//! alike, whatever tables the library has.

use regex::{Regex, RegexBuilder};
use std::{cell::RefCell, collections::HashMap, str::Chars};

/// The most memory that a plugin's pattern may take.
const MOST_BYTES: usize = 1 << 20;

const DIGIT: &str = "[0-9]";
const NO_DIGIT: &str = "[^0-9]";
const WORD: &str = "[0-9A-Za-z_]";
const NO_WORD: &str = "[^0-9A-Za-z_]";
const SPACE: &str =
    r"[\x09-\x0D\x20\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}]";
const NO_SPACE: &str =
    r"[^\x09-\x0D\x20\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}]";
const NO_LINE_END: &str = r"[^\x0A\x0D\x{2028}\x{2029}]";
const ANY: &str = r"[\x00-\x{10FFFF}]";
const NONE: &str = r"[^\x00-\x{10FFFF}]";

/// The patterns of one schema: each is compiled once, however many texts it is held against.
#[derive(Default)]
pub(super) struct Patterns<'a>(RefCell<HashMap<&'a str, Option<Regex>>>);

impl<'a> Patterns<'a> {
    /// Whether a pattern is found anywhere in a text; nothing where it can't be judged.
    pub(super) fn is_match(&self, pattern: &'a str, text: &str) -> Option<bool> {
        let mut known = self.0.borrow_mut();
        let regex = known.entry(pattern).or_insert_with(|| compiled(pattern)).as_ref()?;
        Some(regex.is_match(text))
    }
}

/// Nothing where a pattern is none, takes too much room, or has what takes no linear time.
pub(crate) fn compiled(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&rewritten(pattern)?).size_limit(MOST_BYTES).build().ok()
}

/// What an escape, or an element of a class, stands for.
enum Atom {
    One(char),
    /// A class in the library's syntax.
    Set(&'static str),
}

/// ECMAScript's pattern (as with its flag `u`, but for lone brackets) in the library's syntax. Nothing where it is none,
/// or looks ahead, behind or back, or asks for properties of Unicode.
fn rewritten(pattern: &str) -> Option<String> {
    let (mut rest, mut out) = (pattern.chars(), String::with_capacity(2 * pattern.len()));
    let mut repeats = false; // whether a quantifier may come
    while let Some(c) = rest.next() {
        repeats = match c {
            '*' | '+' | '?' | '{' if !repeats => return None,
            '*' | '+' | '?' => quantifier(&c.to_string(), &mut rest, &mut out),
            '{' => {
                let (count, behind) = rest.as_str().split_once('}').filter(|(count, _)| is_count(count))?;
                rest = behind.chars();
                quantifier(&format!("{{{count}}}"), &mut rest, &mut out)
            }
            '|' | '^' | '$' => {
                out.push(c);
                false
            }
            '(' => {
                rest = group(rest.as_str())?.chars();
                out.push_str("(?:");
                false
            }
            ')' => {
                out.push(c);
                true
            }
            '\\' if rest.as_str().starts_with(['b', 'B']) => {
                let boundary = if rest.next() == Some('b') { r"(?-u:\b)" } else { r"(?-u:\B)" };
                out.push_str(boundary);
                false
            }
            '[' => {
                class(&mut rest, &mut out)?;
                true
            }
            c => {
                let atom = match c {
                    '\\' => escape(&mut rest)?,
                    '.' => Atom::Set(NO_LINE_END),
                    c => Atom::One(c),
                };
                put(&atom, &mut out);
                true
            }
        };
    }
    Some(out)
}

/// Also takes the `?` behind it. No other quantifier may follow.
fn quantifier(quantifier: &str, rest: &mut Chars<'_>, out: &mut String) -> bool {
    out.push_str(quantifier);
    if let Some(behind) = rest.as_str().strip_prefix('?') {
        out.push('?');
        *rest = behind.chars();
    }
    false
}

/// `3`, `3,` and `3,5`.
fn is_count(count: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (least, most) = count.split_once(',').unwrap_or((count, ""));
    !least.is_empty() && digits(least) && digits(most)
}

/// What follows the beginning of a group, `(?<name>` among them.
fn group(rest: &str) -> Option<&str> {
    let Some(special) = rest.strip_prefix('?') else { return Some(rest) };
    special.strip_prefix(':').or_else(|| {
        let (name, behind) = special.strip_prefix('<')?.split_once('>')?;
        name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '$')).then_some(behind)
    })
}

/// A class, up to its bracket.
fn class(rest: &mut Chars<'_>, out: &mut String) -> Option<()> {
    let behind = rest.as_str().strip_prefix('^');
    if let Some(behind) = behind {
        *rest = behind.chars();
    }
    let negated = behind.is_some();
    if let Some(behind) = rest.as_str().strip_prefix(']') {
        *rest = behind.chars();
        out.push_str(if negated { ANY } else { NONE });
        return Some(());
    }
    out.push_str(if negated { "[^" } else { "[" });
    loop {
        let first = match rest.next()? {
            ']' => break,
            c => element(c, rest)?,
        };
        put(&first, out);
        let Some(behind) = rest.as_str().strip_prefix('-').filter(|behind| !behind.starts_with(']')) else {
            continue;
        };
        *rest = behind.chars();
        let last = rest.next()?;
        let last = element(last, rest)?;
        // the library refuses one whose ends are the wrong way round
        let (Atom::One(_), Atom::One(_)) = (first, &last) else { return None };
        out.push('-');
        put(&last, out);
    }
    out.push(']');
    Some(())
}

fn element(c: char, rest: &mut Chars<'_>) -> Option<Atom> {
    match c {
        '\\' if rest.as_str().starts_with('b') => rest.next().map(|_| Atom::One('\x08')),
        '\\' => escape(rest),
        c => Some(Atom::One(c)),
    }
}

/// What follows a backslash.
fn escape(rest: &mut Chars<'_>) -> Option<Atom> {
    Some(match rest.next()? {
        'd' => Atom::Set(DIGIT),
        'D' => Atom::Set(NO_DIGIT),
        'w' => Atom::Set(WORD),
        'W' => Atom::Set(NO_WORD),
        's' => Atom::Set(SPACE),
        'S' => Atom::Set(NO_SPACE),
        't' => Atom::One('\t'),
        'n' => Atom::One('\n'),
        'r' => Atom::One('\r'),
        'v' => Atom::One('\x0B'),
        'f' => Atom::One('\x0C'),
        '0' if !rest.as_str().starts_with(|c: char| c.is_ascii_digit()) => Atom::One('\0'),
        'c' => {
            let letter = rest.next().filter(char::is_ascii_alphabetic)?;
            Atom::One(char::from(letter as u8 % 32))
        }
        'x' => Atom::One(numbered(rest, 2)?),
        'u' => match rest.as_str().strip_prefix('{') {
            Some(braced) => {
                let (number, behind) = braced.split_once('}')?;
                let one = numbered(&mut number.chars(), number.len())?;
                *rest = behind.chars();
                Atom::One(one)
            }
            None => Atom::One(numbered(rest, 4)?),
        },
        c if c.is_alphanumeric() => return None,
        c => Atom::One(c),
    })
}

/// The character whose number is so many hexadecimal digits; halves of UTF-16 are none.
fn numbered(rest: &mut Chars<'_>, digits: usize) -> Option<char> {
    let (number, behind) = rest.as_str().split_at_checked(digits)?;
    let hexadecimal = number.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(number, 16).ok().filter(|_| hexadecimal)?;
    *rest = behind.chars();
    char::from_u32(number)
}

/// By its number: no character has another meaning then.
fn put(atom: &Atom, out: &mut String) {
    match atom {
        Atom::One(c) => out.push_str(&format!(r"\x{{{:X}}}", u32::from(*c))),
        Atom::Set(set) => out.push_str(set),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ECMAScript judges them, with the flag `u`.
    #[test]
    fn patterns_are_those_of_ecmascript() {
        let cases: [(&str, &[&str], &[&str]); 22] = [
            (r"^\S+$", &["a", "ä€"], &["", "a b", "a\u{a0}b", "a\u{feff}"]),
            (r"^\d+.*$", &["1", "12ä"], &["x", "٣", "1\u{2028}"]),
            (r"^\w+[^/]*$", &["a", "b ü"], &["ü", "a/b"]),
            (r"^\W\D\s$", &["ää\u{3000}", "-٣ "], &["aa ", "-1 ", "-a\u{85}"]),
            (r"^.{3}$", &["äöü", "€€€"], &["äö", "a\rb"]),
            (r"^[+--/]$", &["+", ",", "-", "/"], &["."]),
            (r"^[a&&b]$", &["a", "b", "&"], &["c", "&&"]),
            (r"^[a~~b]$", &["a", "b", "~"], &["c"]),
            (r"^[[a]$", &["[", "a"], &["]"]),
            (r"^[\w.-]+$", &["a-b.c", "_"], &["ä", ""]),
            (r"^[^\s\d]+$", &["aä"], &["a 1", "1"]),
            (r"^[]|^[^]b", &["ab", "\nb"], &["a", ""]),
            (r"^a\]}]$", &["a]}]"], &["a}"]),
            (r"\bcat\b", &["a cat.", "äcatä"], &["cats"]),
            (r"a\Bb", &["ab"], &["a b"]),
            (r"^(?:a|b)(?<rest>c+?)$", &["acc", "bc"], &["c", "a"]),
            (r"^x{2}y{1,}z{0,1}$", &["xxy", "xxyyz"], &["xy", "xxyzz"]),
            (r"^\x41\u00e4\u{1F600}\cA\0$", &["A\u{e4}\u{1F600}\x01\0"], &["A"]),
            (r"^[\b\u0041-\u{43}]$", &["\x08", "B"], &["b", "D"]),
            (r"^\/a\.b\-$", &["/a.b-"], &["/axb-"]),
            ("^#x y$", &["#x y"], &["xy"]),
            ("b", &["abc"], &["ac"]),
        ];
        for (pattern, matching, others) in cases {
            let regex = compiled(pattern).unwrap_or_else(|| panic!("{pattern}: {:?}", rewritten(pattern)));
            assert!(matching.iter().all(|text| regex.is_match(text)), "{pattern} {matching:?}");
            assert!(!others.iter().any(|text| regex.is_match(text)), "{pattern} {others:?}");
            // the agent's library has no Unicode tables, though that of these tests may
            let escapes = regex.as_str().replace(r"(?-u:\b)", "").replace(r"(?-u:\B)", "").replace(r"\x", "");
            assert!(!escapes.contains('\\'), "{pattern} {regex}");
        }
    }

    #[test]
    fn what_is_no_pattern_or_takes_no_linear_time_is_not_judged() {
        for pattern in [
            "(",
            ")",
            "[",
            "[a",
            "*",
            "a**",
            "a++",
            "^*",
            "a{",
            "a{,2}",
            "a{2,1}",
            "[b-a]",
            r"[\d-z]",
            r"\",
            "(?i)a",
            "(?=a)",
            "(?<!a)",
            r"(a)\1",
            r"(?<x>a)\k<x>",
            r"\p{L}",
            r"\A",
            r"\00",
            r"\x4",
            r"\uD83D",
            r"\u{}",
            r"\c1",
            "(y{1000}){1000}",
        ] {
            assert!(compiled(pattern).is_none(), "{pattern}");
        }
    }
}
