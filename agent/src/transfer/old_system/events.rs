//! The old events, with their times.

use super::{
    database::{Database, Table, text},
    moment, rows,
};
use crate::{
    model::{Event, Severity},
    transfer::{TransferError, sink::Sink},
};
use rusqlite::types::ValueRef;
use serde_json::{Map, Value, json};

/// Hands all events to the sink, which knows those that are stored.
pub(super) fn import(database: &Database, table: &Table, sink: &mut Sink) -> Result<(), TransferError> {
    sink.begin_events();
    let mut waiting = 0;
    database.events(table, |columns| {
        match event(columns) {
            Some(event) => sink.put_event(event)?,
            None => sink.tally.skip("event without a type or a time"),
        }
        waiting += 1;
        if waiting % 1000 == 0 {
            sink.flush(Vec::new())?;
        }
        Ok(())
    })?;
    Ok(sink.flush(Vec::new())?)
}

fn event(columns: [ValueRef<'_>; 7]) -> Option<Event> {
    let [kind, severity, message, details, created_at, user, vm] = columns;
    let mut object = match text(details).map(|text| (text, serde_json::from_str::<Value>(text))) {
        Some((_, Ok(Value::Object(object)))) => object,
        Some((_, Ok(Value::Null))) | None => Map::new(),
        Some((text, _)) => Map::from_iter([("details".to_owned(), json!(text))]),
    };
    if let ValueRef::Integer(user) = user {
        object.entry("user_id").or_insert(user.into());
    }
    Some(Event {
        kind: text(kind)?.to_owned(),
        severity: match text(severity).unwrap_or_default().to_ascii_lowercase().as_str() {
            "error" | "high" => Severity::Critical,
            word => Severity::from_word(word).unwrap_or(Severity::Info),
        },
        message: text(message).unwrap_or_default().to_owned(),
        details: Value::Object(object),
        time: moment::read(created_at)?,
        vm_id: rows::vm_id(vm).flatten(),
    })
}
