//! Out of the store, also while an agent writes to it.

use super::{
    Format, Progress, TransferError, csv::CsvWriter, json_lines::JsonWriter, openmetrics::OpenMetricsWriter,
    windows::Windows,
};
use crate::{
    model::{SeriesDef, SeriesId},
    store::{Point, Range, Reader, Selector, StoredSeries},
};
use std::{collections::HashMap, io::Write};

/// Texts are handed on when they have this many bytes.
const CHUNK: usize = 1 << 16;

/// A sample on its way out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) def: &'a SeriesDef,
    pub(super) point: Point,
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Samples.
    pub samples: u64,
    /// Series that have any in the time asked for.
    pub series: u64,
}

/// Writes the raw samples of the series that any of the selectors means (of all, where there are none). Where a series
/// has several samples of one time, as after the clock was set back, the last written one counts.
///
/// # Errors
/// The store's, or those of the output.
pub fn export(
    reader: &Reader,
    selectors: &[Selector],
    range: Range,
    format: Format,
    out: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<Exported, TransferError> {
    let mut series = reader.all_series()?;
    if !selectors.is_empty() {
        let meant = |one: &StoredSeries| selectors.iter().any(|selector| is_meant(selector, &one.def));
        series.retain(meant);
    }
    let mut output = Output { out, text: String::new(), exported: Exported::default() };
    match format {
        Format::OpenMetrics => by_family(reader, &series, range, &mut output, progress)?,
        Format::Csv | Format::JsonLines => by_time(reader, &series, range, format, &mut output, progress)?,
    }
    output.hand_on()?;
    output.out.flush()?;
    Ok(output.exported)
}

fn is_meant(selector: &Selector, def: &SeriesDef) -> bool {
    *selector.metric == *def.metric.name
        && selector.matchers.iter().all(|matcher| matcher.accepts(def.labels.get(matcher.label())))
}

struct Output<'a> {
    out: &'a mut dyn Write,
    text: String,
    exported: Exported,
}

impl Output<'_> {
    fn sample_written(&mut self) -> Result<(), TransferError> {
        self.exported.samples += 1;
        if self.text.len() >= CHUNK { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), TransferError> {
        self.out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

/// Series after series.
fn by_family(
    reader: &Reader,
    series: &[StoredSeries],
    range: Range,
    output: &mut Output<'_>,
    progress: Progress<'_>,
) -> Result<(), TransferError> {
    let mut writer = OpenMetricsWriter::default();
    for (done, one) in series.iter().enumerate() {
        progress(done as u64, series.len() as u64);
        let windows = Windows::plan(reader, &[one.id], range)?;
        if !windows.ranges.is_empty() {
            output.exported.series += 1;
            writer.series(&mut output.text, &one.def);
        }
        for window in windows.ranges {
            let mut points = reader.last(one.id, window, usize::MAX)?;
            points.dedup_by_key(|point| point.time);
            for point in points.into_iter().rev() {
                writer.row(&mut output.text, &Row { def: &one.def, point });
                output.sample_written()?;
            }
        }
    }
    OpenMetricsWriter::end(&mut output.text);
    progress(series.len() as u64, series.len() as u64);
    Ok(())
}

/// All series together, in the order of time; of one time, in the order of their names.
fn by_time(
    reader: &Reader,
    series: &[StoredSeries],
    range: Range,
    format: Format,
    output: &mut Output<'_>,
    progress: Progress<'_>,
) -> Result<(), TransferError> {
    let ids: Vec<SeriesId> = series.iter().map(|one| one.id).collect();
    let windows = Windows::plan(reader, &ids, range)?;
    let place: HashMap<SeriesId, usize> = ids.into_iter().enumerate().map(|(at, id)| (id, at)).collect();
    output.exported.series = windows.series.len() as u64;
    let mut writer = ByTime::begin(format, &mut output.text, series, &windows);
    let mut done = 0;
    for window in &windows.ranges {
        progress(done, windows.points.max(done));
        for (at, point) in in_order(reader, &windows.series, *window, &place)? {
            writer.row(&mut output.text, &Row { def: &series[at].def, point });
            output.sample_written()?;
            done += 1;
        }
    }
    progress(done, done);
    Ok(())
}

/// The points of a piece, with the place of their series.
fn in_order(
    reader: &Reader,
    series: &[SeriesId],
    window: Range,
    place: &HashMap<SeriesId, usize>,
) -> Result<Vec<(usize, Point)>, TransferError> {
    let mut rows = Vec::new();
    for (id, mut points) in series.iter().zip(reader.last_of_many(series, window, usize::MAX)?) {
        points.dedup_by_key(|point| point.time);
        rows.extend(points.into_iter().map(|point| (place[id], point)));
    }
    rows.sort_unstable_by_key(|(at, point)| (point.time, point.run, *at));
    Ok(rows)
}

enum ByTime {
    Csv(CsvWriter),
    Json(JsonWriter),
}

impl ByTime {
    fn begin(format: Format, out: &mut String, series: &[StoredSeries], windows: &Windows) -> Self {
        if format == Format::Csv {
            CsvWriter::begin(out);
            return Self::Csv(CsvWriter::default());
        }
        let present = series.iter().filter(|one| windows.series.binary_search(&one.id).is_ok());
        let mut metrics: Vec<_> = present.map(|one| &*one.def.metric).collect();
        metrics.dedup_by(|next, metric| next.name == metric.name);
        JsonWriter::begin(out, metrics.into_iter());
        Self::Json(JsonWriter::default())
    }

    fn row(&mut self, out: &mut String, row: &Row<'_>) {
        match self {
            Self::Csv(writer) => writer.row(out, row),
            Self::Json(writer) => writer.row(out, row),
        }
    }
}
