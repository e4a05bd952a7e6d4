//! Opening the history at the start, and what becomes of one that can't be used.

use crate::{
    config::Config,
    model::{Event, Severity, Timestamp},
    store::{Commit, Result, Store, set_aside},
};
use serde_json::json;

/// What becomes of a history that is damaged, foreign or of a newer agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The agent does not start.
    Refuse,
    /// It is moved away, and the agent begins a new one. One that is only in use, denied, or on a full disk is not.
    SetAside,
}

/// Opens the history, or a new one.
pub(super) fn open(config: &Config, unusable: Unusable) -> Result<Store> {
    let options = super::store_options(config);
    let refused = match Store::open(options.clone()) {
        Err(error) if unusable == Unusable::SetAside && error.is_of_the_file() => error,
        opened => return opened,
    };
    let now = Timestamp::now();
    let aside = set_aside(&options.file, now)?;
    let (path, why) = (aside.display().to_string(), refused.to_string());
    tracing::warn!("{why}; it was moved to {path}, and a new history begins");
    let mut store = Store::open(options)?;
    let event = Event {
        kind: "store_set_aside".into(),
        severity: Severity::Warning,
        message: format!("the history could not be used and was moved to {path}"),
        details: json!({"path": path, "reason": why}),
        time: now,
        vm_id: None,
    };
    store.commit(&Commit { events: vec![event], ..Commit::default() })?;
    Ok(store)
}
