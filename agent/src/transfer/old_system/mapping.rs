//! Which series an old metric goes into, and what its values are divided by.

use super::database::nameless;
use crate::{
    model::{Kind, Labels, Metric, SeriesDef, SeriesId},
    store::Selector,
    transfer::{
        TransferError,
        definitions::{IMPORT, check_name, guessed},
        sink::Sink,
    },
    views::{self, Select, Source, Subject},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What the old system showed for every machine, in place of values that it did not have.
const INVENTED: [(&str, f64); 3] =
    [("vm_cpu_percent", 15.0), ("vm_memory_percent", 45.0), ("vm_disk_percent", 30.0)];

/// Whether the old system made this value up.
pub(super) fn is_invented(name: &str, value: f64) -> bool {
    INVENTED.contains(&(name, value))
}

/// Where the values of a metric go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) series: SeriesId,
    /// The old value is this times the native one.
    pub(super) factor: f64,
}

/// Remembers the target of each metric and machine.
pub(super) struct Mapping<'a> {
    machines: BTreeMap<i64, String>,
    disk: &'a str,
    known: HashMap<String, HashMap<Option<i64>, Result<Target, &'static str>>>,
}

impl<'a> Mapping<'a> {
    pub(super) fn new(machines: BTreeMap<i64, String>, disk: &'a str) -> Self {
        Self { machines, disk, known: HashMap::new() }
    }

    /// The target of an old metric, or why it has none.
    pub(super) fn target(
        &mut self,
        name: &str,
        unit: &str,
        vm: Option<i64>,
        sink: &mut Sink,
    ) -> Result<Result<Target, &'static str>, TransferError> {
        if let Some(known) = self.known.get(name).and_then(|machines| machines.get(&vm)) {
            return Ok(*known);
        }
        let target = if check_name(name).is_ok() {
            let vm = vm.map(|id| self.machine(id, sink)).transpose()?;
            let (def, factor) = native(name, vm.as_deref(), self.disk, sink)?
                .unwrap_or_else(|| (own(name, unit, vm.as_deref()), 1.0));
            Ok(Target { series: sink.series(&def)?, factor })
        } else {
            Err("name is no metric name")
        };
        self.known.entry(name.into()).or_default().insert(vm, target);
        Ok(target)
    }

    /// The identity of a machine; one that the old system has forgotten keeps its number too.
    fn machine(&mut self, id: i64, sink: &mut Sink) -> Result<String, TransferError> {
        if let Some(known) = self.machines.get(&id) {
            return Ok(known.clone());
        }
        let uuid = nameless(id);
        sink.reserve_vm(id, &uuid)?;
        self.machines.insert(id, uuid.clone());
        Ok(uuid)
    }
}

/// The gauge of which the old metric is a multiple, if it is one.
fn native(
    name: &str,
    vm: Option<&str>,
    disk: &str,
    sink: &Sink,
) -> Result<Option<(SeriesDef, f64)>, TransferError> {
    let Some(view) = views::find(name) else { return Ok(None) };
    let Source::Scaled(metric, factor) = view.from else { return Ok(None) };
    let label = match (view.subject, vm) {
        (Subject::Host(Select::Only), None) => None,
        (Subject::Host(Select::AllCpus), None) => Some(("cpu", "all")),
        (Subject::Host(Select::Disk), None) => Some(("mountpoint", disk)),
        (Subject::Vm, Some(vm)) => Some(("vm", vm)),
        _ => return Ok(None),
    };
    let base = guessed(metric);
    if base.kind != Kind::Gauge {
        return Ok(None); // a counter that begins anew with the old system's roundings would be none
    }
    let labels = Labels::new(label);
    // a file system's series has its device too: the stored one, where it is one
    if let Some(stored) = sink.only(&Selector::with_labels(metric, &labels))? {
        return Ok(Some((stored, factor)));
    }
    let base = Metric { help: view.help.into(), ..base };
    Ok(Some((with_labels(base, labels), factor)))
}

/// A gauge of its own.
fn own(name: &str, unit: &str, vm: Option<&str>) -> SeriesDef {
    let help = format!("`{name}` of the old system.");
    let metric = Metric {
        name: format!("twarga_{name}").into(),
        kind: Kind::Gauge,
        unit: unit.into(),
        help: help.into(),
        label_keys: Vec::new(),
        plugin: IMPORT.into(),
    };
    with_labels(metric, Labels::new(vm.map(|vm| ("vm", vm))))
}

fn with_labels(mut metric: Metric, labels: Labels) -> SeriesDef {
    metric.label_keys = labels.iter().map(|(key, _)| key.into()).collect();
    SeriesDef { metric: Arc::new(metric), labels }
}
