//! What a plugin asks of the table in a call.

use super::{MAX_FAMILIES, SeriesTable, cut, family};
use crate::{
    host::{entries::Entry, error::Refusal},
    model::{Absence, Kind, MAX_LOCAL_SERIES, Metric, SeriesDef},
};
use std::sync::Arc;
use twarga_plugin_api::{
    abi::{RawMetric, services::HostServices},
    declaration_problem, label_keys_problem,
};

/// A label value longer than this is refused, in bytes.
const MAX_LABEL_VALUE: usize = 1024;
/// A reason longer than this is cut.
const MAX_REASON: usize = 200;
/// Lines of log in one call beyond this many are only counted.
const MAX_LINES: usize = 20;

impl HostServices for SeriesTable {
    fn metric(&mut self, metric: &RawMetric<'_>) -> Result<u32, String> {
        let name = metric.name.as_str();
        let problem = declaration_problem(metric.kind, name, metric.unit.as_str(), metric.help.as_str())
            .or(label_keys_problem(metric.label_keys.as_str()));
        if let Some(problem) = problem {
            return Err(Refusal::BadMetric { metric: name.into(), problem: problem.into() }.to_string());
        }
        let new = family(&metric.into(), &self.plugin);
        let mut known = (0u32..).zip(&self.families).filter_map(|(id, known)| Some((id, known.as_ref()?)));
        if let Some((id, known)) = known.find(|(_, known)| known.name == new.name) {
            return match **known == *new {
                true => Ok(id),
                false => Err(format!("metric `{name}` is already declared otherwise")),
            };
        }
        if self.families.len() >= MAX_FAMILIES {
            return Err(format!("over {MAX_FAMILIES} metric families"));
        }
        let claimed = self.claims.claim_one(&self.plugin, &self.namespaces, name);
        claimed.map_err(|refusal| refusal.to_string())?;
        self.families.push(Some(new));
        u32::try_from(self.families.len() - 1).map_err(|error| error.to_string())
    }

    fn series(&mut self, metric: u32, labels: &[abi_stable::std_types::RStr<'_>]) -> Result<u32, String> {
        let family = self.families.get(metric as usize).and_then(Option::as_ref);
        let family = Arc::clone(family.ok_or("no such metric")?);
        let values: Box<[Box<str>]> = labels.iter().map(|value| value.as_str().into()).collect();
        check_values(&family, &values)?;
        let key = (metric, values);
        if let Some(id) = self.index.get(&key) {
            return Ok(*id);
        }
        // also those of one call: who registers and retires in a loop would fill the batch
        if self.index.len().max(self.said.registered.len()) >= self.max_series {
            self.refused += 1;
            return Err(format!(
                "the limit of {} series is reached: raise max_series in the plugin's table, or have it watch less",
                self.max_series
            ));
        }
        let local = self.free.last().copied().unwrap_or(self.next);
        if local >= MAX_LOCAL_SERIES {
            return Err("too many series: restart the agent".into());
        }
        let def = SeriesDef { labels: self.labels(&family, &key.1), metric: Arc::clone(&family) };
        let counter = family.kind == Kind::Counter;
        let entry = Entry::new(local, counter);
        let id = self
            .entries
            .push(entry, key.clone())
            .ok_or("no id is left for another series: restart the agent")?;
        if self.free.pop().is_none() {
            self.next += 1;
        }
        self.index.insert(key, id);
        self.said.registered.push((local, Arc::new(def)));
        Ok(id)
    }

    fn retire(&mut self, series: u32) {
        if let Some((local, key)) = self.entries.take(series) {
            self.index.remove(&key);
            self.said.retired.push(local);
        }
    }

    fn unavailable(&mut self, series: u32, reason: &str) {
        if let Some(entry) = self.entries.get_mut(series)
            && !std::mem::replace(&mut entry.absent, true)
        {
            self.absent.push(series);
            let reason = cut(reason, MAX_REASON);
            self.said.absent.push(Absence { series: entry.local, reason });
        }
    }

    fn batch_time(&mut self, unix_ms: i64) {
        self.said.time = Some(unix_ms);
    }

    fn log(&mut self, level: u8, message: &str) {
        match self.said.logged.len() < MAX_LINES {
            true => self.said.logged.push((level, cut(message, 1000).into())),
            false => self.said.unlogged += 1,
        }
    }
}

fn check_values(metric: &Metric, values: &[Box<str>]) -> Result<(), String> {
    let (name, wanted) = (&metric.name, metric.label_keys.len());
    if wanted != values.len() {
        return Err(format!("metric `{name}` has {wanted} labels, not {}", values.len()));
    }
    match values.iter().zip(&metric.label_keys).find(|(value, _)| value.len() > MAX_LABEL_VALUE) {
        Some((_, key)) => {
            Err(format!("metric `{name}`: the value of `{key}` has over {MAX_LABEL_VALUE} bytes"))
        }
        None => Ok(()),
    }
}
