//! The table of CPUs: which are online, their series, their usage.

use crate::{
    history::{History, Spent, Step, Window},
    metrics::{GUEST_SECONDS, SECONDS, USAGE},
    parse::stat::{COLUMNS, Cpu, GUEST_MODES, MODES, Times},
    reading::{self, COUNTER_FELL, FIRST_READING, NO_COLUMN, NO_CPU, TOO_SHORT, UNPARSABLE},
};
use twarga_plugin_api::{Host, Result, Series, Sink};

/// All CPUs that were ever seen. One that goes offline keeps its history, so that its counters are held or reset
/// correctly when it comes back.
pub(crate) struct Cores {
    hertz: u64,
    per_core: bool,
    cores: Vec<Core>, // by id, which is the order of the file
    cursor: usize,
    reading: u64,
    whole: Whole,
    error: Option<twarga_plugin_api::Error>,
}

/// The line of all CPUs (its counters are put only where single CPUs have none) and their usage together.
struct Whole {
    history: Option<History>,
    columns: Option<Columns>,
    usage: Series,
    window: Window,
    /// CPUs whose time of this reading is known.
    counted: u64,
    /// Why the last that is not counted isn't.
    reason: &'static str,
}

struct Core {
    id: u32,
    /// The number of the reading that it was last seen in.
    seen: u64,
    /// The same, with columns that are numbers.
    parsed: u64,
    online: bool,
    /// Without series where single CPUs have none.
    series: Option<CoreSeries>,
    history: Option<History>,
    window: Window,
}

struct CoreSeries {
    columns: Columns,
    usage: Series,
}

/// The series of one line's columns, each registered when the kernel first gives the column.
#[derive(Default)]
struct Columns([Option<Series>; COLUMNS]);

impl Cores {
    pub(crate) fn new(per_core: bool, hertz: u64, host: &mut Host<'_>) -> Result<Self> {
        let whole = Whole {
            history: None,
            columns: (!per_core).then(Columns::default),
            usage: host.series(&USAGE, &["all"])?,
            window: Window::default(),
            counted: 0,
            reason: FIRST_READING,
        };
        Ok(Self { hertz, per_core, cores: vec![], cursor: 0, reading: 0, whole, error: None })
    }

    /// Before the lines of a reading.
    pub(crate) fn begin(&mut self) {
        self.reading += 1;
        self.cursor = 0;
        self.whole.counted = 0;
        self.whole.reason = NO_CPU;
    }

    /// One line of a reading: its counters are put at once, the usage by [`Cores::finish`].
    pub(crate) fn line(&mut self, cpu: Cpu, times: Option<Times>, sink: &mut Sink<'_>) {
        let done = match cpu {
            Cpu::All => self.whole.line(times, self.hertz, sink),
            Cpu::One(id) => self.one(id, times, sink),
        };
        if let Err(error) = done {
            self.error.get_or_insert(error);
        }
    }

    /// After the last line: retires what is offline, puts the usage of all. True where the set of CPUs changed.
    ///
    /// # Errors
    /// The first error of this reading's lines; everything else was put.
    pub(crate) fn finish(&mut self, changed: &mut bool, sink: &mut Sink<'_>) -> Result<()> {
        for core in &mut self.cores {
            if core.online != (core.seen == self.reading) {
                *changed = true;
                core.online = !core.online;
                if !core.online {
                    core.retire(sink.host());
                }
            }
        }
        self.whole.put_usage(self.hertz, sink);
        self.error.take().map_or(Ok(()), Err)
    }

    /// The numbers of the CPUs that are online.
    pub(crate) fn online(&self) -> impl Iterator<Item = u32> {
        self.cores.iter().filter(|core| core.online).map(|core| core.id)
    }

    /// Where the file can't be read.
    pub(crate) fn unavailable(&self, reason: &str, sink: &mut Sink<'_>) {
        sink.unavailable(self.whole.usage, reason);
        let columns = self.whole.columns.iter();
        let cores = self.cores.iter().filter_map(|core| core.series.as_ref());
        for series in cores.clone() {
            sink.unavailable(series.usage, reason);
        }
        for columns in columns.chain(cores.map(|series| &series.columns)) {
            columns.unavailable(reason, sink);
        }
    }

    fn one(&mut self, id: u32, times: Option<Times>, sink: &mut Sink<'_>) -> Result<()> {
        let index = self.find(id);
        self.cursor = index + 1;
        let core = &mut self.cores[index];
        if core.seen == self.reading {
            return Ok(()); // a second line of the same CPU
        }
        core.seen = self.reading;
        let step = core.step(times, self.reading, self.hertz);
        let spent = match (&times, &step) {
            (None, _) => Err(UNPARSABLE),
            (_, None) => Err(FIRST_READING),
            (_, Some((_, spent))) => *spent,
        };
        match spent {
            Ok(spent) => {
                core.window.add(spent);
                self.whole.window.add(spent);
                self.whole.counted += 1;
            }
            Err(reason) => {
                core.window.clear();
                self.whole.reason = reason;
            }
        }
        if core.series.is_none() && self.per_core {
            core.series = Some(CoreSeries::new(id, sink.host())?);
        }
        let Some(series) = &mut core.series else { return Ok(()) };
        reading::put(sink, series.usage, spent.and_then(|_| core.window.take(1, self.hertz)));
        let step = step.map(|(step, _)| step);
        let label = Label::One(id);
        series.columns.put(label, times.as_ref(), core.history.as_ref(), step.as_ref(), self.hertz, sink)
    }

    /// The entry of a CPU, made where there is none. The file is in the order of the numbers, so mostly the cursor
    /// is right.
    fn find(&mut self, id: u32) -> usize {
        if self.cores.get(self.cursor).is_some_and(|core| core.id == id) {
            return self.cursor;
        }
        self.cores.binary_search_by_key(&id, |core| core.id).unwrap_or_else(|place| {
            self.cores.insert(place, Core::new(id));
            place
        })
    }
}

impl Core {
    fn new(id: u32) -> Self {
        Self { id, seen: 0, parsed: 0, online: false, series: None, history: None, window: Window::default() }
    }

    /// The counters, and what was spent since the reading before this one.
    fn step(
        &mut self,
        times: Option<Times>,
        reading: u64,
        hertz: u64,
    ) -> Option<(Step, Result<Spent, &'static str>)> {
        let times = times?;
        let gap = self.parsed + 1 != reading;
        self.parsed = reading;
        let step = advance(&mut self.history, times, hertz)?;
        // the time offline is neither busy nor idle
        let spent = if gap { Err(FIRST_READING) } else { step.spent.ok_or(COUNTER_FELL) };
        Some((step, spent))
    }

    fn retire(&mut self, host: &mut Host<'_>) {
        if let Some(series) = self.series.take() {
            host.retire(series.usage);
            series.columns.0.into_iter().flatten().for_each(|series| host.retire(series));
        }
    }
}

impl CoreSeries {
    fn new(id: u32, host: &mut Host<'_>) -> Result<Self> {
        Ok(Self { columns: Columns::default(), usage: host.series(&USAGE, &[&id.to_string()])? })
    }
}

impl Whole {
    fn line(&mut self, times: Option<Times>, hertz: u64, sink: &mut Sink<'_>) -> Result<()> {
        let Some(columns) = &mut self.columns else { return Ok(()) };
        let step = times.and_then(|times| advance(&mut self.history, times, hertz));
        columns.put(Label::All, times.as_ref(), self.history.as_ref(), step.as_ref(), hertz, sink)
    }

    /// The sum over the single CPUs, for those that were online at both readings: in the kernel's own line of all,
    /// the idle time jumps when a CPU goes or comes.
    fn put_usage(&mut self, hertz: u64, sink: &mut Sink<'_>) {
        let usage = match self.counted {
            0 => Err(self.reason),
            cpus => self.window.take(cpus, hertz),
        };
        if usage.is_err_and(|reason| reason != TOO_SHORT) {
            self.window.clear();
        }
        reading::put(sink, self.usage, usage);
    }
}

#[derive(Clone, Copy)]
enum Label {
    All,
    One(u32),
}

impl Columns {
    fn put(
        &mut self,
        label: Label,
        times: Option<&Times>,
        history: Option<&History>,
        step: Option<&Step>,
        hertz: u64,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let (Some(times), Some(history)) = (times, history) else {
            self.unavailable(UNPARSABLE, sink);
            return Ok(());
        };
        if self.0[..times.known].iter().any(Option::is_none) {
            self.register(label, times.known, sink.host())?;
        }
        let held = history.held();
        for (column, series) in self.0.iter().enumerate() {
            let Some(series) = *series else { continue };
            let seconds = held[column] as f64 / hertz as f64;
            if column >= times.known {
                sink.unavailable(series, NO_COLUMN);
            } else if step.is_some_and(|step| step.is_reset(column)) {
                sink.put_after_reset(series, seconds);
            } else {
                sink.put(series, seconds);
            }
        }
        Ok(())
    }

    fn register(&mut self, label: Label, known: usize, host: &mut Host<'_>) -> Result<()> {
        let cpu = match label {
            Label::All => "all".to_owned(),
            Label::One(id) => id.to_string(),
        };
        for (column, place) in self.0[..known].iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
            *place = Some(match MODES.get(column) {
                Some(mode) => host.series(&SECONDS, &[&cpu, mode])?,
                None => host.series(&GUEST_SECONDS, &[&cpu, GUEST_MODES[column - MODES.len()]])?,
            });
        }
        Ok(())
    }

    fn unavailable(&self, reason: &str, sink: &mut Sink<'_>) {
        for series in self.0.iter().flatten() {
            sink.unavailable(*series, reason);
        }
    }
}

/// The step to a new reading; nothing where it is the first.
fn advance(history: &mut Option<History>, times: Times, hertz: u64) -> Option<Step> {
    match history {
        Some(history) => Some(history.advance(times, hertz)),
        None => {
            *history = Some(History::new(times));
            None
        }
    }
}
