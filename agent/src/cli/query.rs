//! `query`: the history of a metric or a view, from the file, also while the agent runs.

use super::table::{columns, sparkline};
use crate::{
    app,
    config::{self, Flags},
    model::Timestamp,
    query::{History, HistoryError, HistoryQuery, StepQuery, Target, history, parse_step},
    store::{Aggregate, BadPattern, Matcher, Range, Reader, Readers, Selector, Tier},
    views,
};
use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use std::{
    io::{self, Write},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};
use twarga_plugin_api::duration;

/// Bars of a sparkline: more would not fit beside anything.
const BARS: usize = 60;

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// A metric or a view: host_load1, host_cpu_percent …
    #[arg(value_name = "METRIC")]
    metric: String,
    /// Only series with this label value; also KEY!=VALUE, and KEY=~PATTERN or KEY!~PATTERN with a regular
    /// expression for the whole value; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// From this time on: RFC 3339, or how long ago (10m, 2h, 7d)
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// One value for each step of this length (30s, 5m, 1h, 1d), in place of the points
    #[arg(long, value_name = "LENGTH", value_parser = parse_step)]
    step: Option<Duration>,
    /// What becomes of the samples of a step: avg, min, max, last, sum, count, a percentile (p50, p95, p99.9); of
    /// counters also rate and increase [default: rate for counters, else avg]
    #[arg(long, value_name = "AGGREGATE", requires = "step")]
    agg: Option<Aggregate>,
    /// The newest so many points or steps
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    limit: u32,
    /// A table for people, or a format for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

#[derive(Clone, Debug)]
struct Label(Matcher);

impl FromStr for Label {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str =
            "write it as KEY=VALUE, such as device=eth0; also KEY!=VALUE, KEY=~PATTERN, KEY!~PATTERN";
        let at = text.find(['=', '!']).filter(|at| *at > 0).ok_or(WANTED)?;
        let (key, rest) = text.split_at(at);
        let bad = |error: BadPattern| format!("the pattern can't be used: {error}");
        let matcher = if let Some(pattern) = rest.strip_prefix("=~") {
            Matcher::matches(key, pattern).map_err(bad)?
        } else if let Some(pattern) = rest.strip_prefix("!~") {
            Matcher::matches_not(key, pattern).map_err(bad)?
        } else if let Some(value) = rest.strip_prefix("!=") {
            Matcher::not_equal(key, value)
        } else {
            Matcher::equal(key, rest.strip_prefix('=').ok_or(WANTED)?)
        };
        Ok(Self(matcher))
    }
}

/// A time on the command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub(super) Timestamp);

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(Timestamp::from_millis(time.as_millisecond())));
        }
        match duration::parse(text) {
            Ok(ago) => Ok(Self(Timestamp::now().minus(ago))),
            Err(_) => Err("write a time such as 2026-11-20T22:00:00Z, or how long ago, such as 10m".into()),
        }
    }
}

pub(super) fn run(flags: &Flags, args: &QueryArgs) -> Result<ExitCode> {
    let config = config::load(flags)?.config;
    let readers = Readers::of_file(&app::store_file(&config.agent.data_dir))?;
    let reader = readers.reader()?;
    let query = HistoryQuery {
        target: Target::Host,
        metric: args.metric.clone(),
        matchers: args.labels.iter().map(|Label(matcher)| matcher.clone()).collect(),
        range: Range {
            from: args.from.map_or(Range::ALL.from, |moment| moment.0),
            to: args.to.map_or(Range::ALL.to, |moment| moment.0),
        },
        limit: args.limit as usize,
        steps: args.step.map(|length| StepQuery { length, aggregate: args.agg }),
    };
    let found = match history(&reader, &query, &config.views.disk) {
        Ok(found) => found,
        Err(HistoryError::Unknown) => return Err(unknown(&reader, &args.metric)),
        Err(HistoryError::Ambiguous { labels }) => {
            let choices =
                labels.iter().map(|(key, values)| format!("  --label {key}={}", values.join(" | ")));
            let choices: Vec<String> = choices.collect();
            bail!("several series match {}; choose one:\n{}", args.metric, choices.join("\n"));
        }
        Err(HistoryError::Store(error)) => bail!("can't read the history: {error}"),
        Err(wrong @ (HistoryError::NotACounter(_) | HistoryError::TooManySteps { .. })) => bail!("{wrong}"),
    };
    let printed = match args.format {
        Format::Table => table(&query, &found),
        Format::Json => json(&query, &found),
        Format::Csv => csv(&found),
    };
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS), // | head
        printed => Ok(printed.map(|()| ExitCode::SUCCESS)?),
    }
}

fn unknown(reader: &Reader, metric: &str) -> anyhow::Error {
    let mut names: Vec<String> = views::NAMES.iter().map(ToString::to_string).collect();
    names.extend(
        reader.all_series().unwrap_or_default().into_iter().map(|series| series.def.metric.name.to_string()),
    );
    names.sort();
    names.dedup();
    let close = names.iter().map(|name| (strsim::jaro_winkler(metric, name), name));
    match close.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((similarity, name)) if similarity > 0.8 => {
            anyhow!("no metric `{metric}`; did you mean `{name}`?")
        }
        _ => anyhow!("no metric `{metric}`; GET /api/metrics lists those that there are"),
    }
}

fn shown(found: &History, value: f64) -> String {
    if found.view { format!("{value:.2}") } else { value.to_string() }
}

fn table(query: &HistoryQuery, found: &History) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let name = Selector { metric: query.metric.clone(), matchers: query.matchers.clone() };
    let values: Vec<f64> = found.points.iter().rev().map(|(_, value)| *value).collect();
    if values.is_empty() {
        writeln!(out, "{name}: no points in this time")?;
    } else {
        let rows: Vec<Vec<String>> = (found.points.iter().rev())
            .map(|(time, value)| vec![time.to_string(), shown(found, *value)])
            .collect();
        let unit = if found.unit.is_empty() { "VALUE".into() } else { format!("VALUE ({})", found.unit) };
        write!(out, "{}", columns(&["TIME", &unit], &rows))?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let bars = sparkline(&values[values.len().saturating_sub(BARS)..]);
        let [least, mean, most] = [least, mean, most].map(|value| shown(found, value));
        let agg = found.steps.as_ref().map_or_else(String::new, |steps| format!("{} of ", steps.aggregate));
        writeln!(out, "\n{bars}\n{agg}{name}: min {least}, mean {mean}, max {most}")?;
    }
    if let Some(why) = found.steps.as_ref().and_then(|steps| steps.unavailable.as_ref()) {
        writeln!(out, "not all steps: {why}")?;
    }
    for gap in &found.gaps {
        writeln!(out, "no data from {} to {}: {}", gap.from, gap.to, gap.reason)?;
    }
    Ok(())
}

fn json(query: &HistoryQuery, found: &History) -> io::Result<()> {
    let data: Vec<_> = found
        .points
        .iter()
        .map(|(time, value)| serde_json::json!({"value": value, "unit": found.unit, "timestamp": time.to_string()}))
        .collect();
    let gaps: Vec<_> = found
        .gaps
        .iter()
        .map(|gap| {
            let (from, to) = (gap.from.to_string(), gap.to.to_string());
            serde_json::json!({"from": from, "to": to, "reason": gap.reason})
        })
        .collect();
    let mut answer =
        serde_json::json!({"metric_name": query.metric, "count": data.len(), "data": data, "gaps": gaps});
    if let Some(steps) = &found.steps {
        answer["step_seconds"] = steps.length.as_secs_f64().into();
        answer["agg"] = steps.aggregate.to_string().into();
        answer["tier"] = steps.tier.map(Tier::word).into();
        if let Some(why) = &steps.unavailable {
            answer["unavailable"] = why.as_str().into();
        }
    }
    writeln!(io::stdout().lock(), "{answer}")
}

fn csv(found: &History) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(out, "timestamp,value,unit")?;
    for (time, value) in &found.points {
        writeln!(out, "{time},{value},{}", found.unit)?;
    }
    out.flush()
}
