//! Syntax errors in words for people, and how much of a broken file can still be checked.

use super::{
    check::Check,
    document::{Source, Spot},
    problem::quoted,
};
use toml::de::DeTable;

/// How far a syntax error reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// One value, or one key that stands twice: the rest of the file means what it says.
    Value,
    /// One line: what follows may belong elsewhere, but is read as usual.
    Line,
    /// To the end: something was not closed, and each further error is but a consequence.
    Rest,
}

/// An error in our words.
struct Words {
    reach: Reach,
    message: String,
    hint: String,
}

/// Reports a file's syntax errors and returns the part of its text that can be checked further: all of it where each
/// error spoils one value only, else what stands before the table in which the first one lies.
pub(super) fn understood<'a>(file: usize, check: &mut Check<'a>) -> &'a str {
    let sources = check.sources;
    let source = &sources[file];
    let mut errors = errors(source);
    errors.sort_by_key(|(offset, words)| (source.line(*offset), words.reach == Reach::Value, *offset));
    let mut broken = None;
    for (offset, words) in errors {
        check.syntax_error(Spot { file, offset }, &words.message, &words.hint);
        if words.reach > Reach::Value && broken.is_none() {
            broken = Some(offset);
            check.incomplete = true;
        }
        if words.reach == Reach::Rest {
            break;
        }
    }
    match broken {
        None => &source.text,
        Some(offset) => before_table(source, offset),
    }
}

/// The text before the last table header that begins at or before a byte, if that is sound.
fn before_table(source: &Source, offset: usize) -> &str {
    let last = source.line(offset);
    let headers = (1..=last).rev().filter(|line| source.line_text(*line).trim_start().starts_with('['));
    // a line of a list of several lines may look like a header: then the one before is tried
    for line in headers.take(3) {
        let text = &source.text[..source.start_of(line)];
        let (_, errors) = DeTable::parse_recoverable(text);
        if errors.iter().all(|error| reach(error.message()) == Reach::Value) {
            return text;
        }
    }
    ""
}

fn errors(source: &Source) -> Vec<(usize, Words)> {
    let (_, errors) = DeTable::parse_recoverable(&source.text);
    let words = |error: &toml::de::Error| {
        let span = error.span().unwrap_or_default();
        let raw = source.text.get(span.clone()).unwrap_or("");
        let offset = place(error.message(), span.start, &source.text);
        (offset, explain(error.message(), raw, source, offset))
    };
    errors.iter().map(words).collect()
}

/// Where people will look for an error that the parser saw at `offset`.
fn place(message: &str, offset: usize, text: &str) -> usize {
    let mut offset = offset.min(text.len());
    // seen at the end of the file, made where the text begins
    if message.starts_with("invalid multi-line") && offset >= text.trim_end().len() {
        let quotes = if message.contains("literal") { "'''" } else { r#"""""# };
        return text.rfind(quotes).unwrap_or(0);
    }
    if offset >= text.trim_end().len() {
        offset = text.trim_end().len().saturating_sub(1);
    }
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// How far an error of the TOML library reaches, by how its message begins. An unknown message reaches to the end of
/// its line, which is the safe choice.
fn reach(message: &str) -> Reach {
    const VALUE: [&str; 22] = [
        "string values must be quoted",
        "invalid boolean",
        "invalid float",
        "invalid integer",
        "invalid date",
        "invalid time",
        "unexpected leading zero",
        "duplicate key",
        "missing escaped value",
        "too few unicode",
        "invalid basic string",
        "invalid literal string",
        "integers with a radix",
        "radix must be lowercase",
        "unexpected sign",
        "redundant numeric sign",
        "redundant integer number prefix",
        "`_` may only go",
        "extra comma in array",
        "extra comma in inline table",
        "invalid comment character",
        "cannot extend value",
    ];
    const REST: [&str; 8] = [
        "unclosed array,",
        "unclosed inline table",
        "missing comma",
        "extra assignment",
        "unexpected `=` in array",
        "invalid multi-line",
        "recursion limit",
        "cannot recurse",
    ];
    let begins = |starts: &[&str]| starts.iter().any(|start| message.starts_with(start));
    if begins(&VALUE) {
        Reach::Value
    } else if begins(&REST) {
        Reach::Rest
    } else {
        Reach::Line
    }
}

/// What the TOML library says of a word that begins like a number or a date.
const NUMBERS: [&str; 10] = [
    "invalid float",
    "invalid integer",
    "invalid date",
    "invalid time",
    "unexpected leading zero",
    "integers with a radix",
    "radix must be lowercase",
    "unexpected sign",
    "redundant",
    "`_` may only go",
];

fn explain(message: &str, raw: &str, source: &Source, offset: usize) -> Words {
    let line = source.line_text(source.line(offset)).trim_start();
    let says = |start: &str| message.starts_with(start);
    // a list that was not closed swallowed the header
    if says("string values must be quoted") && is_header(line) {
        let hint = "is the list above closed by ]?".to_owned();
        return Words { reach: Reach::Rest, message: "the header of a table within a list".to_owned(), hint };
    }
    let (text, hint) = if says("string values must be quoted") {
        unquoted(raw)
    } else if says("invalid boolean") {
        (format!("{} is not a value", quoted(raw)), format!("write {}", raw.to_ascii_lowercase()))
    } else if says("duplicate key") {
        twice(raw, line)
    } else if says("cannot extend value") {
        (
            format!("{} is a value already, and can't be a table", quoted(raw)),
            "keep one of the two".to_owned(),
        )
    } else if NUMBERS.iter().any(|start| says(start)) {
        not_a_number(source, offset)
    } else if says("missing escaped value") || says("too few unicode") {
        pair("a backslash that means nothing", r"write \\ for a backslash, or the text in single quotes")
    } else if says("key with no value") {
        no_value(line)
    } else if says("invalid unquoted key") || says("unquoted keys cannot be empty") {
        bad_key(line)
    } else if !raw.is_empty() && raw.chars().all(char::is_control) {
        let text = format!("the control character {} in a text", quoted(raw));
        (text, r"remove it, or write it as \u and four digits in double quotes".to_owned())
    } else {
        explain_structure(message)
    };
    Words { reach: reach(message), message: text, hint }
}

fn explain_structure(message: &str) -> (String, String) {
    let table = [
        (
            "unexpected key or value",
            "nothing more may stand in this line",
            "write each key in a line of its own; # begins a comment",
        ),
        ("unclosed table", "the header of a table is not closed", "write ] at its end"),
        ("unclosed array table", "the header of a table is not closed", "write ]] at its end"),
        ("unclosed array", "a list is not closed", "write ] at its end"),
        ("unclosed inline table", "a table is not closed", "write } at its end"),
        (
            "missing comma between array",
            "a comma or the end of a list is missing",
            "write a comma between two elements and ] after the last",
        ),
        (
            "missing comma",
            "a comma or the end of a table is missing",
            "write a comma between two keys and } after the last",
        ),
        (
            "extra assignment",
            "a comma or the end of a table is missing",
            "write a comma between two keys and } after the last",
        ),
        ("unexpected `=` in array", "a key within a list", "is the list above closed by ]?"),
        ("invalid basic string", "a text is not closed", "write \" at its end"),
        ("invalid literal string", "a text is not closed", "write ' at its end"),
        (
            "invalid multi-line basic string",
            "a text of several lines is not closed",
            "write \"\"\" at its end",
        ),
        (
            "invalid multi-line literal string",
            "a text of several lines is not closed",
            "write ''' at its end",
        ),
        (
            "carriage return",
            "a carriage return without a line feed",
            "save the file with LF or CRLF at the line ends",
        ),
        ("extra comma", "a comma too many", "remove it"),
        ("invalid comment character", "a control character in a comment", "remove it"),
        ("extra `=`", "one = too many", "write key = value"),
        ("recursion limit", "nested too deeply", ""),
        ("cannot recurse", "nested too deeply", ""),
    ];
    match table.iter().find(|(start, ..)| message.starts_with(start)) {
        Some((_, text, hint)) => pair(text, hint),
        None => pair(message, ""),
    }
}

/// Whether a line is `[name]` or `[[name]]` and nothing else.
fn is_header(line: &str) -> bool {
    let name = line.trim().trim_start_matches('[').trim_end_matches(']');
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    line.starts_with('[') && line.trim_end().ends_with(']') && !name.is_empty() && name.chars().all(bare)
}

fn pair(message: &str, hint: &str) -> (String, String) {
    (message.to_owned(), hint.to_owned())
}

fn unquoted(raw: &str) -> (String, String) {
    let lower = raw.to_ascii_lowercase();
    if raw.is_empty() {
        return pair("the value is missing", "write one after the =, or put # before the key");
    }
    let hint = match lower.as_str() {
        "yes" | "on" | "true" => "write true".to_owned(),
        "no" | "off" | "false" => "write false".to_owned(),
        "none" | "null" | "nil" => "leave the key out".to_owned(),
        _ => {
            let text = raw.trim_matches(['"', '\'', '“', '”', '„', '‘', '’', '‚']);
            format!("write it in quotes: {}", quoted(text))
        }
    };
    (format!("{} is not a value", quoted(raw)), hint)
}

fn twice(raw: &str, line: &str) -> (String, String) {
    if line.starts_with('[') {
        let header = line.split('#').next().unwrap_or(line).trim_end();
        return (
            format!("the table {} stands twice in this file", quoted(header)),
            "join the two".to_owned(),
        );
    }
    (format!("the key {} is set twice in this file", quoted(raw)), "keep one of the two".to_owned())
}

/// A word that begins like a number or a date, such as an address.
fn not_a_number(source: &Source, offset: usize) -> (String, String) {
    let ends = |c: char| c.is_whitespace() || matches!(c, '=' | ',' | '[' | ']' | '{' | '}' | '#');
    let (before, after) = source.text.split_at(offset);
    let start = before.rfind(ends).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let end = after.find(ends).map_or(source.text.len(), |at| offset + at);
    let word = &source.text[start..end];
    if word.chars().all(|c| c.is_ascii_digit()) {
        let hint = "write it without zeros at the front, or in quotes if it is text".to_owned();
        return (format!("{} is not a number", quoted(word)), hint);
    }
    unquoted(word)
}

fn no_value(line: &str) -> (String, String) {
    if line.starts_with("//") || line.starts_with(';') {
        return pair("not a key", "comments begin with #");
    }
    if line.contains(':') && !line.contains('=') {
        return pair("a key without a value", "write = between a key and its value, not :");
    }
    pair("a key without a value", "write key = value")
}

fn bad_key(line: &str) -> (String, String) {
    if line.starts_with("//") || line.starts_with(';') {
        return pair("not a key", "comments begin with #");
    }
    pair("not a key", "a key is made of letters, digits, - and _; write any other in quotes")
}
