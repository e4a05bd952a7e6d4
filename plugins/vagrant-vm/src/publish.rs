//! The series of the machines.

use crate::{
    machine::{Machine, Quantity, Reading, Reason, Run, State, Value},
    metrics,
    provider::Notes,
    roster::Told,
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use twarga_plugin_api::{Host, Level, Metric, Result, Series, Sink};

/// The reason of a rate that needs two readings.
const FIRST_READING: &str = "first_reading";

/// A shorter time gives no honest rate.
const SHORTEST: Duration = Duration::from_millis(100);

/// Puts what is told, and ends the series of machines that are no more.
#[derive(Default)]
pub(crate) struct Publisher {
    machines: HashMap<String, Published>,
    round: u64,
}

/// A machine's series, and what was put of them.
struct Published {
    round: u64,
    labels: [String; 6],
    /// The log was told that its state is unknown.
    doubted: bool,
    info: Series,
    states: [Series; State::ALL.len()],
    values: [Series; Quantity::ALL.len()],
    usage: Series,
    run: Option<Run>,
    /// It was off since its counters were put: they begin anew.
    ended: bool,
    counters: [Counter; Quantity::ALL.len()],
    busy: Option<Busy>,
}

/// The last reading of the processor time.
#[derive(Clone, Copy)]
struct Busy {
    run: Option<Run>,
    at: Instant,
    seconds: f64,
}

/// A counter over one run. Where what it is summed from became less in the same run (a disk was unplugged, another
/// source speaks), it goes on from where it was.
#[derive(Clone, Copy, Default)]
struct Counter {
    last: Option<f64>,
    offset: f64,
    /// Another run began since the last value.
    anew: bool,
}

impl Counter {
    /// What to put, and whether it is after a reset. Of a machine whose run nobody knows, a fall means a restart.
    fn next(&mut self, raw: f64, knows_run: bool) -> (f64, bool) {
        let fell = self.last.filter(|last| raw < *last);
        let reset = self.anew || (fell.is_some() && !knows_run);
        match fell {
            _ if reset => self.offset = 0.0,
            Some(last) => self.offset += last - raw,
            None => {}
        }
        self.last = Some(raw);
        self.anew = false;
        (raw + self.offset, reset)
    }
}

impl Publisher {
    /// # Errors
    /// Where a series can't be registered; the other machines are put all the same.
    pub(crate) fn publish(
        &mut self,
        told: Vec<Told<'_>>,
        sink: &mut Sink<'_>,
        notes: &mut Notes,
    ) -> Result<()> {
        self.round += 1;
        let mut outcome = Ok(());
        for told in told {
            if let Err(error) = self.put(told, sink, notes) {
                outcome = Err(error);
            }
        }
        let round = self.round;
        self.machines.retain(|_, published| {
            let lives = published.round == round;
            if !lives {
                published.retire(sink.host());
            }
            lives
        });
        outcome
    }

    fn put(&mut self, told: Told<'_>, sink: &mut Sink<'_>, notes: &mut Notes) -> Result<()> {
        let Told { vm, machine, mut reading } = told;
        complete(machine, &mut reading);
        let labels = labels(machine, &reading);
        if !self.machines.contains_key(vm) {
            let published = Published::register(vm, labels, sink.host())?;
            self.machines.insert(vm.to_owned(), published);
        }
        let Some(published) = self.machines.get_mut(vm) else { return Ok(()) };
        published.round = self.round;
        published.rename(vm, labels, sink.host())?;
        published.put(&reading, sink);
        if reading.doubt.is_some() || published.doubted {
            published.doubted = reading.doubt.is_some();
            let subject = format!("machine {} ({vm})", machine.name);
            match &reading.doubt {
                Some(doubt) => notes.say(Level::Debug, subject, format!("state unknown: {doubt}")),
                None => notes.over(subject),
            }
        }
        Ok(())
    }
}

/// Fills in what only `.vm_info` knows.
fn complete(machine: &Machine, reading: &mut Reading) {
    let Some(info) = &machine.vm_info else { return };
    for (quantity, told) in [
        (Quantity::Vcpus, info.vcpus),
        (Quantity::MemoryTotal, info.memory_bytes),
        (Quantity::DiskCapacity, info.disk_bytes),
    ] {
        if let (Err(_), Some(told)) = (&reading.values[quantity], told) {
            reading.values[quantity] = Ok(told);
        }
    }
}

/// The labels of `vm_info` after `vm`.
fn labels<'a>(machine: &'a Machine, reading: &'a Reading) -> [&'a str; 6] {
    let Machine { provider, project, box_name, .. } = machine;
    let address = reading.ip_address.as_deref().unwrap_or_default();
    [machine.shown_name(), provider, project, box_name, address, machine.owner_name()]
}

impl Published {
    fn register(vm: &str, labels: [&str; 6], host: &mut Host<'_>) -> Result<Self> {
        let mut registered = Registered { host, series: Vec::new() };
        let outcome = registered.machine(vm, labels);
        if outcome.is_err() {
            registered.take_back();
        }
        outcome
    }

    fn rename(&mut self, vm: &str, labels: [&str; 6], host: &mut Host<'_>) -> Result<()> {
        if self.labels.each_ref().map(String::as_str) != labels {
            let info = host.series(&metrics::INFO, &info_labels(vm, labels))?;
            host.retire(self.info);
            self.info = info;
            self.labels = labels.map(String::from);
        }
        Ok(())
    }

    fn put(&mut self, reading: &Reading, sink: &mut Sink<'_>) {
        sink.put(self.info, 1.0);
        for (series, state) in self.states.iter().zip(State::ALL) {
            match &reading.doubt {
                // who asks why the state is unknown finds the reason with the others
                Some(doubt) if state != State::Unknown => sink.unavailable(*series, doubt),
                _ => sink.put(*series, f64::from(u8::from(state == reading.state))),
            }
        }
        let usage = self.usage_of(reading);
        put_value(sink, self.usage, usage.as_ref());
        self.follow_run(reading);
        for quantity in Quantity::ALL {
            let series = self.values[quantity as usize];
            match &reading.values[quantity] {
                Ok(value) if quantity.is_counter() => {
                    let counter = &mut self.counters[quantity as usize];
                    match counter.next(*value, reading.run.is_some()) {
                        (value, true) => sink.put_after_reset(series, value),
                        (value, false) => sink.put(series, value),
                    }
                }
                value => put_value(sink, series, value.as_ref()),
            }
        }
    }

    /// Where another run of the machine began since the last reading, its counters begin anew.
    fn follow_run(&mut self, reading: &Reading) {
        let off = !reading.state.lives() && reading.doubt.is_none();
        let other = reading.run.is_some() && self.run.is_some() && reading.run != self.run;
        if other || (self.ended && reading.state.lives()) {
            self.counters.iter_mut().for_each(|counter| counter.anew = counter.last.is_some());
        }
        self.run = if off { None } else { reading.run.or(self.run) };
        self.ended = off || (self.ended && !reading.state.lives());
    }

    /// The part of its virtual processors that was busy since the last reading.
    fn usage_of(&mut self, reading: &Reading) -> Value {
        let before = self.busy.take();
        let seconds = reading.values[Quantity::CpuSeconds].clone()?;
        let now = Busy { run: reading.run, at: reading.at, seconds };
        self.busy = Some(now);
        let vcpus = reading.values[Quantity::Vcpus].clone()?;
        let first = || Reason::from(FIRST_READING);
        let before =
            before.filter(|before| before.run == now.run && before.seconds <= seconds).ok_or_else(first)?;
        let time = now.at.saturating_duration_since(before.at);
        if time < SHORTEST {
            self.busy = Some(before);
            return Err("interval_too_short".into());
        }
        if vcpus < 1.0 {
            return Err("no virtual processors".into());
        }
        Ok(((seconds - before.seconds) / time.as_secs_f64() / vcpus).clamp(0.0, 1.0))
    }

    fn retire(&self, host: &mut Host<'_>) {
        let all = [self.info, self.usage].into_iter().chain(self.states).chain(self.values);
        all.for_each(|series| host.retire(series));
    }
}

/// The series of a machine that is being registered: all of them or none.
struct Registered<'a, 'b> {
    host: &'a mut Host<'b>,
    series: Vec<Series>,
}

impl Registered<'_, '_> {
    fn series(&mut self, metric: &Metric<'_>, labels: &[&str]) -> Result<Series> {
        let series = self.host.series(metric, labels)?;
        self.series.push(series);
        Ok(series)
    }

    fn machine(&mut self, vm: &str, labels: [&str; 6]) -> Result<Published> {
        let info = self.series(&metrics::INFO, &info_labels(vm, labels))?;
        let mut states = [info; State::ALL.len()];
        for (slot, state) in states.iter_mut().zip(State::ALL) {
            *slot = self.series(&metrics::STATE, &[vm, state.word()])?;
        }
        let mut values = [info; Quantity::ALL.len()];
        for (slot, metric) in values.iter_mut().zip(&metrics::QUANTITIES) {
            *slot = self.series(metric, &[vm])?;
        }
        let usage = self.series(&metrics::CPU_USAGE, &[vm])?;
        let counters = [Counter::default(); Quantity::ALL.len()];
        Ok(Published {
            round: 0,
            labels: labels.map(String::from),
            doubted: false,
            info,
            states,
            values,
            usage,
            run: None,
            ended: false,
            counters,
            busy: None,
        })
    }

    fn take_back(&mut self) {
        for series in self.series.drain(..) {
            self.host.retire(series);
        }
    }
}

fn put_value(sink: &mut Sink<'_>, series: Series, value: Result<&f64, &Reason>) {
    match value {
        Ok(value) => sink.put(series, *value),
        Err(reason) => sink.unavailable(series, reason),
    }
}

fn info_labels<'a>(vm: &'a str, labels: [&'a str; 6]) -> [&'a str; 7] {
    let [name, provider, project, boxed, address, owner] = labels;
    [vm, name, provider, project, boxed, address, owner]
}

#[cfg(test)]
mod tests;
