//! The text of a plugin's metadata section. Its format: `twarga_plugin_api::abi::metadata`.

use super::error::Refusal;
use twarga_plugin_api::{
    Kind,
    abi::{RawMetric, metadata::MAGIC},
};

/// The longest name, entry symbol and API version, in bytes: they stand in messages.
const MAX_WORD: usize = 200;

/// What a plugin file says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// Who wrote it.
    pub authors: String,
    /// The entry symbol.
    pub entry: String,
    /// The API version that it was built with, such as `1.0`.
    pub api: String,
    /// `c` for the C ABI; nothing for the Rust one.
    pub abi: String,
    /// The compiler.
    pub rustc: String,
    /// The target triple.
    pub target: String,
    /// `unwind` or `abort`.
    pub panic: String,
    /// `debug` or `release`.
    pub profile: String,
    /// The prefixes of its metric names.
    pub namespaces: Vec<String>,
    /// The families known without running it.
    pub metrics: Vec<DeclaredMetric>,
    /// The JSON Schema of its configuration; empty where it has none.
    pub schema: String,
}

/// A metric family as the metadata declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredMetric {
    /// The instrument kind.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// The UCUM code of the unit.
    pub unit: String,
    /// The label keys, separated by commas.
    pub label_keys: String,
    /// One sentence.
    pub help: String,
}

impl Metadata {
    /// Reads the section's bytes.
    ///
    /// # Errors
    /// [`Refusal::BadMetadata`] with what is wrong.
    pub fn parse(section: &[u8]) -> Result<Self, Refusal> {
        let bad = |what: &str| Refusal::BadMetadata(what.into());
        let text = section.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| bad("not UTF-8"))?;
        // these texts are written to logs and terminals
        if text.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
            return Err(bad("a control character"));
        }
        let mut lines = text.lines();
        if lines.next() != Some(MAGIC) {
            return Err(bad("unknown format; this agent reads format 1"));
        }
        let mut metadata = Self::default();
        for line in lines {
            let (key, value) = line.split_once('=').ok_or_else(|| bad("a line without `=`"))?;
            metadata.set(key, value).map_err(bad)?;
        }
        let needed = [&metadata.name, &metadata.entry, &metadata.api];
        match needed.iter().find(|text| text.is_empty() || text.len() > MAX_WORD) {
            Some(_) => Err(bad("name, entry symbol or API version is missing or over 200 bytes")),
            None => Ok(metadata),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let text = match key {
            "name" => &mut self.name,
            "version" => &mut self.version,
            "description" => &mut self.description,
            "authors" => &mut self.authors,
            "entry" => &mut self.entry,
            "api" => &mut self.api,
            "abi" => &mut self.abi,
            "rustc" | "compiler" => &mut self.rustc,
            "target" => &mut self.target,
            "panic" => &mut self.panic,
            "profile" => &mut self.profile,
            "schema" => &mut self.schema,
            "namespace" => {
                self.namespaces.push(value.into());
                return Ok(());
            }
            "metric" => {
                self.metrics.push(DeclaredMetric::parse(value).ok_or("a metric that can't be read")?);
                return Ok(());
            }
            _ => return Ok(()), // of a later minor version
        };
        *text = value.into();
        Ok(())
    }

    /// Whether it speaks the C ABI.
    pub fn is_c(&self) -> bool {
        self.abi == "c"
    }

    /// Major and minor API version; nothing where it is no version.
    pub fn api_numbers(&self) -> Option<(u32, u32)> {
        let (major, minor) = self.api.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }
}

impl From<&RawMetric<'_>> for DeclaredMetric {
    fn from(raw: &RawMetric<'_>) -> Self {
        Self {
            kind: Kind::from_raw(raw.kind),
            name: raw.name.as_str().into(),
            unit: raw.unit.as_str().into(),
            label_keys: raw.label_keys.as_str().into(),
            help: raw.help.as_str().into(),
        }
    }
}

impl DeclaredMetric {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(5, '\t');
        let mut next = || parts.next().map(str::to_string);
        let kind = next()?;
        Some(Self {
            kind: Kind::from_word(&kind).unwrap_or(Kind::Gauge),
            name: next()?,
            unit: next()?,
            label_keys: next()?,
            help: next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "twarga-plugin-metadata 1\nname=a\nversion=1.2\nentry=e\napi=1.0\npanic=unwind\nnamespace=a_\n\
                        metric=counter\ta_total\t\tx,y\tHelp = text.\nlater=unknown\nschema={}\n\0rest";

    #[test]
    fn is_read() {
        let metadata = Metadata::parse(TEXT.as_bytes()).unwrap();
        assert_eq!((metadata.name.as_str(), metadata.api_numbers()), ("a", Some((1, 0))));
        assert_eq!(metadata.namespaces, ["a_"]);
        let metric = &metadata.metrics[0];
        assert_eq!(
            (metric.kind, metric.name.as_str(), metric.help.as_str()),
            (Kind::Counter, "a_total", "Help = text.")
        );
        assert_eq!(metric.label_keys, "x,y");
    }

    #[test]
    fn every_prefix_is_read_or_refused() {
        for end in 0..TEXT.len() {
            let _ = Metadata::parse(&TEXT.as_bytes()[..end]);
        }
        assert!(Metadata::parse(b"twarga-plugin-metadata 2\nname=a\n").is_err());
        assert!(Metadata::parse(b"").is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Metadata::parse(&bytes);
            let _ = Metadata::parse(&[MAGIC.as_bytes(), b"\n", &bytes].concat());
        }
    }
}
