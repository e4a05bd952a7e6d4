//! Segments: the frozen rows of a group as they are first written to the file, a blob for each part of time.

use super::super::{
    codec::{BlockWriter, ColumnEncoder, Content, Effort, Rows, Samples},
    error::{Failure, Inner},
    head::{Group, RowSet},
    key,
    merge::{Merge, Source},
    types::Tier,
};
use super::places;
use rusqlite::{Connection, OptionalExtension, params};

/// A segment takes the next rows of its group while it has no more than this: rare rows would else make many small blobs.
const GATHERED: usize = 96;

/// A segment that was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) group: u32,
    pub(super) part: i64,
    pub(super) number: i64,
    pub(super) rows: usize,
}

/// Writes the frozen rows of a group; `stored` learns of each part and the series that have samples there.
pub(super) fn write(
    conn: &Connection,
    group: &Group,
    encoder: &mut ColumnEncoder,
    mut stored: impl FnMut(i64, &[u32]) -> Inner<()>,
) -> Inner<Vec<Written>> {
    let rows = &group.frozen;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| rows.place(*row));
    let mut written = Vec::new();
    let part_of = |row: &usize| places::part(rows.place(*row).0);
    for rows_of_part in order.chunk_by(|a, b| part_of(a) == part_of(b)) {
        let Some(part) = rows_of_part.first().map(part_of) else { continue };
        let last =
            group.last_segment.filter(|(of, _, count)| *of == part && count + rows_of_part.len() <= GATHERED);
        // a segment that can't be read stays as it is: some of it may be saved yet
        let known = last.map(|(_, number, _)| (number, key::segment(part, group.number, number)));
        let before = known.and_then(|(number, key)| {
            let blob = read(conn, key).transpose()?;
            Some(blob.map(|blob| Source::read(key, blob).ok().map(|source| (number, source))))
        });
        let before = before.transpose()?.flatten();
        let number = match &before {
            Some((number, _)) => *number,
            None => next_number(conn, part, group.number)?,
        };
        let key = key::segment(part, group.number, number);
        let blob = encode(key, rows, rows_of_part, encoder);
        let (Some(mut blob), series) = blob else { continue };
        let mut count = rows_of_part.len();
        if let Some((_, before)) = before {
            (blob, count) = gather(key, before, blob, count, encoder);
        }
        let mut replace =
            conn.prepare_cached("INSERT OR REPLACE INTO segment(key, n, data) VALUES (?1, ?2, ?3)")?;
        replace.execute(params![key, blob.1 as i64, blob.0])?;
        stored(part, &series)?;
        written.push(Written { group: group.number, part, number, rows: count });
    }
    Ok(written)
}

/// A blob and how many samples it has.
type Counted = (Vec<u8>, u64);

/// The rows as a blob, and which series have samples there.
fn encode(
    key: i64,
    rows: &RowSet,
    order: &[usize],
    encoder: &mut ColumnEncoder,
) -> (Option<Counted>, Vec<u32>) {
    let mut places = Rows::default();
    order.iter().for_each(|row| places.push(rows.place(*row)));
    let mut writer = BlockWriter::default();
    let (mut samples, mut body, mut series) = (Samples::default(), Vec::new(), Vec::new());
    for (id, slot) in rows.series() {
        samples.clear();
        for (at, row) in order.iter().enumerate() {
            if let Some((value, reset)) = rows.sample(*row, slot) {
                samples.push(at, value, reset);
            }
        }
        if samples.values.is_empty() {
            continue;
        }
        body.clear();
        samples.encode(order.len(), encoder, Effort::Fast, &mut body);
        writer.push(key, id, samples.values.len() as u32, &body);
        series.push(id);
    }
    let count = writer.count();
    ((count > 0).then(|| (writer.finish(key, Content::Samples, &places), count)), series)
}

/// The segment with the rows that are added to it; and how many it has then.
fn gather(
    key: i64,
    before: Source,
    added: Counted,
    rows: usize,
    encoder: &mut ColumnEncoder,
) -> (Counted, usize) {
    // what was just encoded can be read
    let Ok(more) = Source::read(key, added.0.clone()) else { return (added, rows) };
    let merge = Merge::begin(Tier::Raw, key, Effort::Fast, vec![before, more], i64::MIN, None);
    let rows = merge.rows();
    match merge.at_once(encoder) {
        Some(blob) => ((blob.data, blob.count), rows),
        None => (added, rows),
    }
}

fn read(conn: &Connection, key: i64) -> Inner<Option<Vec<u8>>> {
    let mut select = conn.prepare_cached("SELECT data FROM segment WHERE key = ?1")?;
    Ok(select.query_row([key], |row| row.get(0)).optional()?)
}

/// The number of the next segment of a group in a part.
fn next_number(conn: &Connection, part: i64, group: u32) -> Inner<i64> {
    let range = [key::block(part, group), key::last_segment(part, group)];
    let mut select = conn.prepare_cached("SELECT max(key) FROM segment WHERE key BETWEEN ?1 AND ?2")?;
    let last: Option<i64> = select.query_row(range, |row| row.get(0))?;
    let number = last.map_or(0, |last| last - range[0] + 1);
    if number < key::SEGMENTS { Ok(number) } else { Err(Failure::Exhausted("segment of these two hours")) }
}
