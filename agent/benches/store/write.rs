//! Writing a plan's samples in a tight loop, with what the loop costs.

use crate::{
    Plan,
    feed::{Feed, START},
    figures::Figures,
    measure::{self, Watch},
    reads,
    recording::Recording,
};
use anyhow::Result;
use std::{path::Path, time::Duration};
use twarga_agent::{
    model::Timestamp,
    store::{Options, Retention, Store},
};

/// The loss that a power cut may cost.
const MAX_LOSS: Duration = Duration::from_secs(10);

/// Writes, reads, closes and cuts a store.
pub(crate) fn measure(plan: &Plan, recording: &Recording, file: &Path) -> Result<Figures> {
    let mut feed = Feed::new(plan, recording)?;
    feed.tick(0);
    let memory = measure::resident()?;
    measure::forget_peak()?;

    let written = measure::written()?;
    let mut store = open(file)?;
    let ids = feed.register(&mut store)?;
    let mut figures = Figures::default();
    commits(plan, &mut feed, &mut store, &mut figures)?;
    figures.grown_kib = measure::resident()?.saturating_sub(memory) as f64;
    figures.peak_kib = measure::peak()?.saturating_sub(memory) as f64;
    if !plan.write_only {
        figures.reads = Some(reads::warm(plan, recording, &store, &ids)?);
    }
    store.close()?;
    figures.written = (measure::written()? - written) as f64;
    figures.file = std::fs::metadata(file)?.len() as f64;
    figures.parts = parts(file)?;
    if let Some(figures) = &mut figures.reads {
        reads::delete_a_seventh(plan, &mut open(file)?, figures)?;
    }
    Ok(figures)
}

/// Commits all ticks, with retention once a minute, as the agent does.
fn commits(plan: &Plan, feed: &mut Feed, store: &mut Store, figures: &mut Figures) -> Result<()> {
    let a_minute = (60 / plan.interval as usize).max(1);
    for tick in 0..plan.commits() {
        let commit = feed.tick(tick);
        let watch = Watch::start();
        store.commit(commit)?;
        note(&watch, figures);
        if tick % a_minute == a_minute - 1 {
            let now = Timestamp::from_millis(START + (tick * plan.interval as usize) as i64 * 1000);
            let watch = Watch::start();
            store.expire(now, true)?;
            note(&watch, figures);
        }
    }
    Ok(())
}

fn note(watch: &Watch, figures: &mut Figures) {
    let (wall, cpu) = watch.stop();
    figures.cpu_us += cpu.as_secs_f64() * 1e6;
    figures.stall_wall_ms = figures.stall_wall_ms.max(wall.as_secs_f64() * 1e3);
    figures.stall_cpu_ms = figures.stall_cpu_ms.max(cpu.as_secs_f64() * 1e3);
}

/// The store counts `max_loss` by the times of the samples, too: nobody here waits a second between two commits.
fn open(file: &Path) -> Result<Store> {
    let retention = Retention::default();
    let options = Options { file: file.into(), retention, max_loss: MAX_LOSS, max_size: 1 << 40 };
    Ok(Store::open(options)?)
}

/// Bytes of each table and index of the file, the largest first, and of its free pages.
fn parts(file: &Path) -> Result<Vec<(String, u64)>> {
    let conn = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut select =
        conn.prepare("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE ORDER BY pgsize DESC")?;
    let parts = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
    let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
    let number = |pragma| conn.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let free = number("PRAGMA freelist_count")? * number("PRAGMA page_size")?;
    parts.push(("free".into(), free.unsigned_abs()));
    Ok(parts)
}
