//! From the path of a bad key, as a plugin reports it, to its line.

use super::Place;
use std::path::{Path, PathBuf};

/// The file and line of a key of a plugin's `config` table. `path` is the path below that table (`mounts.exclude[2]`);
/// of a key that doesn't stand in the file, the nearest table around it counts. Nothing for a plugin that is a default.
pub fn plugin_key_place<'a>(place: &'a Place, path: &str) -> Option<(&'a Path, usize)> {
    let file = place.file.as_deref()?;
    let mut path = path;
    loop {
        if let Some(line) = place.keys.get(path) {
            return Some((place.elsewhere.get(path).map_or(file, PathBuf::as_path), *line));
        }
        if path.is_empty() {
            return Some((file, place.line));
        }
        path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
    }
}

/// The line alone, for a table that stands in one file.
pub fn plugin_key_line(place: &Place, path: &str) -> Option<usize> {
    plugin_key_place(place, path).map(|(_, line)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_table_counts() {
        let keys = [("", 3), ("mounts", 5), ("mounts.exclude", 6), ("mounts.exclude[1]", 8), ("x", 1)];
        let place = Place {
            file: Some("agent.toml".into()),
            line: 2,
            keys: keys.map(|(key, line)| (key.to_owned(), line)).into(),
            pin: None,
            elsewhere: [("x".to_owned(), PathBuf::from("agent.d/x.toml"))].into(),
        };
        for (path, line) in [
            ("mounts.exclude[1]", 8),
            ("mounts.exclude[7].deep", 6),
            ("mounts.include", 5),
            ("other.key", 3),
            (".", 3),
            ("", 3),
            ("?", 3),
        ] {
            assert_eq!(plugin_key_line(&place, path), Some(line), "{path}");
        }
        assert_eq!(plugin_key_place(&place, "x.y"), Some((Path::new("agent.d/x.toml"), 1)));
        let bare = Place { keys: [].into(), ..place };
        assert_eq!(plugin_key_line(&bare, "a.b"), Some(2));
        assert_eq!(plugin_key_line(&Place::default(), "a.b"), None);
    }
}
