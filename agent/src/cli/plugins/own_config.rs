//! `--config` of `plugins run` and `plugins certify`: the plugin's own table, as text or as a file.

use crate::config::did_you_mean;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value as Json};
use std::{fs, path::Path};

const WANTED: &str = "write TOML (key = 1), JSON ({\"key\": 1}), or the name of a file .toml or .json";

/// Reads the table of the plugin `name`. A file with a table `[plugins]`, such as an agent.toml, gives the one of
/// that plugin.
///
/// # Errors
/// Where it is neither a table nor a file with one.
pub(super) fn read(given: Option<&Path>, name: &str) -> Result<Map<String, Json>> {
    let Some(given) = given else { return Ok(Map::new()) };
    let text = given.to_string_lossy();
    let is_named = [".toml", ".json"].iter().any(|end| text.ends_with(end));
    if is_named || given.is_file() {
        let content = fs::read_to_string(given).with_context(|| format!("--config {text}"))?;
        let table = parse(&content).with_context(|| format!("--config {text}"))?;
        return of_plugin(table, name).with_context(|| format!("--config {text}"));
    }
    if !text.contains(['=', '{']) && !text.trim().is_empty() {
        bail!("--config `{text}`: no such file, and no table; {WANTED}");
    }
    parse(&text).with_context(|| format!("--config `{text}`"))
}

fn parse(text: &str) -> Result<Map<String, Json>> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).context("not a JSON object");
    }
    let table: toml::Table = text.parse().with_context(|| format!("not TOML; {WANTED}"))?;
    Ok(table.into_iter().map(|(key, value)| (key, to_json(value))).collect())
}

/// Out of an agent.toml its own table, else the table itself.
fn of_plugin(mut table: Map<String, Json>, name: &str) -> Result<Map<String, Json>> {
    let Some(Json::Object(mut plugins)) = table.remove("plugins") else { return Ok(table) };
    let Some(mut own) = plugins.remove(name) else {
        let meant = did_you_mean(name, plugins.keys().map(String::as_str));
        let hint = meant.map_or_else(String::new, |meant| format!("; {meant}"));
        bail!("it has no table [plugins.{name}]{hint}");
    };
    match own.get_mut("config").map(Json::take) {
        None => Ok(Map::new()),
        Some(Json::Object(config)) => Ok(config),
        Some(_) => bail!("plugins.{name}.config is not a table"),
    }
}

fn to_json(value: toml::Value) -> Json {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(to_json).collect(),
        toml::Value::Table(entries) => {
            Json::Object(entries.into_iter().map(|(key, value)| (key, to_json(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Map<String, Json>> {
        read(Some(Path::new(text)), "thermal")
    }

    #[test]
    fn text_of_both_kinds() {
        let wanted: Map<String, Json> = serde_json::from_str(r#"{"a": {"b": [1, "x"]}}"#).unwrap();
        assert_eq!(of("a = { b = [1, \"x\"] }").unwrap(), wanted);
        assert_eq!(of(r#" {"a": {"b": [1, "x"]}}"#).unwrap(), wanted);
        assert_eq!(of("").unwrap(), Map::new());
        for (bad, part) in [
            ("a", "no such file"),
            ("a = ", "not TOML"),
            ("{a", "not a JSON object"),
            ("x.toml", "No such file"),
        ] {
            let error = format!("{:#}", of(bad).unwrap_err());
            assert!(error.contains(part) && error.contains(bad), "{bad}: {error}");
        }
    }

    #[test]
    fn files_and_an_agents_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let file = dir.path().join(name);
            fs::write(&file, content).unwrap();
            read(Some(&file), "thermal")
        };
        assert_eq!(file("own.json", r#"{"a": 1}"#).unwrap()["a"], 1);
        assert_eq!(file("own.toml", "a = 1").unwrap()["a"], 1);
        assert_eq!(file("agent.toml", "[plugins.thermal.config]\na = 2").unwrap()["a"], 2);
        assert_eq!(file("agent.toml", "[plugins.thermal]").unwrap(), Map::new());
        let error = file("agent.toml", "[plugins.termal]").unwrap_err();
        assert!(format!("{error:#}").contains("no table [plugins.thermal]"), "{error:#}");
    }
}
