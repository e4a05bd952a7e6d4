//! Two small tables: the machines' numbers, and values that outlive a restart.

use super::error::Inner;
use rusqlite::{Connection, OptionalExtension, params};

/// The number of a machine: the known one, or the next, which no machine ever had.
pub(super) fn vm_id(conn: &Connection, uuid: &str) -> Inner<i64> {
    let mut select = conn.prepare_cached("SELECT id FROM vm WHERE uuid = ?1")?;
    if let Some(known) = select.query_row([uuid], |row| row.get(0)).optional()? {
        return Ok(known);
    }
    Ok(conn.prepare_cached("INSERT INTO vm(uuid) VALUES (?1)")?.insert([uuid])?)
}

/// Gives a machine a number. Nothing, or the machine that stands in the way.
pub(super) fn reserve_vm(conn: &Connection, id: i64, uuid: &str) -> Inner<Option<(i64, String)>> {
    let mut select = conn.prepare_cached("SELECT id, uuid FROM vm WHERE id = ?1 OR uuid = ?2")?;
    let found = select.query_map(params![id, uuid], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found = found.collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    if found.is_empty() {
        conn.prepare_cached("INSERT INTO vm(id, uuid) VALUES (?1, ?2)")?.insert(params![id, uuid])?;
    }
    Ok(found.into_iter().find(|(known_id, known_uuid)| (*known_id, known_uuid.as_str()) != (id, uuid)))
}

/// Gives a machine's number to another UUID.
pub(super) fn rename_vm(conn: &Connection, id: i64, uuid: &str) -> Inner<()> {
    conn.prepare_cached("UPDATE vm SET uuid = ?2 WHERE id = ?1")?.execute(params![id, uuid])?;
    Ok(())
}

/// All machines, in the order of their numbers.
pub(super) fn vms(conn: &Connection) -> Inner<Vec<(i64, String)>> {
    let mut select = conn.prepare_cached("SELECT id, uuid FROM vm ORDER BY id")?;
    let machines = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(machines.collect::<rusqlite::Result<_>>()?)
}

/// Stores a value under a name.
pub(super) fn put_meta(conn: &Connection, key: &str, value: &str) -> Inner<()> {
    let mut upsert = conn.prepare_cached(
        "INSERT INTO meta(key, value) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
    )?;
    upsert.execute(params![key, value])?;
    Ok(())
}

/// The value of a name.
pub(super) fn meta(conn: &Connection, key: &str) -> Inner<Option<String>> {
    let mut select = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(select.query_row([key], |row| row.get(0)).optional()?)
}
