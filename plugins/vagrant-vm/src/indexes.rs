//! `vm_index_read`: of which users all machines are known.

use crate::{metrics, provider::Notes, publish::cut};
use std::{collections::BTreeMap, sync::Arc};
use twarga_plugin_api::{Level, Series, Sink};

const NAME: &str = "vm_index_read";

/// The series, one for each user who has an index.
#[derive(Default)]
pub(crate) struct Indexes {
    known: Arc<BTreeMap<String, bool>>,
    series: BTreeMap<String, Series>,
}

impl Indexes {
    pub(crate) fn publish(
        &mut self,
        indexes: &Arc<BTreeMap<String, bool>>,
        sink: &mut Sink<'_>,
        notes: &mut Notes,
    ) {
        if !Arc::ptr_eq(&self.known, indexes) {
            self.known = Arc::clone(indexes);
            self.series.retain(|owner, series| {
                let stays = indexes.contains_key(owner);
                if !stays {
                    sink.host().retire(*series);
                }
                stays
            });
        }
        let mut failure = None;
        for (owner, read) in indexes.iter() {
            let series = match self.series.get(owner) {
                Some(series) => *series,
                None => match sink.host().series(&metrics::INDEX_READ, &[cut(owner)]) {
                    Ok(series) => *self.series.entry(owner.clone()).or_insert(series),
                    Err(error) => {
                        failure = Some(error.to_string());
                        continue;
                    }
                },
            };
            sink.put(series, f64::from(u8::from(*read)));
        }
        match failure {
            Some(error) => notes.say(Level::Warn, NAME, error),
            None => notes.over(NAME),
        }
    }
}
