//! One plugin with one collector, and the series that it has.

use crate::{
    collect::Source,
    host::{
        Claims, DeclaredMetric, Instance, InstanceOptions, Library, LoadError, Refused, load, open_file,
        preflight,
    },
    model::{Batch, CollectorId, Kind, LocalSeries, Sample, SeriesDef, Timestamp},
    views,
};
use serde_json::{Map, Value as Json};
use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_plugin_api::{Error, ErrorKind};

/// The word for a kind of error.
pub fn kind_word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Transient => "transient",
        ErrorKind::Config => "configuration",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Panicked => "panicked",
        _ => "fatal",
    }
}

/// The most series of a plugin that is only tried out: the agent's default.
const MOST_SERIES: usize = crate::config::DEFAULT_SERIES;

/// A loaded plugin.
pub struct Plugin {
    library: Library,
    claims: Arc<Claims>,
}

impl Plugin {
    /// Loads a file by the name that it gives itself, with all checks of the agent.
    ///
    /// # Errors
    /// As [`host::load`](crate::host::load).
    pub fn load(file: &Path) -> Result<Self, LoadError> {
        let refused = |refusal| LoadError { file: file.into(), refusal };
        let opened = open_file(file).map_err(|error| refused(error.into()))?;
        let name = preflight(&opened).map_err(refused)?.metadata.name;
        let claims = Arc::new(Claims::new(views::is_reserved));
        Ok(Self { library: load(file, &name, &claims)?, claims })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.library.metadata.name
    }

    /// The plugin API that it was built with.
    pub fn api(&self) -> &str {
        &self.library.metadata.api
    }

    /// The target that it was built for.
    pub fn target(&self) -> &str {
        &self.library.metadata.target
    }

    /// The metrics that its file declares.
    pub fn declared(&self) -> &[DeclaredMetric] {
        &self.library.metadata.metrics
    }

    /// The JSON Schema of its configuration, or an empty text.
    pub fn schema(&self) -> &str {
        &self.library.metadata.schema
    }

    /// Makes a collector with this configuration.
    ///
    /// # Errors
    /// What the plugin's `new` answers.
    pub fn start(&self, config: &Map<String, Json>) -> Result<Collector, Error> {
        let options = InstanceOptions {
            config: Json::from(config.clone()).to_string(),
            instance: None,
            max_series: MOST_SERIES,
            claims: Arc::clone(&self.claims),
            owner: None,
        };
        let instance = Instance::new(&self.library, &options, 0)?;
        Ok(Collector { instance, batch: Batch::new(CollectorId(0)), series: HashMap::new() })
    }
}

/// A running collector.
pub struct Collector {
    instance: Instance,
    batch: Batch,
    series: HashMap<LocalSeries, Arc<SeriesDef>>,
}

impl Collector {
    /// Collects once; what it put before an error counts. Says how long it took.
    pub fn collect(&mut self) -> (Duration, Result<(), Error>) {
        for ended in &self.batch.retired {
            self.series.remove(ended);
        }
        self.batch.clear();
        self.batch.time = Timestamp::now();
        let began = Instant::now();
        let answer = self.instance.collect(&mut self.batch);
        let took = began.elapsed();
        self.series.extend(self.batch.registered.iter().cloned());
        (took, answer)
    }

    /// When the last samples were true.
    pub fn time(&self) -> Timestamp {
        self.batch.time
    }

    /// The last collection's samples.
    pub fn samples(&self) -> impl Iterator<Item = (&Arc<SeriesDef>, Sample)> {
        self.batch.samples.iter().filter_map(|sample| Some((self.series.get(&sample.series)?, *sample)))
    }

    /// The last collection's values by the number of their series.
    pub fn values(&self) -> impl Iterator<Item = (LocalSeries, f64)> {
        self.batch.samples.iter().map(|sample| (sample.series, sample.value))
    }

    /// The series that had no value in the last collection, and why.
    pub fn absent(&self) -> impl Iterator<Item = (&Arc<SeriesDef>, &str)> {
        let known = self.batch.absent.iter();
        known.filter_map(|absence| Some((self.series.get(&absence.series)?, &*absence.reason)))
    }

    /// The series that ended in the last collection.
    pub fn retired(&self) -> &[LocalSeries] {
        &self.batch.retired
    }

    /// The numbers of the series without a value in the last collection.
    pub fn absent_ids(&self) -> impl Iterator<Item = LocalSeries> {
        self.batch.absent.iter().map(|absence| absence.series)
    }

    /// The name of a series.
    pub fn name_of(&self, series: LocalSeries) -> String {
        self.series.get(&series).map_or_else(|| "a series that has ended".into(), ToString::to_string)
    }

    /// Samples refused since the start, by kind.
    pub fn refused(&self) -> Refused {
        self.instance.refusals()
    }

    /// How often a counter fell without the plugin's word that it began anew.
    pub fn unmarked_falls(&self) -> u64 {
        self.instance.unmarked_falls()
    }

    /// The metrics of all series that are alive.
    pub fn metrics(&self) -> impl Iterator<Item = DeclaredMetric> {
        self.series.values().map(|def| DeclaredMetric {
            kind: def.metric.kind,
            name: def.metric.name.to_string(),
            unit: def.metric.unit.to_string(),
            label_keys: def.metric.label_keys.join(","),
            help: def.metric.help.to_string(),
        })
    }

    /// Whether a series is a counter's.
    pub fn is_counter(&self, series: LocalSeries) -> bool {
        self.series.get(&series).is_some_and(|def| def.metric.kind == Kind::Counter)
    }
}
