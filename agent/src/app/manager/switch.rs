//! Plugins that are switched on, off, or started anew by hand.

use super::{Manager, lock, upgrade::Trial};
use crate::{
    config::{Diff, key_below},
    host::{Catalogue, discover},
    model::PluginState,
    serve::{Switch, SwitchOutcome},
};

impl Manager {
    /// Switches a plugin, by the key of its table. It lasts until the table changes, or the agent ends. Also gives the files
    /// that are to be tried out: a version that was to take over from what is begun anew goes with that.
    pub(super) fn switch(&mut self, name: &str, switch: Switch) -> (SwitchOutcome, Vec<Trial>) {
        let catalogue = discover(&self.config.agent.plugin_dirs);
        let outcome = self.switch_by(name, switch, &catalogue);
        let trials = match outcome {
            SwitchOutcome::Done(_) => self.look_for_files(&catalogue),
            _ => Vec::new(),
        };
        self.publish(&catalogue);
        (outcome, trials)
    }

    fn switch_by(&mut self, name: &str, switch: Switch, catalogue: &Catalogue) -> SwitchOutcome {
        let Some(table) = self.config.plugins.get(name) else {
            let found = self.overview.load().others.iter().any(|other| other.name == name);
            return if found {
                let table = key_below("plugins", name);
                SwitchOutcome::Refused(format!(
                    "it is not configured; add [{table}] to agent.toml and reload"
                ))
            } else {
                SwitchOutcome::UnknownPlugin
            };
        };
        match (switch, table.enabled) {
            (Switch::Disable, false) => SwitchOutcome::Done(PluginState::Disabled),
            (Switch::Disable, true) => self.turn(name, false, catalogue),
            (Switch::Enable, false) => self.turn(name, true, catalogue),
            (Switch::Restart, false) => SwitchOutcome::Refused("it is disabled; enable it".into()),
            (Switch::Enable, true) if self.running.contains_key(name) => self.state(name),
            (Switch::Enable | Switch::Restart, true) => self.restart(name, catalogue),
        }
    }

    fn turn(&mut self, name: &str, on: bool, catalogue: &Catalogue) -> SwitchOutcome {
        if on && let Some(table) = self.config.plugins.get(name) {
            // first what can fail, so that a plugin that is not there stays disabled
            if let Err(error) = self.loader(catalogue).load(name, table) {
                return SwitchOutcome::Refused(error.to_string());
            }
        }
        self.switches.insert(name.into(), on);
        let config = self.switched();
        let diff = Diff::between(&self.config, &config);
        let failed = self.apply(config, &diff, catalogue);
        tracing::info!("plugin {name} was {} by hand", if on { "enabled" } else { "disabled" });
        match failed.into_iter().next() {
            Some(reason) if on => SwitchOutcome::Refused(reason),
            _ => self.state(name),
        }
    }

    /// A fresh collector of the same version; one that was refused is loaded again.
    fn restart(&mut self, name: &str, catalogue: &Catalogue) -> SwitchOutcome {
        match self.change(name, &["config"], catalogue) {
            Ok(()) => {
                tracing::info!("plugin {name} was restarted by hand");
                self.state(name)
            }
            Err(reason) => SwitchOutcome::Refused(reason),
        }
    }

    fn state(&self, name: &str) -> SwitchOutcome {
        let running = self.running.get(name).map(|running| lock(&running.status).state);
        SwitchOutcome::Done(running.unwrap_or(PluginState::Disabled))
    }
}
