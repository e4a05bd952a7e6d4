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

/// The most bytes of a label's value that the agent takes.
const MAX_LABEL: usize = 1024;

/// A shorter time gives no honest rate.
const SHORTEST: Duration = Duration::from_millis(100);

/// A machine for which there was no room waits for so many rounds: trying costs the host more than a collection.
const RETRY: u64 = 60;

/// The subject of machines without series.
const UNREGISTERED: &str = "machines without series";

/// Puts what is told, and ends the series of machines that are no more.
#[derive(Default)]
pub(crate) struct Publisher {
    machines: HashMap<String, Published>,
    /// Those that could not be registered, and in which round that was tried.
    refused: HashMap<String, u64>,
    /// Why not.
    refusal: String,
    round: u64,
}

/// A machine's series, and what was put of them.
struct Published {
    round: u64,
    /// What the log calls it.
    subject: String,
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
    /// What its provider has ever told.
    told: [bool; Quantity::ALL.len()],
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
    /// What to put, and whether it is after a reset. Of a machine whose run nobody knows, a fall means a restart. What is
    /// read of the whole run by different sources falls where they differ: it waits until it is there again.
    fn next(&mut self, raw: f64, knows_run: bool, of_the_whole_run: bool) -> (f64, bool) {
        let fell = self.last.filter(|last| raw < *last);
        let reset = self.anew || (fell.is_some() && !knows_run);
        match fell {
            _ if reset => self.offset = 0.0,
            Some(last) if of_the_whole_run => return (last + self.offset, false),
            Some(last) => self.offset += last - raw,
            None => {}
        }
        self.last = Some(raw);
        self.anew = false;
        (raw + self.offset, reset)
    }
}

impl Publisher {
    /// A machine that can't have its series is noted, and costs the others nothing.
    pub(crate) fn publish(&mut self, told: Vec<Told<'_>>, sink: &mut Sink<'_>, notes: &mut Notes) {
        self.round += 1;
        let round = self.round;
        self.refused.retain(|_, tried| round - *tried < RETRY);
        let mut failed = false;
        for told in told {
            if self.refused.contains_key(told.vm) {
                continue;
            }
            if let Err(error) = self.put(told, sink, notes) {
                self.refusal = error.to_string();
                failed = true;
            }
        }
        match failed || !self.refused.is_empty() {
            true => notes.say(Level::Warn, UNREGISTERED, self.refusal.as_str()),
            false => notes.over(UNREGISTERED),
        }
        self.machines.retain(|_, published| {
            let lives = published.round == round;
            if !lives {
                published.retire(sink.host());
                notes.over(published.subject.as_str());
            }
            lives
        });
    }

    fn put(&mut self, told: Told<'_>, sink: &mut Sink<'_>, notes: &mut Notes) -> Result<()> {
        let Told { vm, machine, mut reading } = told;
        if !self.machines.contains_key(vm) {
            match Published::register(vm, labels(machine, &reading), sink.host()) {
                Ok(published) => self.machines.insert(vm.to_owned(), published),
                Err(error) => {
                    self.refused.insert(vm.to_owned(), self.round);
                    return Err(error);
                }
            };
        }
        let Some(published) = self.machines.get_mut(vm) else { return Ok(()) };
        published.round = self.round;
        let renamed = published.rename(vm, machine, &reading, sink.host());
        let vcpus = reading.values[Quantity::Vcpus].clone();
        published.complete(machine, &mut reading);
        published.put(&reading, vcpus, sink);
        match &reading.doubt {
            Some(doubt) => {
                notes.say(Level::Debug, published.subject.as_str(), format!("state unknown: {doubt}"));
            }
            None if published.doubted => notes.over(published.subject.as_str()),
            None => {}
        }
        published.doubted = reading.doubt.is_some();
        renamed
    }
}

/// As much of a text as a label's value may have.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LABEL)]
}

/// Which of them is the address.
const ADDRESS: usize = 4;

/// The labels of `vm_info` after `vm`.
fn labels<'a>(machine: &'a Machine, reading: &'a Reading) -> [&'a str; 6] {
    let Machine { provider, project, box_name, .. } = machine;
    let address = reading.ip_address.as_deref().unwrap_or_default();
    [machine.shown_name(), provider, project, box_name, address, machine.owner_name()].map(cut)
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

    fn rename(&mut self, vm: &str, machine: &Machine, reading: &Reading, host: &mut Host<'_>) -> Result<()> {
        let mut labels = labels(machine, reading);
        let before = self.labels.each_ref().map(String::as_str);
        if reading.doubt.is_some() {
            // nobody says that its address is another one
            labels[ADDRESS] = before[ADDRESS];
        }
        if labels != before {
            let info = host.series(&metrics::INFO, &info_labels(vm, labels))?;
            let labels = labels.map(str::to_owned);
            host.retire(self.info);
            self.info = info;
            self.labels = labels;
        }
        Ok(())
    }

    /// Fills in what only `.vm_info` knows: never what the provider has told of this machine before and can't tell now,
    /// nor while a hypervisor that would tell it is silent.
    fn complete(&mut self, machine: &Machine, reading: &mut Reading) {
        for (told, quantity) in self.told.iter_mut().zip(Quantity::ALL) {
            *told |= reading.values[quantity].is_ok();
        }
        let silent = reading.doubt.is_some() && matches!(&*machine.provider, "libvirt" | "virtualbox");
        let Some(info) = machine.vm_info.as_ref().filter(|_| !silent) else { return };
        for (quantity, known) in [
            (Quantity::Vcpus, info.vcpus),
            (Quantity::MemoryTotal, info.memory_bytes),
            (Quantity::DiskCapacity, info.disk_bytes),
        ] {
            if let (Err(_), Some(known), false) =
                (&reading.values[quantity], known, self.told[quantity as usize])
            {
                reading.values[quantity] = Ok(known);
            }
        }
    }

    /// `vcpus`: as the provider tells them, for what is a share of them.
    fn put(&mut self, reading: &Reading, vcpus: Value, sink: &mut Sink<'_>) {
        sink.put(self.info, 1.0);
        for (series, state) in self.states.iter().zip(State::ALL) {
            match &reading.doubt {
                // who asks why the state is unknown finds the reason with the others
                Some(doubt) if state != State::Unknown => sink.unavailable(*series, doubt),
                _ => sink.put(*series, f64::from(u8::from(state == reading.state))),
            }
        }
        let usage = self.usage_of(reading, vcpus);
        put_value(sink, self.usage, usage.as_ref());
        self.follow_run(reading);
        for quantity in Quantity::ALL {
            let series = self.values[quantity as usize];
            match &reading.values[quantity] {
                Ok(value) if quantity.is_counter() => {
                    let counter = &mut self.counters[quantity as usize];
                    match counter.next(*value, reading.run.is_some(), quantity == Quantity::CpuSeconds) {
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
    fn usage_of(&mut self, reading: &Reading, vcpus: Value) -> Value {
        let before = self.busy.take();
        let seconds = reading.values[Quantity::CpuSeconds].clone()?;
        let now = Busy { run: reading.run, at: reading.at, seconds };
        self.busy = Some(now);
        let vcpus = vcpus?;
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
            subject: format!("machine {vm}"),
            labels: labels.map(str::to_owned),
            doubted: false,
            info,
            states,
            values,
            usage,
            run: None,
            ended: false,
            counters,
            told: [false; Quantity::ALL.len()],
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
