//! Machines as `/api/vms` lists them.

use crate::{
    inventory::{Machine, State},
    model::{Missing, Snapshot, Timestamp},
    serve::Vm,
    views::{self, ViewContext},
};

/// The reason where the plugin itself says that the state is unknown.
const NOT_KNOWN: &str = "not_known";

/// A machine of the list.
pub(super) fn listed(machine: &Machine, snapshot: &Snapshot, context: &ViewContext<'_>) -> Vm {
    let info = &machine.info;
    let uptime = views::native(snapshot, "vm_uptime_seconds", Some(("vm", &info.vm)), context.now);
    let uptime = uptime.ok().filter(|_| machine.state != State::Destroyed);
    let told = |metric| told(snapshot, metric, &info.vm, context.now);
    Vm {
        vm_id: machine.vm_id,
        vm: info.vm.clone(),
        vm_name: info.name.clone(),
        vm_status: machine.state.status().into(),
        state: machine.state.word().into(),
        reason: (machine.state == State::Unknown).then(|| why_unknown(snapshot, &info.vm, context.now)),
        fresh: told("vm_state").is_ok() || told("vm_info").is_ok(),
        provider: info.provider.clone(),
        project: info.project.clone(),
        owner: info.owner.clone(),
        ip_address: info.ip_address.clone().filter(|_| machine.state != State::Destroyed),
        uptime_seconds: uptime.map(|seconds| seconds as i64),
        last_seen: machine.last_seen,
    }
}

/// Whether any series of the metric has a present value for this machine; else why the first has none.
fn told(snapshot: &Snapshot, metric: &str, vm: &str, now: Timestamp) -> Result<(), Missing> {
    let mut first = None;
    for (_, index) in views::series_with(snapshot, metric, Some(("vm", vm))) {
        match snapshot.value(index, now) {
            Ok(_) => return Ok(()),
            Err(missing) => first = first.or(Some(missing)),
        }
    }
    let nothing = if snapshot.time.is_none() { Missing::NotCollected } else { Missing::NoSeries };
    Err(first.unwrap_or(nothing))
}

/// The plugin's own reason, which it gives for the states that it can't tell, whether or not it says `unknown` beside
/// them; else why there is no state.
fn why_unknown(snapshot: &Snapshot, vm: &str, now: Timestamp) -> String {
    let mut states = views::series_with(snapshot, "vm_state", Some(("vm", vm)));
    let given = states.find_map(|(_, index)| match snapshot.value(index, now) {
        Err(Missing::Unavailable(reason)) => Some(reason.to_string()),
        _ => None,
    });
    given.unwrap_or_else(|| match told(snapshot, "vm_state", vm, now) {
        Ok(()) => NOT_KNOWN.into(),
        Err(missing) => missing.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::TimestampStyle,
        inventory::Info,
        model::{
            Catalog, CollectorId, CollectorInfo, Kind, Labels, Latest, Live, Metric, SeriesDef, SeriesId,
        },
    };
    use std::{sync::Arc, time::Duration};

    type Given = (&'static str, Result<f64, Missing>);

    fn snapshot(values: &[Given]) -> Snapshot {
        let live = |(index, (name, _)): (usize, &Given)| {
            let metric = Metric {
                name: (*name).into(),
                kind: Kind::Gauge,
                unit: "".into(),
                help: "help".into(),
                label_keys: Vec::new(),
                plugin: "plugin".into(),
            };
            let labels = Labels::new([("vm", "u-1"), ("state", ["running", "shutoff"][index % 2])]);
            let def = Arc::new(SeriesDef { metric: Arc::new(metric), labels });
            Live { id: SeriesId(index as u32), def, collector: CollectorId(0) }
        };
        let collectors = vec![CollectorInfo { name: "one".into(), stale_after: Duration::from_secs(15) }];
        let catalog = Catalog::new(values.iter().enumerate().map(live).collect(), collectors);
        let latest = |(_, value): &Given| Latest {
            time: Timestamp::from_millis(100_000),
            value: value.clone(),
            previous: None,
        };
        Snapshot {
            time: Some(Timestamp::from_millis(100_000)),
            catalog: Arc::new(catalog),
            latest: values.iter().map(latest).collect(),
        }
    }

    fn vm(state: State, snapshot: &Snapshot, seconds: i64) -> Vm {
        let address = Some("192.0.2.1".into());
        let info = Arc::new(Info { vm: "u-1".into(), ip_address: address, ..Info::default() });
        let machine = Machine { vm_id: 1, info, state, last_seen: None };
        let now = Timestamp::from_millis(100_000 + seconds * 1000);
        listed(&machine, snapshot, &ViewContext { disk: "/", now, timestamps: TimestampStyle::Rfc3339 })
    }

    #[test]
    fn a_machine_is_fresh_while_its_collector_tells_of_it() {
        let told = snapshot(&[("vm_state", Ok(1.0)), ("vm_state", Ok(0.0)), ("vm_info", Ok(1.0))]);
        let (now, later) = (vm(State::Running, &told, 0), vm(State::Running, &told, 16));
        assert_eq!((now.fresh, now.reason, now.state.as_str()), (true, None, "running"));
        assert_eq!((later.fresh, later.reason, later.state.as_str()), (false, None, "running"));
        let gone = vm(State::Shutoff, &snapshot(&[]), 0);
        assert_eq!((gone.fresh, gone.reason), (false, None));
    }

    #[test]
    fn an_unknown_state_has_a_reason() {
        let away = Err(Missing::Unavailable("libvirt is away".into()));
        for (values, fresh, reason) in [
            (&[("vm_state", away.clone()), ("vm_info", Ok(1.0))][..], true, "libvirt is away"),
            (&[("vm_state", Ok(1.0)), ("vm_state", away.clone())], true, "libvirt is away"),
            (&[("vm_state", away)], false, "libvirt is away"),
            (&[("vm_state", Ok(0.0)), ("vm_state", Ok(0.0))], true, "not_known"),
            (&[], false, "no_series"),
        ] {
            let vm = vm(State::Unknown, &snapshot(values), 0);
            assert_eq!((vm.fresh, vm.reason.as_deref()), (fresh, Some(reason)));
        }
        assert_eq!(vm(State::Unknown, &Snapshot::default(), 0).reason.as_deref(), Some("not_collected"));
    }

    #[test]
    fn a_destroyed_machine_has_nothing_of_before() {
        let told = snapshot(&[("vm_uptime_seconds", Ok(5.0))]);
        assert_eq!(vm(State::Running, &told, 0).uptime_seconds, Some(5));
        assert_eq!(vm(State::Running, &told, 0).ip_address.as_deref(), Some("192.0.2.1"));
        let gone = vm(State::Destroyed, &told, 0);
        assert_eq!((gone.uptime_seconds, gone.ip_address), (None, None));
    }
}
