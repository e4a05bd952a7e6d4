//! Names that a plugin can have: its crate, its table in `agent.toml` and its metrics are called so.

/// The longest name: with the longest of suffixes it is still a metric's name.
const MOST: usize = 64;

/// Words that cargo or the compiler keeps for itself, and the crates that a plugin needs.
const TAKEN: &[&str] = &[
    "agent",
    "alloc",
    "as",
    "async",
    "await",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "twarga-plugin-api",
    "type",
    "unsafe",
    "use",
    "where",
    "while",
    "yield",
];

/// Whether a plugin can be called so.
///
/// # Errors
/// What is wrong, and what to write.
pub(super) fn check(name: &str) -> Result<(), String> {
    if !is_of_its_letters(name) {
        let example = suggestion(name);
        return Err(format!("small letters, digits and `-` only, a letter first, such as `{example}`"));
    }
    problem(name).map_or(Ok(()), |problem| Err(problem.into()))
}

fn is_of_its_letters(name: &str) -> bool {
    let may_stand = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(may_stand)
}

/// What is wrong with a name of the right letters.
fn problem(name: &str) -> Option<&'static str> {
    if name.ends_with('-') || name.contains("--") {
        Some("a `-` stands between two words")
    } else if name.len() > MOST {
        Some("it has over 64 letters")
    } else if TAKEN.contains(&name) || name == "twarga" || name.starts_with("twarga-agent") {
        Some("it is taken by the agent, by cargo or by Rust; add a word, such as `my-` in front")
    } else {
        None
    }
}

/// What was probably meant.
fn suggestion(name: &str) -> String {
    let letters = name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), " ");
    let words = letters.split_whitespace().collect::<Vec<_>>().join("-");
    let kept = words.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let is_good = is_of_its_letters(kept) && problem(kept).is_none();
    if is_good { kept.into() } else { "disk-temperature".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "disk-temperature", "vm2", "nginx", &"a".repeat(64)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a--b",
            "A",
            "a_b",
            "2a",
            "a b",
            "../a",
            "a/b",
            "ä",
            "fn",
            "agent",
            "serde",
            &"a".repeat(65),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("My_Disk Temp").unwrap_err().ends_with("such as `my-disk-temp`"));
        assert!(check("42").unwrap_err().ends_with("such as `disk-temperature`"));
    }
}
