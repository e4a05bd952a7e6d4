//! Who owns which metric. Two plugins that claim one name would write into one series.

use super::{error::Refusal, metadata::Metadata};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use twarga_plugin_api::{
    Kind,
    abi::RawKind,
    abi::metadata::{ANY_NAMESPACE, in_a_namespace},
    declaration_problem, label_keys_problem,
};

/// The prefix of the agent's own metrics.
pub(super) const OWN_NAMESPACE: &str = "twarga_agent_";

/// The metrics of the plugins loaded so far.
#[derive(Debug)]
pub struct Claims {
    owners: Mutex<Owners>,
    is_view: fn(&str) -> bool,
}

#[derive(Debug, Default)]
struct Owners {
    /// The plugin of each metric.
    metrics: HashMap<String, String>,
    /// The prefixes of each plugin that was loaded.
    namespaces: HashMap<String, Vec<String>>,
}

impl Owners {
    /// Another plugin that has this metric. A name that is only one of any names must lie in nobody's namespace.
    fn other(&self, plugin: &str, metric: &str, any: bool) -> Option<String> {
        if let Some(owner) = self.metrics.get(metric) {
            return (owner != plugin).then(|| format!("the plugin `{owner}`"));
        }
        let others = self.namespaces.iter().filter(|(other, _)| any && *other != plugin);
        let mut prefixes = others.flat_map(|(other, all)| all.iter().map(move |prefix| (other, prefix)));
        let (other, prefix) = prefixes.find(|(_, prefix)| metric.starts_with(prefix.as_str()))?;
        Some(format!("the plugin `{other}`, whose names begin with `{prefix}`"))
    }
}

impl Claims {
    /// Nothing claimed yet; `is_view` tells the names that the agent's views have.
    pub fn new(is_view: fn(&str) -> bool) -> Self {
        Self { owners: Mutex::default(), is_view }
    }

    /// Whether a plugin with this metadata may be loaded.
    ///
    /// # Errors
    /// The first metric that breaks a rule or belongs to another plugin.
    pub(super) fn check(&self, metadata: &Metadata) -> Result<(), Refusal> {
        for metric in &metadata.metrics {
            let problem = declaration_problem(raw(metric.kind), &metric.name, &metric.unit, &metric.help)
                .or(label_keys_problem(&metric.label_keys));
            if let Some(problem) = problem {
                return Err(Refusal::BadMetric { metric: metric.name.clone(), problem: problem.into() });
            }
            self.check_name(&metadata.name, &metadata.namespaces, &metric.name)?;
        }
        Ok(())
    }

    /// Notes the metrics of a loaded plugin as its own.
    ///
    /// # Errors
    /// As [`Claims::check`], where another plugin was faster.
    pub(super) fn claim(&self, metadata: &Metadata) -> Result<(), Refusal> {
        (metadata.metrics.iter())
            .try_for_each(|metric| self.claim_one(&metadata.name, &metadata.namespaces, &metric.name))?;
        let prefixes = metadata.namespaces.iter().filter(|name| *name != ANY_NAMESPACE && !name.is_empty());
        self.lock().namespaces.insert(metadata.name.clone(), prefixes.cloned().collect());
        Ok(())
    }

    /// Notes one metric, declared at run time.
    ///
    /// # Errors
    /// As [`Claims::check`].
    pub(super) fn claim_one(&self, plugin: &str, namespaces: &[String], metric: &str) -> Result<(), Refusal> {
        self.check_name(plugin, namespaces, metric)?;
        self.lock().metrics.entry(metric.into()).or_insert_with(|| plugin.into());
        Ok(())
    }

    /// Only these plugins are still there: what others claimed is free again.
    pub fn retain(&self, plugins: impl Fn(&str) -> bool) {
        let mut owners = self.lock();
        owners.metrics.retain(|_, owner| plugins(owner));
        owners.namespaces.retain(|owner, _| plugins(owner));
    }

    fn check_name(&self, plugin: &str, namespaces: &[String], metric: &str) -> Result<(), Refusal> {
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
            self.lock().other(plugin, metric, !in_a_namespace(metric, &namespaces))
        };
        owner.map_or(Ok(()), |owner| Err(Refusal::Claimed { metric: metric.into(), owner }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
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
        claims.check(&a).unwrap(); // a second instance of the same plugin
        let refusal = claims.check(&b).unwrap_err();
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
        claims.check(&plugin("c", "x_", &["x_1"])).unwrap();
        claims.check(&plugin("c", "x_", &["x_2"])).unwrap_err();
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
        let refusal = claims.check(&plugin("a", "host_", &["host_cpu_percent"])).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "metric `host_cpu_percent` is already claimed by a view of the agent"
        );
        let refusal = claims.check(&plugin("a", "twarga_", &["twarga_agent_x"])).unwrap_err();
        assert_eq!(refusal.to_string(), "metric `twarga_agent_x` is already claimed by the agent itself");
    }
}
