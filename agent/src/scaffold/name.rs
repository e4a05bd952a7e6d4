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
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(|c| plain(c) || c == '-') {
        let example = suggestion(name);
        return Err(format!("small letters, digits and `-` only, a letter first, such as `{example}`"));
    }
    if name.ends_with('-') || name.contains("--") {
        return Err("a `-` stands between two words".into());
    }
    if name.len() > MOST {
        return Err(format!("it has over {MOST} letters"));
    }
    if TAKEN.contains(&name) || name == "twarga" || name.starts_with("twarga-agent") {
        return Err(
            "it is taken by the agent, by cargo or by Rust; add a word, such as `my-` in front".into()
        );
    }
    Ok(())
}

/// What was probably meant.
fn suggestion(name: &str) -> String {
    let letters = name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), " ");
    let words = letters.split_whitespace().collect::<Vec<_>>().join("-");
    let kept = words.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    if check(kept).is_ok() { kept.into() } else { "disk-temperature".into() }
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
