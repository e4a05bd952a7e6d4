//! Queries of a warm store, and the deletion of its oldest seventh.

use crate::{
    Plan,
    feed::START,
    figures::{Reads, median},
    graph,
    measure::Watch,
    recording::Recording,
};
use anyhow::{Result, ensure};
use twarga_agent::{
    model::{SeriesId, Timestamp},
    store::{Aggregate, AggregateQuery, Range, Store},
};

/// How often each query is asked; the first answers warm the caches and don't count.
const WARM: usize = 2;
const TIMES: usize = 11;
const WEEK: usize = 7 * 24 * 3600;
/// A week at five seconds.
const POINTS: usize = 120_960;
const MONTH: usize = 30 * 24 * 3600;
/// The step of a graph: 45 minutes, so that 30 days are 960 points.
const STEP: usize = 45 * 60;

/// Asks one series in the middle, while the writer has the store open.
pub(crate) fn warm(plan: &Plan, recording: &Recording, store: &Store, ids: &[SeriesId]) -> Result<Reads> {
    let reader = store.readers().reader()?;
    // a rate of the network: neither constant nor simple
    let which = recording.series().iter().position(|series| series.name.ends_with("rx_bytes_per_s"));
    let middle = plan.replicas()? / 2;
    let which = which.unwrap_or_default();
    let series = ids[middle * crate::recording::SERIES + which];
    let interval = plan.interval as usize;
    let end = (plan.commits() - 1) * interval;

    let (latest_ms, latest) = timed(|| Ok(reader.last(series, Range::ALL, 100)?))?;
    for (back, point) in latest.iter().enumerate() {
        let value = recording.values(end - back * interval, middle).nth(which);
        ensure!(Some(point.value) == value, "the store answered {point:?}, stored was {value:?}");
    }
    let points = plan.commits().min(WEEK / interval).min(POINTS);
    let range = Range { from: at(end + interval - points * interval), to: at(end) };
    let (all_ms, all) = timed(|| Ok(reader.last(series, range, usize::MAX)?))?;
    ensure!(all.len() == points, "the store has {} of {points} points", all.len());

    let span = (plan.hours as usize * 3600).min(MONTH);
    let range = Range { from: at(end.saturating_sub(span)), to: at(end) };
    let query = AggregateQuery { range, step: STEP as i64 * 1000, aggregate: Aggregate::Avg };
    let (graph_ms, steps) = timed(|| graph::ask(&reader, series, &query))?;
    let wanted = span / STEP;
    // where there are no roll-ups, a month has no more than what is left of the raw samples
    ensure!((1..=wanted + 1).contains(&steps), "the graph has {steps} points, not {wanted}");
    Ok(Reads {
        latest_ms,
        all_ms,
        all_points: points as f64,
        graph_ms,
        graph_days: span as f64 / 86_400.0,
        graph_points: steps as f64,
        ..Reads::default()
    })
}

/// Deletes the oldest seventh of the raw samples, as `DELETE /api/metrics/cleanup` does.
pub(crate) fn delete_a_seventh(plan: &Plan, store: &mut Store, figures: &mut Reads) -> Result<()> {
    let interval = plan.interval as usize;
    // retention may have been there before
    let first = plan.commits().saturating_sub(WEEK / interval);
    let left = plan.commits() - first;
    let watch = Watch::start();
    let deleted = store.delete_before(at((first + left / 7) * interval))?.samples;
    let (wall, cpu) = watch.stop();
    (figures.delete_wall_ms, figures.delete_cpu_ms) = (wall.as_secs_f64() * 1e3, cpu.as_secs_f64() * 1e3);
    let at_least = (left / 7 * plan.series) as u64;
    // retention lags behind by an hour or so
    let at_most = at_least + (plan.series * 7200 / interval) as u64;
    ensure!((at_least..=at_most).contains(&deleted), "{deleted} samples deleted, {at_least} were due");
    Ok(())
}

fn at(second: usize) -> Timestamp {
    Timestamp::from_millis(START + second as i64 * 1000)
}

/// The median wall time of a query in milliseconds, and its answer.
fn timed<T>(query: impl Fn() -> Result<T>) -> Result<(f64, T)> {
    let mut times = Vec::new();
    for round in 0..WARM + TIMES {
        let watch = Watch::start();
        let answer = query()?;
        let (wall, _) = watch.stop();
        if round >= WARM {
            times.push(wall.as_secs_f64() * 1e3);
        }
        if round == WARM + TIMES - 1 {
            return Ok((median(times), answer));
        }
    }
    unreachable!("the last round returns")
}
