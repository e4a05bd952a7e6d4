//! The flat answers of the old system's routes: its keys in its order, and what was added later behind them.

use super::{GIB, MIB, ViewContext, find, native, rounded, series_with};
use crate::{
    config::TimestampStyle,
    inventory::{Machine, State},
    model::{Missing, Snapshot, Timestamp},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// A flat answer. Serialized as one JSON object: the fields in order, then `timestamp`, then what was added to the old
/// system's keys, then `unavailable` where a value is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Flat {
    /// When the values were true.
    pub time: Timestamp,
    /// How `timestamp` is written.
    pub timestamps: TimestampStyle,
    /// The old system's keys but for `timestamp`.
    pub fields: Vec<(&'static str, FlatValue)>,
    /// Keys that the old system did not have.
    pub added: Vec<(&'static str, FlatValue)>,
    /// Why a field is `null`, by its key.
    pub unavailable: Vec<(&'static str, String)>,
}

/// The host's flat answer: 23 keys with `timestamp`.
pub type FlatHost = Flat;
/// A machine's flat answer: 11 keys with `timestamp`, and the added ones.
pub type FlatVm = Flat;

/// A value of a flat answer.
#[derive(Clone, Debug, PartialEq)]
pub enum FlatValue {
    /// Two decimals at most; written with a fraction also where it is zero: `15.0`.
    Float(f64),
    /// Without a fraction.
    Integer(i64),
    /// A text.
    Text(String),
    /// Not to be had now.
    Null,
}

impl Serialize for FlatValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Null => serializer.serialize_unit(),
        }
    }
}

impl Serialize for Flat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.fields {
            map.serialize_entry(key, value)?;
        }
        let time = match self.timestamps {
            TimestampStyle::Rfc3339 => self.time.to_string(),
            TimestampStyle::Legacy => self.time.to_legacy(),
        };
        map.serialize_entry("timestamp", &time)?;
        for (key, value) in &self.added {
            map.serialize_entry(key, value)?;
        }
        if !self.unavailable.is_empty() {
            map.serialize_entry("unavailable", &Reasons(&self.unavailable))?;
        }
        map.end()
    }
}

struct Reasons<'a>(&'a [(&'static str, String)]);

impl Serialize for Reasons<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, why)| (key, why)))
    }
}

type Value = Result<f64, Missing>;

/// Gathers the fields of a flat answer.
struct Builder<'a> {
    snapshot: &'a Snapshot,
    context: &'a ViewContext<'a>,
    vm: Option<&'a str>,
    /// There are no values, and why: series that are still there are of before.
    without: Option<Missing>,
    fields: Vec<(&'static str, FlatValue)>,
    unavailable: Vec<(&'static str, String)>,
}

impl<'a> Builder<'a> {
    fn new(snapshot: &'a Snapshot, context: &'a ViewContext<'a>, vm: Option<&'a str>) -> Self {
        Self { snapshot, context, vm, without: None, fields: Vec::with_capacity(24), unavailable: Vec::new() }
    }

    fn some(&self) -> Result<(), Missing> {
        self.without.clone().map_or(Ok(()), Err)
    }

    fn view(&self, name: &str) -> Value {
        self.some()?;
        find(name).ok_or(Missing::NoSeries)?.value(self.snapshot, self.context, self.vm)
    }

    /// A native metric without labels, or the machine's.
    fn metric(&self, metric: &str) -> Value {
        self.some()?;
        native(self.snapshot, metric, self.vm.map(|vm| ("vm", vm)), self.context.now)
    }

    /// A native metric of the file system of `views.disk`.
    fn disk(&self, metric: &str) -> Value {
        native(self.snapshot, metric, Some(("mountpoint", self.context.disk)), self.context.now)
    }

    fn put(&mut self, key: &'static str, value: Value, shown: impl Fn(f64) -> FlatValue) {
        let value = value.map(shown).unwrap_or_else(|missing| {
            self.unavailable.push((key, missing.to_string()));
            FlatValue::Null
        });
        self.fields.push((key, value));
    }

    fn float(&mut self, key: &'static str, value: Value) {
        self.put(key, value, |value| FlatValue::Float(rounded(value)));
    }

    fn integer(&mut self, key: &'static str, value: Value) {
        self.put(key, value, |value| FlatValue::Integer(value as i64));
    }

    /// A size that the old system gave in whole units; with a fraction where it has one, since 0 would be a lie.
    fn whole(&mut self, key: &'static str, value: Value) {
        self.put(key, value, |value| {
            let value = rounded(value);
            if value.fract() == 0.0 { FlatValue::Integer(value as i64) } else { FlatValue::Float(value) }
        });
    }

    fn text(&mut self, key: &'static str, text: Result<&str, Missing>) {
        let text = text.map(|text| FlatValue::Text(text.into())).unwrap_or_else(|missing| {
            self.unavailable.push((key, missing.to_string()));
            FlatValue::Null
        });
        self.fields.push((key, text));
    }
}

/// The host's flat answer; nothing before the first collection.
pub fn host_flat(snapshot: &Snapshot, context: &ViewContext<'_>) -> Option<FlatHost> {
    let time = snapshot.time?;
    let mut flat = Builder::new(snapshot, context, None);
    let scaled = |value: Value, unit: f64| value.map(|value| value / unit);
    flat.float("cpu_percent", flat.view("host_cpu_percent"));
    flat.integer("cpu_count", flat.metric("host_cpu_logical_count"));
    // the old system's word for an unknown frequency is 0
    let frequency = mean(snapshot, "host_cpu_scaling_frequency_hertz", context.now);
    flat.float("cpu_freq_mhz", Ok(frequency.unwrap_or(0.0) / 1e6));
    flat.float("memory_percent", flat.view("host_memory_percent"));
    flat.float("memory_used_gb", flat.view("host_memory_used_gb"));
    flat.float("memory_total_gb", scaled(flat.metric("host_memory_MemTotal_bytes"), GIB));
    flat.float("memory_available_gb", scaled(flat.metric("host_memory_MemAvailable_bytes"), GIB));
    flat.float("swap_percent", flat.view("host_swap_percent"));
    flat.float("swap_used_gb", scaled(flat.metric("host_swap_used_bytes"), GIB));
    flat.float("swap_total_gb", scaled(flat.metric("host_memory_SwapTotal_bytes"), GIB));
    flat.float("disk_percent", flat.view("host_disk_percent"));
    flat.float("disk_used_gb", flat.view("host_disk_used_gb"));
    flat.float("disk_total_gb", scaled(flat.disk("host_filesystem_size_bytes"), GIB));
    flat.float("disk_free_gb", scaled(flat.disk("host_filesystem_avail_bytes"), GIB));
    flat.float("net_sent_mb", scaled(flat.metric("host_network_all_transmit_bytes_total"), MIB));
    flat.float("net_recv_mb", scaled(flat.metric("host_network_all_receive_bytes_total"), MIB));
    flat.float("net_send_speed_mbps", flat.view("host_net_send_speed"));
    flat.float("net_recv_speed_mbps", flat.view("host_net_recv_speed"));
    flat.float("disk_read_mb", scaled(flat.metric("host_disk_all_read_bytes_total"), MIB));
    flat.float("disk_write_mb", scaled(flat.metric("host_disk_all_written_bytes_total"), MIB));
    flat.integer("uptime_seconds", flat.metric("host_uptime_seconds"));
    flat.float("uptime_hours", scaled(flat.metric("host_uptime_seconds"), 3600.0));
    let Builder { fields, unavailable, .. } = flat;
    Some(Flat { time, timestamps: context.timestamps, fields, added: Vec::new(), unavailable })
}

/// A machine's flat answer; nothing while no plugin ever told of it.
pub fn vm_flat(machine: &Machine, snapshot: &Snapshot, context: &ViewContext<'_>) -> Option<FlatVm> {
    let of_machine = Some(("vm", machine.info.vm.as_str()));
    let lives = ["vm_state", "vm_info"]
        .into_iter()
        .any(|metric| series_with(snapshot, metric, of_machine).next().is_some());
    let time = machine.last_seen.or(snapshot.time.filter(|_| lives))?;
    let mut flat = Builder::new(snapshot, context, Some(&machine.info.vm));
    flat.without = (machine.state == State::Destroyed).then(|| Missing::Unavailable("destroyed".into()));
    let absent = |why: &str| Missing::Unavailable(why.into());
    let scaled = |value: Value, unit: f64| value.map(|value| value / unit);
    let less = |whole: Value, part: Value| Ok((whole? - part?).max(0.0));
    flat.fields.push(("vm_id", FlatValue::Integer(machine.vm_id)));
    flat.text("vm_name", machine.info.name.as_deref().ok_or_else(|| absent("no_name")));
    flat.text("vm_status", Ok(machine.state.status()));
    flat.whole("ram_allocated_mb", scaled(flat.metric("vm_memory_total_bytes"), MIB));
    flat.whole("disk_allocated_gb", scaled(flat.metric("vm_disk_capacity_bytes"), GIB));
    flat.integer("cpu_allocated_cores", flat.metric("vm_vcpus"));
    flat.float("cpu_percent", flat.view("vm_cpu_percent"));
    flat.float("memory_percent", flat.view("vm_memory_percent"));
    flat.float("disk_percent", flat.view("vm_disk_percent"));
    flat.integer("uptime_seconds", flat.view("vm_uptime"));
    let fields = std::mem::take(&mut flat.fields);
    let address = machine.info.ip_address.as_deref().ok_or_else(|| absent("no_address"));
    flat.text("ip_address", flat.some().and(address));
    flat.float("memory_used_mb", flat.view("vm_memory_used_mb"));
    let available = less(flat.metric("vm_memory_total_bytes"), flat.metric("vm_memory_used_bytes"));
    flat.float("memory_available_mb", scaled(available, MIB));
    flat.float("disk_used_gb", flat.view("vm_disk_used_gb"));
    let available = less(flat.metric("vm_disk_capacity_bytes"), flat.metric("vm_disk_used_bytes"));
    flat.float("disk_available_gb", scaled(available, GIB));
    flat.float("network_rx_mb", flat.view("vm_network_rx_mb"));
    flat.float("network_tx_mb", flat.view("vm_network_tx_mb"));
    flat.float("uptime_hours", scaled(flat.view("vm_uptime"), 3600.0));
    flat.text("state", Ok(machine.state.word()));
    let Builder { fields: added, unavailable, .. } = flat;
    Some(Flat { time, timestamps: context.timestamps, fields, added, unavailable })
}

/// The mean of the series that have a value now.
fn mean(snapshot: &Snapshot, metric: &str, now: Timestamp) -> Option<f64> {
    let values = series_with(snapshot, metric, None).filter_map(|(_, index)| snapshot.value(index, now).ok());
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}
