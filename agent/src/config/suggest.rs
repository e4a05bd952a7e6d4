//! "Did you mean".

use super::problem::key_part;

/// Names longer than this are no typing errors, and cost time to compare.
const LONGEST: usize = 64;

/// The known name that was probably meant.
pub(super) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > LONGEST {
        return None;
    }
    let simple = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let given = simple(given);
    let known: Vec<&str> = known.into_iter().collect();
    if given.len() >= 3 {
        let longer: Vec<&str> =
            known.iter().copied().filter(|name| simple(name).starts_with(&given)).collect();
        if let [name] = longer[..] {
            return Some(name);
        }
    }
    let allowed = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &simple(name)), name))
        // as many changes as a name has letters would make every short name near to every other
        .filter(|(distance, name)| *distance <= allowed && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// ``did you mean `interval`?``, or nothing.
pub(crate) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(given, known).map(|name| format!("did you mean `{name}`?"))
}

/// The keys of the sections, for keys that stand in the wrong one.
const KEYS: [(&str, &[&str]); 5] = [
    ("agent", &["interval", "data_dir", "plugin_dirs", "labels", "align_offset", "watch"]),
    ("http", &["listen", "timestamps", "hosts"]),
    ("http.auth", &["user_tokens", "admin_tokens"]),
    ("storage", &["retention", "retention_1m", "retention_1h", "max_loss", "max_size"]),
    ("views", &["disk"]),
];

/// The section in which a key would be right.
pub(super) fn other_section(key: &str) -> Option<String> {
    let (section, _) = KEYS.iter().find(|(_, keys)| keys.contains(&key))?;
    Some(format!("it belongs in [{section}]"))
}

/// For a key that stands before all tables, or a table that isn't known.
pub(super) fn top_level(key: &str) -> Option<String> {
    const TABLES: [&str; 6] = ["agent", "http", "storage", "views", "plugins", "alert"];
    if let Some(hint) = other_section(key) {
        return Some(hint);
    }
    Some(match nearest(key, TABLES) {
        Some("alert") => "did you mean [[alert]]?".to_owned(),
        Some("plugins") => "did you mean [plugins.NAME]?".to_owned(),
        Some(table) => format!("did you mean [{table}]?"),
        None if key == "auth" => "did you mean [http.auth]?".to_owned(),
        None if key.starts_with("host-") || key.starts_with("vagrant") => {
            format!("did you mean [plugins.{}]?", key_part(key))
        }
        None => "the tables are [agent], [http], [storage], [views], [plugins.NAME] and [[alert]]".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognised() {
        let known = ["interval", "data_dir", "labels", "op", "for"];
        for (given, meant) in [
            ("intervall", Some("interval")),
            ("INTERVAL", Some("interval")),
            ("data-dir", Some("data_dir")),
            ("lables", Some("labels")),
            ("fro", Some("for")),
            ("op_", Some("op")),
            ("per_core", None),
            ("int", Some("interval")),
            ("x", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
        assert_eq!(nearest(&"interval".repeat(100), known), None);
    }

    #[test]
    fn keys_are_known_in_their_section() {
        assert_eq!(other_section("listen").unwrap(), "it belongs in [http]");
        assert_eq!(top_level("alerts").unwrap(), "did you mean [[alert]]?");
        assert_eq!(top_level("plugin").unwrap(), "did you mean [plugins.NAME]?");
        assert_eq!(top_level("interval").unwrap(), "it belongs in [agent]");
    }
}
