//! A plugin with one fault, chosen by its configuration: `mode = "…"`. Without a mode it is well.

#![forbid(unsafe_code)]

use rustix::time::{ClockId, clock_gettime};
use std::{
    fs::File,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};
use twarga_plugin_api::{prelude::*, testing::Harness};

const VALUE: Metric = Metric::gauge("faulty_value", Unit::NONE, "How many collections were begun.");
const STEPS: Metric = Metric::counter("faulty_steps_total", Unit::NONE, "A counter that may misbehave.");
const ITEM: Metric = Metric::gauge("faulty_item", Unit::NONE, "One of many.").labels("item");

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    None,
    PanicNew,
    /// A payload that is no text.
    PanicAny,
    /// A payload whose drop panics again.
    PanicBomb,
    ErrorNew,
    ConfigError,
    Unsupported,
    PanicCollect,
    ErrorCollect,
    FatalCollect,
    /// An error whose message has `n` bytes, in lines.
    LongError,
    PanicDrop,
    /// A thread of its own panics while the collector goes on.
    PanicThread,
    BadSeries,
    /// `n` values that are no numbers; three where that is 0.
    Nan,
    Duplicate,
    Backwards,
    /// `n` series; it asks for all of them, whatever the host says.
    TooMany,
    /// A label value of `n` bytes.
    LongLabel,
    /// One label too few.
    FewLabels,
    /// `n` absences of one series.
    Absences,
    /// Every collection takes `ms`.
    Slow,
    Hang,
    /// Ends the process.
    Abort,
    /// `n` bytes are kept for ever, each time.
    Leak,
    /// A series that comes and goes without a word.
    Flicker,
    /// Its end takes `ms`.
    SlowDrop,
    /// A file `lock` of its own that must not be there at its start.
    Lock,
    /// `n` lines of log.
    Logs,
    Stdout,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    mode: Mode,
    /// Collections that go well before the fault.
    after: u64,
    n: usize,
    ms: u64,
    /// Every collection takes so much processor time, whatever the mode; only the first `burns` where that is not 0.
    burn_ms: u64,
    burns: u64,
    /// A thread of its own uses so much processor time in each tenth of a second, as long as the collector lives.
    thread_burn_ms: u64,
    lock: PathBuf,
}

pub struct Faulty {
    config: Config,
    value: Series,
    steps: Series,
    items: Vec<Series>,
    collections: u64,
    kept: Vec<Vec<u8>>,
    /// Its thread ends with it.
    thread: Option<mpsc::Sender<()>>,
}

/// Series of the nested collector of [`Mode::BadSeries`].
static FOREIGN: Mutex<Vec<Series>> = Mutex::new(Vec::new());

impl Collector for Faulty {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["faulty_"];
    const METRICS: &'static [Metric<'static>] = &[VALUE, STEPS, ITEM];
    const CONFIG_SCHEMA: &'static str = r#"{"type":"object","properties":{"mode":{"type":"string"}}}"#;

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        let value = host.series(&VALUE, &[])?;
        let steps = host.series(&STEPS, &[])?;
        match config.mode {
            Mode::PanicNew => panic!("planned in new"),
            Mode::PanicAny => std::panic::panic_any(42_u8),
            Mode::PanicBomb => std::panic::panic_any(Bomb),
            Mode::ErrorNew => return Err(Error::transient("planned in new")),
            Mode::ConfigError => return Err(Error::config("mode", "planned in new")),
            Mode::Unsupported => return Err(Error::unsupported("planned in new")),
            Mode::Stdout => println!("a plugin that writes to standard output at its start"),
            Mode::Lock => drop(File::create_new(&config.lock).context(config.lock.display())?),
            _ => {}
        }
        let items = items(&config, host)?;
        let thread = (config.thread_burn_ms > 0)
            .then(|| burn_beside(Duration::from_millis(config.thread_burn_ms)))
            .transpose()
            .context("a thread of its own")?;
        Ok(Self { config, value, steps, items, collections: 0, kept: Vec::new(), thread })
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.collections += 1;
        if self.config.burns == 0 || self.collections <= self.config.burns {
            burn(Duration::from_millis(self.config.burn_ms));
        }
        sink.put(self.value, self.collections as f64);
        if self.collections <= self.config.after {
            return Ok(());
        }
        match self.config.mode {
            Mode::PanicCollect => panic!("planned in collect"),
            Mode::ErrorCollect => return Err(Error::transient("planned in collect")),
            Mode::FatalCollect => return Err(Error::fatal("planned in collect")),
            Mode::LongError => return Err(Error::transient("long\n\u{1b}[31m".repeat(self.config.n / 10))),
            Mode::Slow => std::thread::sleep(Duration::from_millis(self.config.ms)),
            Mode::Abort => std::process::abort(),
            Mode::Leak => self.kept.push(vec![1; self.config.n]),
            Mode::Hang => loop {
                std::thread::park();
            },
            Mode::PanicThread => {
                let thread = std::thread::spawn(|| panic!("planned in a thread of the plugin"));
                return match thread.join() {
                    Ok(()) => Err(Error::fatal("the thread did not panic")),
                    Err(_) => Ok(()),
                };
            }
            _ => self.put_faults(sink),
        }
        Ok(())
    }
}

/// Uses processor time, however busy the machine is.
fn burn(time: Duration) {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let until = used() + time;
    while used() < until {
        std::hint::spin_loop();
    }
}

/// The same on a thread, again and again, until the sender is dropped.
fn burn_beside(time: Duration) -> std::io::Result<mpsc::Sender<()>> {
    let (end, is_end) = mpsc::channel();
    std::thread::Builder::new().name("faulty-burns".into()).spawn(move || {
        while is_end.recv_timeout(Duration::from_millis(100).saturating_sub(time))
            == Err(RecvTimeoutError::Timeout)
        {
            burn(time);
        }
    })?;
    Ok(end)
}

impl Faulty {
    fn put_faults(&mut self, sink: &mut Sink<'_>) {
        match self.config.mode {
            Mode::Nan => {
                let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().cycle();
                for value in values.take(if self.config.n == 0 { 3 } else { self.config.n }) {
                    sink.put(self.steps, value);
                }
            }
            Mode::Duplicate => sink.put(self.value, -1.0),
            Mode::Backwards => {
                // 100, 99, 98 …: a reset each time after the first
                sink.put(self.steps, 101.0 - self.collections as f64);
            }
            Mode::BadSeries | Mode::TooMany => {
                for series in &self.items {
                    sink.put(*series, 1.0);
                }
            }
            Mode::Absences => {
                for _ in 0..self.config.n {
                    sink.unavailable(self.steps, "planned");
                }
            }
            Mode::Logs => {
                for line in 0..self.config.n {
                    sink.host().log(Level::Warn, &format!("line {line} of a flood"));
                }
            }
            Mode::Stdout => {
                for _ in 0..self.config.n.max(1) {
                    println!("a plugin that writes to standard output");
                }
            }
            Mode::Flicker if self.collections % 2 == 1 => sink.put(self.steps, 1.0),
            _ => {}
        }
    }
}

fn items(config: &Config, host: &mut Host<'_>) -> Result<Vec<Series>> {
    match config.mode {
        Mode::BadSeries => {
            // ids that another host gave, higher than any of this one; and one that is retired
            let text = r#"{"mode":"too_many","n":1000}"#;
            drop(Harness::new(plugin(), text)?);
            let mut items = FOREIGN.lock().unwrap_or_else(PoisonError::into_inner).split_off(990);
            let retired = host.series(&ITEM, &["retired"])?;
            host.retire(retired);
            items.push(retired);
            Ok(items)
        }
        Mode::TooMany => {
            let mut items = Vec::new();
            for number in 0..config.n {
                match host.series(&ITEM, &[&number.to_string()]) {
                    Ok(series) => items.push(series),
                    Err(error) if items.len() == number => host.log(Level::Warn, error.message()),
                    Err(_) => {} // said once
                }
            }
            *FOREIGN.lock().unwrap_or_else(PoisonError::into_inner) = items.clone();
            Ok(items)
        }
        Mode::LongLabel => Ok(vec![host.series(&ITEM, &[&"x".repeat(config.n)])?]),
        Mode::FewLabels => Ok(vec![host.series(&ITEM, &[])?]),
        _ => Ok(Vec::new()),
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        drop(self.thread.take());
        match self.config.mode {
            Mode::SlowDrop => std::thread::sleep(Duration::from_millis(self.config.ms)),
            // one that was never made has no lock
            Mode::Lock => drop(std::fs::remove_file(&self.config.lock)),
            _ => {}
        }
        assert!(self.config.mode != Mode::PanicDrop, "planned in drop");
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload of a panic panics when it is dropped");
    }
}

export_plugin!(Faulty, name = "faulty");
