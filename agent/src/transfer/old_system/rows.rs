//! Rows of the table of metrics, as SQLite has them: any column may hold anything.

use super::{
    database::text,
    moment::{self},
};
use crate::model::Timestamp;
use rusqlite::types::ValueRef;

/// A row.
pub(super) struct Row<'a> {
    pub(super) id: i64,
    pub(super) name: ValueRef<'a>,
    pub(super) value: ValueRef<'a>,
    pub(super) unit: ValueRef<'a>,
    pub(super) time: ValueRef<'a>,
    pub(super) vm: ValueRef<'a>,
}

impl Row<'_> {
    /// Name, machine, value and time; or why the row can't be used.
    pub(super) fn read(&self) -> Result<(&str, Option<i64>, f64, Timestamp), &'static str> {
        let name = text(self.name).ok_or("name is no text")?;
        let value = match self.value {
            ValueRef::Real(value) => value,
            ValueRef::Integer(value) => value as f64,
            ValueRef::Null => return Err("no value"),
            other => text(other).and_then(|text| text.trim().parse().ok()).ok_or("value is no number")?,
        };
        let vm = vm_id(self.vm).ok_or("vm_id is no number")?;
        let time = moment::read(self.time).ok_or("time can't be read")?;
        Ok((name, vm, value, time))
    }

    /// The unit; empty where there is none.
    pub(super) fn unit(&self) -> &str {
        text(self.unit).unwrap_or_default()
    }

    /// Tells the row from one of another database.
    pub(super) fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for column in [self.name, self.value, self.time, self.vm] {
            match column {
                ValueRef::Null => hasher.update(&[0]),
                ValueRef::Integer(value) => hasher.update(&value.to_le_bytes()),
                ValueRef::Real(value) => hasher.update(&value.to_le_bytes()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => hasher.update(bytes),
            }
        }
        hasher.finalize()
    }
}

/// The number of a machine; within, nothing where the column is NULL.
#[allow(clippy::option_option, reason = "no number, and a column that holds something else, are two things")]
pub(super) fn vm_id(column: ValueRef<'_>) -> Option<Option<i64>> {
    let id = match column {
        ValueRef::Null => return Some(None),
        ValueRef::Integer(id) => id,
        other => text(other)?.trim().parse().ok()?,
    };
    (id > 0).then_some(Some(id))
}
