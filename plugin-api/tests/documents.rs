//! READMEs that say something else than the code are told.

use twarga_plugin_api::{prelude::*, testing::wrong_in_documents};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    root: String,
    parts: Parts,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parts {
    include: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { root: "/".into(), parts: Parts::default() }
    }
}

struct Door;

impl Collector for Door {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["door_"];
    const METRICS: &'static [Metric<'static>] = &[
        Metric::counter("door_opened_total", Unit::NONE, "How often it was opened.").labels("door,side"),
        Metric::gauge("door_width_bytes", Unit::BYTES, "How much goes through."),
    ];
    const CONFIG_SCHEMA: &'static str = r##"{
        "additionalProperties": false,
        "properties": {
            "root": { "type": "string", "default": "/" },
            "parts": { "$ref": "#/$defs/lists", "default": {} }
        },
        "$defs": { "lists": { "properties": { "include": { "default": [] } } } }
    }"##;

    fn new(config: Config, _: &mut Host<'_>) -> Result<Self> {
        let sound = config.root == "/" && config.parts.include.is_empty();
        if sound { Ok(Door) } else { Err(Error::config("root", "none but /")) }
    }

    fn collect(&mut self, _: &mut Sink<'_>) -> Result<()> {
        Ok(())
    }
}

export_plugin!(Door);

const README: &str = r#"
# door

Series of `door_opened_total`; all begin with `door_`.

| Key | Default | Meaning |
|---|---|---|
| `root` | `"/"` on Linux, else `"\\"` | `a \| b` |
| `parts.include` | none | |

| Metric | Kind | Unit | Labels | Source |
|---|---|---|---|---|
| `door_opened_total` | counter | – | `door`, `side` | `/dev/door` |
| `door_width_bytes` | gauge | By | | |

| Option | |
|---|---|
| `--else` | is no key |
"#;

/// What is wrong once this text of the README is another one.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(README.contains(from), "{from}");
    wrong_in_documents(plugin(), &README.replace(from, to))
}

#[test]
fn a_true_readme() {
    assert_eq!(wrong_in_documents(plugin(), README), [""; 0]);
}

#[test]
fn what_the_readme_says_of_metrics() {
    for (from, to, wrong) in [
        ("| counter |", "| gauge |", "README: the Kind of `door_opened_total` is `counter`, not `gauge`"),
        ("| By |", "| bytes |", "README: the Unit of `door_width_bytes` is `By`, not `bytes`"),
        ("`door`, `side`", "`door`", "README: the Labels of `door_opened_total` is `door,side`, not `door`"),
        (
            "Series of `door_opened",
            "Series of `door_closed",
            "README: there is no metric `door_closed_total`",
        ),
    ] {
        assert_eq!(changed(from, to), [wrong]);
    }
    assert_eq!(
        changed("| `door_width_bytes`", "| `door_weight_bytes`"),
        [
            "README: `door_weight_bytes` has a row, and is no metric",
            "README: the metric `door_width_bytes` has no row"
        ]
    );
    assert_eq!(
        changed("| `door_width_bytes` | gauge | By |", "| `door_opened_total` | counter | | door,side |"),
        [
            "README: the metric `door_opened_total` has two rows",
            "README: the metric `door_width_bytes` has no row"
        ]
    );
}

#[test]
fn what_the_readme_says_of_keys() {
    assert_eq!(
        changed("| `\"/\"` on", "| `\"/dev\"` on"),
        ["README: the default of `root` is `\"/\"`, not `\"/dev\"` on Linux, else `\"\\\\\"`"]
    );
    assert_eq!(
        changed("`parts.include`", "`parts`"),
        ["README: `parts` has a row, and is no key", "README: the key `parts.include` has no row"]
    );
    assert_eq!(changed("| Key |", "| Option |").len(), 2);
}
