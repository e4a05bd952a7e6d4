//! Who owns which metric. Two plugins that claim one name would write into one series.

use super::{error::Refusal, metadata::Metadata};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use twarga_plugin_api::{
    Kind,
    abi::RawKind,
    abi::metadata::{ANY_NAMESPACE, in_a_namespace},
    declaration_problem, label_keys_problem,
};

/// The prefix of the agent's own metrics.
pub(super) const OWN_NAMESPACE: &str = "twarga_agent_";

/// The metrics of the plugins loaded so far. What is claimed [on trial](Self::on_trial) is given back if that fails.
#[derive(Debug)]
pub struct Claims {
    owners: Arc<Mutex<Owners>>,
    is_view: fn(&str) -> bool,
    /// Whose word is needed for what is claimed here to stay. Always locked before `owners`.
    standing: Arc<Mutex<Standing>>,
    /// That of the trial which this one is a part of. Locked after the one above.
    within: Option<Arc<Mutex<Standing>>>,
}

/// For whom names are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// For a plugin that runs.
    Firm,
    /// For one that is tried out.
    Trial(u64),
    /// It has failed, or has handed over what was claimed: nothing is claimed any more.
    Failed,
}

#[derive(Debug, Default)]
struct Owners {
    /// The owner of each metric.
    metrics: HashMap<String, Owner>,
    /// The prefixes of each plugin that was loaded.
    namespaces: HashMap<String, Vec<String>>,
    /// And of those that are tried out, by their trials.
    tried: HashMap<u64, (String, Vec<String>)>,
    /// Trials so far.
    trials: u64,
}

#[derive(Debug)]
struct Owner {
    plugin: String,
    /// The trials that alone claimed it; nothing where it stays.
    trials: Option<Vec<u64>>,
}

impl Owners {
    /// Another plugin that has this metric. A name that is only one of any names must lie in nobody's namespace.
    fn other(&self, plugin: &str, metric: &str, any: bool) -> Option<String> {
        if let Some(Owner { plugin: owner, .. }) = self.metrics.get(metric) {
            return (owner != plugin).then(|| format!("the plugin `{owner}`"));
        }
        let tried = self.tried.values().map(|(other, all)| (other, all));
        let others = self.namespaces.iter().chain(tried).filter(|(other, _)| any && *other != plugin);
        let mut prefixes = others.flat_map(|(other, all)| all.iter().map(move |prefix| (other, prefix)));
        let (other, prefix) = prefixes.find(|(_, prefix)| metric.starts_with(prefix.as_str()))?;
        Some(format!("the plugin `{other}`, whose names begin with `{prefix}`"))
    }

    fn insert(&mut self, plugin: &str, metric: &str, standing: Standing) {
        let trial = match standing {
            Standing::Firm => None,
            Standing::Trial(number) => Some(number),
            Standing::Failed => return,
        };
        let new = || Owner { plugin: plugin.into(), trials: trial.map(|_| Vec::new()) };
        let owner = self.metrics.entry(metric.into()).or_insert_with(new);
        match (trial, &mut owner.trials) {
            (None, trials) => *trials = None,
            (Some(trial), Some(trials)) if !trials.contains(&trial) => trials.push(trial),
            (Some(_), _) => {}
        }
    }

    fn insert_namespaces(&mut self, plugin: &str, prefixes: Vec<String>, standing: Standing) {
        match standing {
            Standing::Firm => _ = self.namespaces.insert(plugin.into(), prefixes),
            Standing::Trial(number) => _ = self.tried.insert(number, (plugin.into(), prefixes)),
            Standing::Failed => {}
        }
    }

    /// A trial has ended; where it went well, what was claimed in it has another standing from now on.
    fn end_trial(&mut self, number: u64, standing: Standing) {
        let mut claimed = Vec::new();
        self.metrics.retain(|metric, owner| {
            let Some(trials) = owner.trials.as_mut().filter(|trials| trials.contains(&number)) else {
                return true;
            };
            trials.retain(|trial| *trial != number);
            let others = !trials.is_empty();
            if standing != Standing::Failed {
                claimed.push((metric.clone(), owner.plugin.clone()));
            }
            others || standing != Standing::Failed
        });
        claimed.iter().for_each(|(metric, plugin)| self.insert(plugin, metric, standing));
        if let Some((plugin, prefixes)) = self.tried.remove(&number) {
            self.insert_namespaces(&plugin, prefixes, standing);
        }
    }
}

impl Claims {
    /// Nothing claimed yet; `is_view` tells the names that the agent's views have.
    pub fn new(is_view: fn(&str) -> bool) -> Self {
        Self { owners: Arc::default(), is_view, standing: Arc::new(Mutex::new(Standing::Firm)), within: None }
    }

    /// The same, for a plugin that is tried out: what is claimed here is given back when this is dropped, or
    /// [given up](Self::give_up), unless it is [kept](Self::keep) before.
    #[must_use]
    pub fn on_trial(&self) -> Self {
        let (standing, within) = match *self.standing() {
            Standing::Failed => (Standing::Failed, None),
            Standing::Firm => (Standing::Trial(self.next_trial()), None),
            Standing::Trial(_) => (Standing::Trial(self.next_trial()), Some(Arc::clone(&self.standing))),
        };
        let standing = Arc::new(Mutex::new(standing));
        Self { owners: Arc::clone(&self.owners), is_view: self.is_view, standing, within }
    }

    /// The trial went well: what was claimed in it stays. One that is a part of another hands over to that, or to nobody
    /// where that has failed meanwhile, and is over.
    pub fn keep(&self) {
        match &self.within {
            None => self.end_trial(Standing::Firm, Standing::Firm),
            Some(outer) => {
                let mut own = self.standing();
                let outer = outer.lock().unwrap_or_else(PoisonError::into_inner);
                self.end(&mut own, Standing::Failed, *outer);
            }
        }
    }

    /// The trial failed: what was claimed in it alone is free again, and no more can be claimed.
    pub fn give_up(&self) {
        self.end_trial(Standing::Failed, Standing::Failed);
    }

    fn end_trial(&self, standing: Standing, of_claimed: Standing) {
        self.end(&mut self.standing(), standing, of_claimed);
    }

    /// Ends a trial that has not ended: what it is from now on, and what was claimed in it.
    fn end(&self, own: &mut Standing, standing: Standing, of_claimed: Standing) {
        if let Standing::Trial(number) = *own {
            *own = standing;
            self.lock().end_trial(number, of_claimed);
        }
    }

    fn next_trial(&self) -> u64 {
        let mut owners = self.lock();
        owners.trials += 1;
        owners.trials
    }

    /// Notes the metrics of a plugin with this metadata as its own: all of them or none.
    ///
    /// # Errors
    /// The first metric that breaks a rule or belongs to another plugin.
    pub(super) fn claim(&self, metadata: &Metadata) -> Result<(), Refusal> {
        let Metadata { name, namespaces, metrics, .. } = metadata;
        let standing = self.standing();
        let mut owners = self.lock();
        for metric in metrics {
            let problem = declaration_problem(raw(metric.kind), &metric.name, &metric.unit, &metric.help)
                .or(label_keys_problem(&metric.label_keys));
            if let Some(problem) = problem {
                return Err(Refusal::BadMetric { metric: metric.name.clone(), problem: problem.into() });
            }
            self.check_name(&owners, name, namespaces, &metric.name)?;
        }
        metrics.iter().for_each(|metric| owners.insert(name, &metric.name, *standing));
        let prefixes = namespaces.iter().filter(|name| *name != ANY_NAMESPACE && !name.is_empty());
        owners.insert_namespaces(name, prefixes.cloned().collect(), *standing);
        Ok(())
    }

    /// Notes one metric, declared at run time.
    ///
    /// # Errors
    /// As [`Claims::claim`].
    pub(super) fn claim_one(&self, plugin: &str, namespaces: &[String], metric: &str) -> Result<(), Refusal> {
        let standing = self.standing();
        let mut owners = self.lock();
        self.check_name(&owners, plugin, namespaces, metric)?;
        owners.insert(plugin, metric, *standing);
        Ok(())
    }

    /// Only these plugins are still there: what others claimed is free again.
    pub fn retain(&self, plugins: impl Fn(&str) -> bool) {
        let mut owners = self.lock();
        owners.metrics.retain(|_, owner| plugins(&owner.plugin));
        owners.namespaces.retain(|owner, _| plugins(owner));
    }

    fn check_name(
        &self,
        owners: &Owners,
        plugin: &str,
        namespaces: &[String],
        metric: &str,
    ) -> Result<(), Refusal> {
        let mut namespaces: Vec<&str> = namespaces.iter().map(String::as_str).collect();
        if !in_a_namespace(metric, &namespaces) {
            let problem =
                format!("it starts with none of the plugin's namespaces ({})", namespaces.join(", "));
            return Err(Refusal::BadMetric { metric: metric.into(), problem });
        }
        let owner = if (self.is_view)(metric) {
            Some("a view of the agent".to_string())
        } else if metric.starts_with(OWN_NAMESPACE) {
            Some("the agent itself".to_string())
        } else {
            namespaces.retain(|name| *name != ANY_NAMESPACE);
            owners.other(plugin, metric, !in_a_namespace(metric, &namespaces))
        };
        owner.map_or(Ok(()), |owner| Err(Refusal::Claimed { metric: metric.into(), owner }))
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.give_up();
    }
}

fn raw(kind: Kind) -> RawKind {
    match kind {
        Kind::Counter => RawKind::COUNTER,
        Kind::Info => RawKind::INFO,
        Kind::StateSet => RawKind::STATE_SET,
        _ => RawKind::GAUGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str, namespace: &str, metrics: &[&str]) -> Metadata {
        let text =
            metrics.iter().map(|metric| format!("metric=gauge\t{metric}\t\t\thelp\n")).collect::<String>();
        let text =
            format!("twarga-plugin-metadata 1\nname={name}\nentry=e\napi=1.0\nnamespace={namespace}\n{text}");
        Metadata::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn one_owner_a_metric() {
        let claims = Claims::new(|name| name == "host_cpu_percent");
        let (a, b) = (plugin("a", "x_", &["x_1"]), plugin("b", "x_", &["x_2", "x_1"]));
        claims.claim(&a).unwrap();
        claims.claim(&a).unwrap(); // a second instance of the same plugin
        let refusal = claims.claim(&b).unwrap_err();
        assert_eq!(refusal.to_string(), "metric `x_1` is already claimed by the plugin `a`");
        let refusal = claims.claim_one("b", &["y_".into()], "x_3").unwrap_err();
        assert_eq!(refusal.to_string(), "metric `x_3`: it starts with none of the plugin's namespaces (y_)");
    }

    #[test]
    fn metrics_of_a_plugin_that_is_gone_are_free() {
        let claims = Claims::new(|_| false);
        claims.claim(&plugin("a", "x_", &["x_1"])).unwrap();
        claims.claim(&plugin("b", "x_", &["x_2"])).unwrap();
        claims.retain(|plugin| plugin == "b");
        claims.claim(&plugin("c", "x_", &["x_1"])).unwrap();
        claims.claim(&plugin("c", "x_", &["x_2"])).unwrap_err();
    }

    #[test]
    fn a_refused_plugin_claims_nothing() {
        let claims = Claims::new(|_| false);
        claims.claim(&plugin("a", "x_", &["x_1"])).unwrap();
        claims.claim(&plugin("b", "x_", &["x_2", "x_1"])).unwrap_err();
        claims.claim(&plugin("c", "x_", &["x_2"])).unwrap();
    }

    #[test]
    fn what_is_claimed_on_trial_is_given_back_or_kept() {
        let claims = Claims::new(|_| false);
        let free = |metric: &str| claims.on_trial().claim(&plugin("other", "x_", &[metric])).is_ok();
        claims.claim(&plugin("a", "x_", &["x_old"])).unwrap();
        let run = |end: fn(&Claims)| {
            let trial = claims.on_trial();
            trial.claim(&plugin("a", "x_", &["x_old", "x_new"])).unwrap();
            trial.claim_one("a", &["x_".into()], "x_at_run_time").unwrap();
            let taken = !free("x_new") && !free("x_at_run_time") && !free("x_old");
            assert!(taken, "while it is tried out, nobody else may have them");
            end(&trial);
            trial
        };
        let failed = run(Claims::give_up);
        assert!(free("x_new") && free("x_at_run_time") && !free("x_old"));
        failed.claim_one("a", &["x_".into()], "x_late").unwrap();
        assert!(free("x_late"), "a collector that was left behind claims nothing");
        drop(run(|_| {}));
        assert!(free("x_new"), "nor does one that ended without a word");
        let kept = run(Claims::keep);
        kept.claim_one("a", &["x_".into()], "x_late").unwrap();
        drop(kept);
        assert!(!free("x_new") && !free("x_at_run_time") && !free("x_late"));
    }

    #[test]
    fn what_is_kept_within_a_trial_is_as_that_one_ends() {
        let claims = Claims::new(|_| false);
        let x = plugin("a", "x_", &["x_1"]);
        let free = || claims.on_trial().claim(&plugin("other", "x_", &["x_1"])).is_ok();
        let begun = || {
            let outer = claims.on_trial();
            let within = outer.on_trial();
            within.claim(&x).unwrap();
            (outer, within)
        };
        let (outer, within) = begun();
        outer.give_up();
        within.keep();
        assert!(free(), "a load that comes back late claims nothing");
        let (outer, within) = begun();
        within.keep();
        within.claim_one("a", &["x_".into()], "x_late").unwrap();
        drop(within);
        outer.claim_one("a", &["x_".into()], "x_at_run_time").unwrap();
        outer.keep();
        drop(outer);
        assert!(!free());
        let other = |metric: &str| claims.on_trial().claim(&plugin("other", "x_", &[metric])).is_ok();
        assert!(!other("x_at_run_time"), "the outer trial went on after that");
        assert!(other("x_late"), "what has handed over claims nothing");
    }

    #[test]
    fn what_others_claim_too_stays() {
        let claims = Claims::new(|_| false);
        let x = plugin("a", "x_", &["x_1"]);
        let free = || claims.on_trial().claim(&plugin("other", "x_", &["x_1"])).is_ok();
        let (first, second) = (claims.on_trial(), claims.on_trial());
        first.claim(&x).unwrap();
        second.claim(&x).unwrap();
        drop(first);
        assert!(!free(), "another trial has it");
        let within = second.on_trial();
        within.claim(&x).unwrap();
        within.keep();
        drop(within);
        assert!(!free(), "what is kept within a trial is the outer one's");
        drop(second);
        assert!(free(), "and lasts as long as that");
        let third = claims.on_trial();
        third.claim(&x).unwrap();
        claims.claim(&x).unwrap();
        drop(third);
        assert!(!free(), "a plugin that runs has it by now");
    }

    #[test]
    fn namespaces_of_a_trial_are_given_back() {
        let claims = Claims::new(|_| false);
        let any = ["*".to_string()];
        let trial = claims.on_trial();
        trial.claim(&plugin("a", "y_", &[])).unwrap();
        claims.claim_one("exec", &any, "y_1").unwrap_err();
        drop(trial);
        claims.claim_one("exec", &any, "y_1").unwrap();
    }

    #[test]
    fn any_name_is_one_that_nobody_else_may_use() {
        let claims = Claims::new(|name| name == "host_cpu_percent");
        claims.claim(&plugin("cpu", "host_cpu_", &["host_cpu_cores"])).unwrap();
        let any = ["exec_".to_string(), "*".to_string()];
        let claim = |name: &str| claims.claim_one("exec", &any, name).map_err(|refusal| refusal.to_string());
        claim("backup_age_seconds").unwrap();
        claim("exec_x").unwrap();
        for (name, owner) in [
            ("host_cpu_cores", "the plugin `cpu`"),
            ("host_cpu_other", "the plugin `cpu`, whose names begin with `host_cpu_`"),
            ("host_cpu_percent", "a view of the agent"),
            ("twarga_agent_x", "the agent itself"),
        ] {
            assert_eq!(claim(name).unwrap_err(), format!("metric `{name}` is already claimed by {owner}"));
        }
        // what it took is taken
        let refusal = claims.claim_one("b", &["backup_".into()], "backup_age_seconds").unwrap_err();
        assert!(refusal.to_string().ends_with("by the plugin `exec`"), "{refusal}");
        claims.claim(&plugin("x", "exec_", &["exec_y"])).unwrap(); // shared prefixes are allowed, shared names are not
        claim("exec_z").unwrap();
    }

    #[test]
    fn views_and_own_metrics_are_reserved() {
        let claims = Claims::new(|name| name == "host_cpu_percent");
        let refusal = claims.claim(&plugin("a", "host_", &["host_cpu_percent"])).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "metric `host_cpu_percent` is already claimed by a view of the agent"
        );
        let refusal = claims.claim(&plugin("a", "twarga_", &["twarga_agent_x"])).unwrap_err();
        assert_eq!(refusal.to_string(), "metric `twarga_agent_x` is already claimed by the agent itself");
    }
}
