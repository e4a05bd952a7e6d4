//! Reading whole blobs: those of a group in a part, or some of them.

use super::{error::Inner, key, merge::Source, reader::DamageLog, tables::Tables, types::Tier};
use rusqlite::Connection;

/// The block and the segments of a group in a part, the block first.
pub(super) fn of_group(
    conn: &Connection,
    tier: Tier,
    part: i64,
    group: u32,
    damages: &DamageLog,
) -> Inner<Vec<Source>> {
    let range = [key::block(part, group), key::last_segment(part, group)];
    let mut sources = blocks(conn, tier, range, damages)?;
    sources.extend(segments(conn, tier, range, damages)?);
    Ok(sources)
}

/// The blocks from one key to another; damaged ones are noted and skipped.
pub(super) fn blocks(
    conn: &Connection,
    tier: Tier,
    range: [i64; 2],
    damages: &DamageLog,
) -> Inner<Vec<Source>> {
    between(conn, "block", Tables::of(tier).block, range, damages)
}

/// The segments from one key to another, as [`blocks`].
pub(super) fn segments(
    conn: &Connection,
    tier: Tier,
    range: [i64; 2],
    damages: &DamageLog,
) -> Inner<Vec<Source>> {
    between(conn, "segment", Tables::of(tier).segments, range, damages)
}

fn between(
    conn: &Connection,
    what: &'static str,
    sql: &str,
    range: [i64; 2],
    damages: &DamageLog,
) -> Inner<Vec<Source>> {
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query(range)?;
    let mut sources = Vec::new();
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        match Source::read(key, row.get(1)?) {
            Ok(source) => sources.push(source),
            Err(damage) => damages.note(what, key, damage),
        }
    }
    Ok(sources)
}
