//! What changed at run time.

use super::{Stamp, rfc3339};
use crate::{config::Diff, model::Timestamp, serve::backend::Reloaded};
use serde::Serialize;
use std::collections::BTreeMap;

/// `POST /api/plugins/{name}/enable` and its like
#[derive(Serialize)]
pub(in crate::serve) struct SwitchAnswer {
    pub(in crate::serve) success: bool,
    pub(in crate::serve) plugin: String,
    pub(in crate::serve) state: &'static str,
    pub(in crate::serve) timestamp: Stamp,
}

/// `POST /-/reload`
#[derive(Serialize)]
pub(in crate::serve) struct ReloadAnswer {
    success: bool,
    changed: bool,
    plugins: Plugins,
    alerts: Alerts,
    keys: Vec<&'static str>,
    needs_restart: Vec<&'static str>,
    warnings: Vec<String>,
    timestamp: Stamp,
}

#[derive(Serialize)]
struct Plugins {
    started: Vec<String>,
    stopped: Vec<String>,
    changed: BTreeMap<String, Vec<&'static str>>,
    upgrading: Vec<String>,
    failed: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Alerts {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

impl ReloadAnswer {
    pub(in crate::serve) fn new(reloaded: Reloaded, time: Timestamp) -> Self {
        let Reloaded { diff, needs_restart, warnings, upgrading, failed } = reloaded;
        let nothing = diff.is_empty() && upgrading.is_empty();
        let Diff { started, stopped, changed, alerts_added, alerts_removed, alerts_changed, keys } = diff;
        Self {
            success: true,
            changed: !nothing,
            plugins: Plugins { started, stopped, changed, upgrading, failed },
            alerts: Alerts { added: alerts_added, removed: alerts_removed, changed: alerts_changed },
            keys,
            needs_restart,
            warnings,
            timestamp: rfc3339(time),
        }
    }
}
