//! The configuration is read again.

use super::{Manager, upgrade::Trial};
use crate::{
    app::check::{Loading, problems},
    config::{self, Config, ConfigErrors, Diff, Level, Loaded, Problem},
    host::discover,
    model::{Event, Severity, Timestamp},
    serve::Reloaded,
};

impl Manager {
    /// Reads the configuration again, with the flags of the start, and applies what changed. One with errors changes
    /// nothing. Also gives the plugins whose files were replaced and are to be tried out.
    pub(super) fn reload(&mut self) -> Result<(Reloaded, Vec<Trial>), ConfigErrors> {
        let Loaded { config: written, warnings } = self.read()?;
        // what was switched by hand lasts until its table says something else
        let before = &self.written;
        self.switches.retain(|name, _| match (before.plugins.get(name), written.plugins.get(name)) {
            (Some(before), Some(after)) => before.says_the_same(after),
            _ => false,
        });
        self.written = written;
        let config = self.switched();
        let diff = Diff::between(&self.config, &config);
        let needs_restart = config.needs_restart(&self.started);
        let catalogue = discover(&config.agent.plugin_dirs);
        let failed = self.apply(config, &diff, &catalogue);
        let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        warnings.extend(failed);
        let trials = self.look_for_files(&catalogue);
        let upgrading = trials.iter().map(|trial| trial.name().to_owned()).collect();
        self.publish(&catalogue);
        let reloaded = Reloaded { diff, needs_restart, warnings, upgrading, ..Reloaded::default() };
        if !reloaded.diff.is_empty() {
            self.rooms.collecting.event(event(&reloaded));
        }
        Ok((reloaded, trials))
    }

    fn read(&self) -> Result<Loaded, ConfigErrors> {
        let mut examined = config::examine(&self.flags);
        for (level, problem) in problems(&examined, Loading::Never) {
            examined.add(level, problem);
        }
        if let Some(gone) = self.written.files.first().filter(|_| examined.config.files.is_empty()) {
            examined.add(
                Level::Error,
                Problem {
                    file: Some(gone.clone()),
                    message: "is gone, and there is no other".into(),
                    hint: Some("put it back, or restart the agent to use the built-in defaults".into()),
                    ..Problem::default()
                },
            );
        }
        examined.finish()
    }

    /// What the files say, with what was switched by hand.
    pub(super) fn switched(&self) -> Config {
        let mut config = self.written.clone();
        for (name, on) in &self.switches {
            if let Some(table) = config.plugins.get_mut(name) {
                table.enabled = *on;
            }
        }
        config
    }
}

fn event(reloaded: &Reloaded) -> Event {
    let told = summary(reloaded);
    Event {
        kind: "config_reloaded".into(),
        severity: Severity::Info,
        message: format!("the configuration was read again: {told}"),
        details: serde_json::json!({
            "source": "agent",
            "started": reloaded.diff.started,
            "stopped": reloaded.diff.stopped,
            "changed": reloaded.diff.changed,
            "alerts_added": reloaded.diff.alerts_added,
            "alerts_removed": reloaded.diff.alerts_removed,
            "alerts_changed": reloaded.diff.alerts_changed,
            "keys": reloaded.diff.keys,
        }),
        time: Timestamp::now(),
        vm_id: None,
    }
}

/// What changed, in one line.
pub(super) fn summary(reloaded: &Reloaded) -> String {
    let diff = &reloaded.diff;
    let changed: Vec<String> =
        diff.changed.iter().map(|(name, keys)| format!("{name} ({})", keys.join(", "))).collect();
    let keys: Vec<String> = diff.keys.iter().map(ToString::to_string).collect();
    let parts = [
        ("started", &diff.started),
        ("stopped", &diff.stopped),
        ("changed", &changed),
        ("alerts added", &diff.alerts_added),
        ("alerts removed", &diff.alerts_removed),
        ("alerts changed", &diff.alerts_changed),
        ("keys", &keys),
        ("new files", &reloaded.upgrading),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", names.join(", ")))
        .collect();
    if told.is_empty() { "nothing changed".into() } else { told.join("; ") }
}
