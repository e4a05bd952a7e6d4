//! The block devices and their series.

use crate::{
    block_class::{Class, Roots},
    config::Config,
    counters::{Counters, IO_NOW, Step, is_milliseconds},
    diskstats::{FIELDS, Line, Numbers, parse_line},
    metrics::{ALL, DISK, DISK_INFO, READ_BYTES, WRITTEN_BYTES},
    pattern::Lists,
    registration::{register_all, retire_all},
};
use std::{collections::VecDeque, io};
use twarga_plugin_api::{
    Host, Result, Series, Sink,
    pseudo_file::{PseudoFile, lines},
};

/// What the kernel calls a sector, whatever the device calls one.
const SECTOR_BYTES: f64 = 512.0;
/// How many devices that are gone are remembered, to know them again.
const REMEMBERED: usize = 256;
/// How many collections udev is given to write down the facts about a new device.
const UDEV_PATIENCE: u8 = 3;

/// The devices of /proc/diskstats.
pub(crate) struct Devices {
    file: PseudoFile,
    lists: Lists,
    roots: Roots,
    /// In the order of the file.
    rows: Vec<Row>,
    gone: VecDeque<Gone>,
    all: [Series; 2],
    /// Sectors read and written by all physical devices, also those that are gone since.
    totals: [u64; 2],
}

/// A line of the file.
struct Row {
    name: Vec<u8>,
    number: (u32, u32),
    physical: bool,
    reported: Option<Reported>,
    counters: Counters,
    /// The number of the name changed: another device, whatever its counters say.
    replaced: bool,
}

struct Reported {
    label: String,
    /// Registered when the field is first there.
    series: [Option<Series>; FIELDS],
    info: Option<Series>,
    info_attempts: u8,
}

/// A device that is gone. The kernel may leave one out of a single reading while another is removed: without its
/// last numbers, all that it ever read would be counted a second time.
struct Gone {
    name: Vec<u8>,
    number: (u32, u32),
    counters: Counters,
}

impl Devices {
    /// Opens the file and registers the totals.
    ///
    /// # Errors
    /// Where the file is missing; within, where the totals can't be registered.
    pub(crate) fn open(config: &Config, host: &mut Host<'_>) -> io::Result<Result<Self>> {
        let file = PseudoFile::open(&config.root, "proc/diskstats")?;
        Ok(register_all(host, &ALL, &[]).map(|all| Self {
            file,
            lists: config.devices.clone(),
            roots: Roots::under(&config.root),
            rows: vec![],
            gone: VecDeque::new(),
            all,
            totals: [0; 2],
        }))
    }

    /// Reads and puts.
    ///
    /// # Errors
    /// The first of what went wrong, after everything else was put.
    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let content = match self.file.read() {
            Ok(content) => content,
            Err(error) => {
                let series = self.rows.iter().filter_map(|row| row.reported.as_ref());
                let series = series.flat_map(|reported| reported.series.iter().flatten());
                for series in series.chain(&self.all) {
                    sink.unavailable(*series, "unreadable");
                }
                return Err(error.into());
            }
        };
        let mut outcome = Ok(());
        let mut next = 0;
        for line in lines(content).filter_map(parse_line) {
            if !find_row(&mut self.rows, next, line.name) {
                let Some(row) = Row::new(&line, &self.rows, &self.roots, &self.lists, &mut self.gone) else {
                    continue;
                };
                self.rows.insert(next, row);
            }
            let row = &mut self.rows[next];
            next += 1;
            if row.number != (line.major, line.minor) {
                row.replace(&line, &self.roots, &self.lists, sink.host());
            }
            outcome = outcome.and(row.put(&line, &self.roots, &mut self.totals, sink));
        }
        for row in self.rows.drain(next..) {
            row.leave(&mut self.gone, sink.host());
        }
        for (series, sectors) in self.all.iter().zip(self.totals) {
            sink.put(*series, sectors as f64 * SECTOR_BYTES);
        }
        outcome
    }
}

/// Brings the row of `name` to the place `next`, the devices being nearly always in the same order. Tells whether
/// there is one.
fn find_row(rows: &mut [Row], next: usize, name: &[u8]) -> bool {
    let Some(found) = rows[next..].iter().position(|row| row.name == name) else { return false };
    rows[next..=next + found].rotate_right(1);
    true
}

impl Row {
    /// The row of a device that was not there the last time; nothing where another is spelled the same.
    fn new(
        line: &Line<'_>,
        rows: &[Row],
        roots: &Roots,
        lists: &Lists,
        gone: &mut VecDeque<Gone>,
    ) -> Option<Self> {
        let label = String::from_utf8_lossy(line.name);
        if rows.iter().any(|row| String::from_utf8_lossy(&row.name) == label) {
            return None;
        }
        let number = (line.major, line.minor);
        let known = gone.iter().position(|gone| gone.name == line.name && gone.number == number);
        let class = Class::of(&roots.sysfs, &label);
        Some(Self {
            name: line.name.to_vec(),
            number,
            physical: class.physical,
            reported: class.is_reported(&label, lists).then(|| Reported::new(label.into_owned())),
            counters: known
                .and_then(|known| gone.remove(known))
                .map(|gone| gone.counters)
                .unwrap_or_default(),
            replaced: false,
        })
    }

    /// Another device took the name between two readings.
    fn replace(&mut self, line: &Line<'_>, roots: &Roots, lists: &Lists, host: &mut Host<'_>) {
        let label = String::from_utf8_lossy(&self.name);
        let class = Class::of(&roots.sysfs, &label);
        (self.number, self.physical, self.replaced) = ((line.major, line.minor), class.physical, true);
        match (class.is_reported(&label, lists), &mut self.reported) {
            (true, Some(reported)) => {
                retire_all(host, reported.info.take().as_slice());
                reported.info_attempts = 0;
            }
            (true, none) => *none = Some(Reported::new(label.into_owned())),
            (false, some) => {
                if let Some(reported) = some.take() {
                    reported.retire(host);
                }
            }
        }
    }

    fn put(
        &mut self,
        line: &Line<'_>,
        roots: &Roots,
        totals: &mut [u64; 2],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        if !self.physical && self.reported.is_none() {
            return Ok(());
        }
        let numbers = line.numbers().unwrap_or([None; FIELDS]);
        let steps = self.steps(&numbers);
        if self.physical {
            for (total, field) in totals.iter_mut().zip([READ_BYTES, WRITTEN_BYTES]) {
                let increase = steps[field].increase(self.counters.last[field]);
                *total = total.saturating_add(increase);
            }
        }
        self.counters.take(&steps);
        let Some(reported) = &mut self.reported else { return Ok(()) };
        let last = &self.counters.last;
        let info = reported.put_info(self.number, roots, sink);
        reported.put_steps(&steps, last, sink).and(info)
    }

    fn steps(&mut self, numbers: &Numbers) -> [Step; FIELDS] {
        let mut steps = self.counters.steps(numbers);
        if std::mem::take(&mut self.replaced) {
            for (step, now) in steps.iter_mut().zip(numbers) {
                *step = now.map_or(Step::Absent, Step::Reset);
            }
        }
        steps
    }

    fn leave(self, gone: &mut VecDeque<Gone>, host: &mut Host<'_>) {
        let Self { name, number, counters, reported, .. } = self;
        if gone.len() == REMEMBERED {
            gone.pop_front();
        }
        gone.push_back(Gone { name, number, counters });
        if let Some(reported) = reported {
            reported.retire(host);
        }
    }
}

impl Reported {
    fn new(label: String) -> Self {
        Self { label, series: [None; FIELDS], info: None, info_attempts: 0 }
    }

    fn retire(self, host: &mut Host<'_>) {
        for series in self.series.into_iter().chain([self.info]).flatten() {
            host.retire(series);
        }
    }

    fn put_steps(&mut self, steps: &[Step; FIELDS], last: &Numbers, sink: &mut Sink<'_>) -> Result<()> {
        let mut outcome = Ok(());
        for (field, step) in steps.iter().enumerate() {
            let series = match (self.series[field], step) {
                (Some(series), _) => series,
                (None, Step::Absent) => continue, // an older kernel
                (None, _) => match sink.host().series(&DISK[field], &[&self.label]) {
                    Ok(series) => *self.series[field].insert(series),
                    Err(error) => {
                        outcome = outcome.and(Err(error));
                        continue;
                    }
                },
            };
            match (*step, last[field]) {
                (Step::On(now), _) => sink.put(series, in_base_unit(field, now)),
                (Step::Wrapped(now) | Step::Reset(now), _) if field == IO_NOW => sink.put(series, now as f64),
                (Step::Wrapped(now) | Step::Reset(now), _) => {
                    sink.put_after_reset(series, in_base_unit(field, now));
                }
                (Step::Absent, _) => sink.unavailable(series, "not a number"),
            }
        }
        outcome
    }

    /// The facts are read once: they don't change while the device is there.
    fn put_info(&mut self, number: (u32, u32), roots: &Roots, sink: &mut Sink<'_>) -> Result<()> {
        if self.info.is_none() && self.info_attempts < UDEV_PATIENCE {
            self.info_attempts += 1;
            let (major, minor) = number;
            let (facts, complete) = roots.facts(&self.label, major, minor);
            if complete || self.info_attempts == UDEV_PATIENCE {
                let (major, minor) = (major.to_string(), minor.to_string());
                let series = sink.host().series(
                    &DISK_INFO,
                    &[
                        &self.label,
                        &major,
                        &minor,
                        &facts.path,
                        &facts.wwn,
                        &facts.model,
                        &facts.serial,
                        &facts.revision,
                        &facts.rotational,
                    ],
                )?;
                self.info = Some(series);
            }
        }
        if let Some(info) = self.info {
            sink.put(info, 1.0);
        }
        Ok(())
    }
}

/// Sectors of 512 bytes as bytes, milliseconds as seconds.
fn in_base_unit(field: usize, number: u64) -> f64 {
    let number = number as f64;
    match field {
        READ_BYTES | WRITTEN_BYTES => number * SECTOR_BYTES,
        field if is_milliseconds(field) => number / 1000.0,
        _ => number,
    }
}
