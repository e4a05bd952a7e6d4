//! The table of events.

use super::{
    error::Inner,
    types::{EventFilter, StoredEvent},
};
use crate::model::{Event, Severity, Timestamp};
use rusqlite::{Connection, Row, params};

/// Stores events in their order.
pub(super) fn write(conn: &Connection, events: &[Event]) -> Inner<()> {
    for event in events {
        let mut insert = conn.prepare_cached(
            "INSERT INTO event(time, type, severity, message, details, vm_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        insert.execute(params![
            event.time.as_millis(),
            event.kind,
            event.severity.word(),
            event.message,
            event.details.to_string(),
            event.vm_id
        ])?;
    }
    Ok(())
}

/// Events, newest first.
pub(super) fn read(conn: &Connection, filter: &EventFilter) -> Inner<Vec<StoredEvent>> {
    let mut select = conn.prepare_cached(
        "SELECT id, time, type, severity, message, details, vm_id FROM event
         WHERE (?1 IS NULL OR time >= ?1) AND (?2 IS NULL OR type = ?2) AND (?3 IS NULL OR severity = ?3)
           AND (?4 IS NULL OR id < ?4)
         ORDER BY id DESC LIMIT ?5",
    )?;
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let since = filter.since.map(Timestamp::as_millis);
    let events =
        select.query_map(params![since, filter.kind, filter.severity, filter.before, limit], event)?;
    Ok(events.collect::<rusqlite::Result<_>>()?)
}

fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let severity: String = row.get(3)?;
    let details: String = row.get(5)?;
    Ok(StoredEvent {
        id: row.get(0)?,
        event: Event {
            time: Timestamp::from_millis(row.get(1)?),
            kind: row.get(2)?,
            // what only a newer agent knows must not hide the event
            severity: Severity::from_word(&severity).unwrap_or(Severity::Info),
            message: row.get(4)?,
            details: serde_json::from_str(&details).unwrap_or(serde_json::Value::Null),
            vm_id: row.get(6)?,
        },
    })
}

/// Deletes at most `limit` events of before this time. Returns how many.
pub(super) fn delete_before(conn: &Connection, before: Timestamp, limit: u32) -> Inner<usize> {
    // the sign keeps SQLite from planning anew for each time
    let mut delete = conn.prepare_cached(
        "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE time < +?1 ORDER BY time LIMIT ?2)",
    )?;
    Ok(delete.execute(params![before.as_millis(), limit])?)
}
