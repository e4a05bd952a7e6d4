//! A schema that says something else than the code is told.

use twarga_plugin_api::{prelude::*, testing::wrong_in_documents};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    root: String,
    seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { root: "/".into(), seconds: 1 }
    }
}

struct Door;

impl Collector for Door {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["door_"];
    const METRICS: &'static [Metric<'static>] = &[];
    const CONFIG_SCHEMA: &'static str =
        r#"{ "properties": { "rot": { "default": "/" }, "seconds": { "default": 0 } } }"#;

    fn new(config: Config, _: &mut Host<'_>) -> Result<Self> {
        let sound = config.root == "/" && config.seconds > 0;
        if sound { Ok(Door) } else { Err(Error::config("seconds", "at least 1")) }
    }

    fn collect(&mut self, _: &mut Sink<'_>) -> Result<()> {
        Ok(())
    }
}

export_plugin!(Door);

#[test]
fn what_the_schema_says() {
    let readme = "| Key | Default |\n|---|---|\n| `rot` | `\"/\"` |\n| `seconds` | `0` |\n";
    let wrong = wrong_in_documents(plugin(), readme);
    assert_eq!(
        wrong[..3],
        [
            "schema: allows unknown keys; add \"additionalProperties\": false",
            "schema: lacks the key `root`",
            "schema: the plugin takes no key `rot`",
        ]
    );
    assert!(
        wrong.len() == 4 && wrong[3].starts_with("schema: the plugin refuses its defaults: "),
        "{wrong:#?}"
    );
}
