//! A plugin whose fault ends its process, or would never end: only an isolated one may have it. `mode = "…"`; without
//! one it is well.

#![allow(unsafe_code, reason = "writes to where nothing is: that is the fault")]

use std::{
    process::{Command, Stdio},
    time::Duration,
};
use twarga_plugin_api::prelude::*;

const VALUE: Metric = Metric::gauge("fatal_value", Unit::NONE, "How many collections were begun.");
const WRITTEN: Metric =
    Metric::gauge("fatal_written", Unit::NONE, "1 where a file could be written.").labels("file");
const SEEN: Metric = Metric::gauge("fatal_seen", Unit::NONE, "What it sees of its place.").labels("what");

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    None,
    Segv,
    Abort,
    /// Exit code 0, as if all were well.
    Exit,
    /// The same before it is made.
    ExitNew,
    SegvNew,
    HangNew,
    SegvDrop,
    HangDrop,
    Busy,
    Sleep,
    StackOverflow,
    /// Takes 16 MiB a step until it gets no more.
    Leak,
    /// 50 children that sleep.
    Fork,
    /// One child that leaves the session, and keeps the output open.
    Daemon,
    /// A flood on standard output, and no end.
    Noise,
    /// Writes to the files of `files`.
    Write,
    /// Says the user, the limits, the environment and the descriptors that it has.
    Look,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    mode: Mode,
    /// Collections that go well before the fault.
    after: u64,
    files: Vec<String>,
}

pub struct Fatal {
    config: Config,
    value: Series,
    collections: u64,
    kept: Vec<Vec<u8>>,
}

impl Collector for Fatal {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["fatal_"];
    const METRICS: &'static [Metric<'static>] = &[VALUE, WRITTEN, SEEN];

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        match config.mode {
            Mode::ExitNew => std::process::exit(0),
            Mode::SegvNew => segv(),
            Mode::HangNew => hang(),
            _ => {}
        }
        let value = host.series(&VALUE, &[])?;
        Ok(Self { config, value, collections: 0, kept: Vec::new() })
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.collections += 1;
        sink.put(self.value, self.collections as f64);
        if self.collections <= self.config.after {
            return Ok(());
        }
        match self.config.mode {
            Mode::Segv => segv(),
            Mode::Abort => std::process::abort(),
            Mode::Exit => std::process::exit(0),
            Mode::Busy => loop {
                std::hint::spin_loop();
            },
            Mode::Sleep => hang(),
            Mode::StackOverflow => drop(deep(self.collections)),
            Mode::Leak => loop {
                self.kept.push(vec![1; 16 << 20]);
            },
            Mode::Fork => {
                for _ in 0..50 {
                    Command::new("sleep").arg("123.4").stdout(Stdio::null()).spawn()?;
                }
                std::process::exit(3);
            }
            Mode::Daemon if self.collections == 1 => {
                Command::new("setsid").args(["sleep", "123.7"]).spawn()?;
            }
            Mode::Noise => {
                println!("the last words before the flood");
                for line in 0..100_000 {
                    println!("line {line} of a flood {}", "x".repeat(line % 300));
                }
            }
            Mode::Write => self.write(sink)?,
            Mode::Look => look(sink)?,
            _ => {}
        }
        Ok(())
    }
}

impl Fatal {
    fn write(&self, sink: &mut Sink<'_>) -> Result<()> {
        for file in &self.config.files {
            let series = sink.host().series(&WRITTEN, &[file])?;
            sink.put(series, f64::from(u8::from(std::fs::write(file, "x").is_ok())));
        }
        Ok(())
    }
}

/// The value is a number where the thing is one.
fn look(sink: &mut Sink<'_>) -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mut say = |what: &str, value: u64| -> Result<()> {
        let series = sink.host().series(&SEEN, &[what])?;
        sink.put(series, value as f64);
        Ok(())
    };
    for (key, column) in [("Uid:", 1), ("Gid:", 1), ("NoNewPrivs:", 1)] {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        let number = line.split_whitespace().nth(column).and_then(|number| number.parse().ok());
        say(key, number.unwrap_or(u64::MAX))?;
    }
    for (name, _) in std::env::vars() {
        say(&format!("variable {name}"), 1)?;
    }
    for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let number = entry.file_name().to_string_lossy().parse().unwrap_or(u64::MAX);
        say(&format!("descriptor {}", target.display()), number)?;
    }
    Ok(())
}

fn segv() -> ! {
    // SAFETY: none: this is the fault that the tests want.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
    std::process::abort()
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

#[allow(unconditional_recursion, reason = "that is the fault")]
fn deep(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    deep(depth + 1) + room[3]
}

impl Drop for Fatal {
    fn drop(&mut self) {
        match self.config.mode {
            Mode::SegvDrop => segv(),
            Mode::HangDrop => hang(),
            _ => {}
        }
    }
}

export_plugin!(Fatal, name = "fatal");
