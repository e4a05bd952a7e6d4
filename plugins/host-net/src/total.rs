//! The totals over interfaces: which are counted, and sums that only rise.

use crate::{
    config::{Rule, Total},
    glob::Pattern,
    metrics,
};
use twarga_plugin_api::prelude::*;

/// Who an interface is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// There is a device behind it.
    pub(crate) physical: bool,
    pub(crate) loopback: bool,
    /// Its number, new for every interface that is made.
    pub(crate) index: Option<u64>,
    /// The number of the interface that carries its packets; its own where that is itself. Known of physical ones.
    pub(crate) lower: Option<u64>,
    /// The name of the interface that it is enslaved to. Known of physical ones.
    pub(crate) master: Option<Box<[u8]>>,
}

/// Which interfaces are counted.
#[derive(Debug)]
pub(crate) enum Members {
    /// See [`Rule::Physical`]. Once a physical interface was seen, others are never taken in its stead: a
    /// total that changed to the bridges while a cable's adapter is unplugged would help nobody.
    Physical {
        seen: bool,
    },
    All,
    Named(Vec<Pattern>),
}

impl From<&Total> for Members {
    fn from(total: &Total) -> Self {
        match total {
            Total::Rule(Rule::Physical) => Self::Physical { seen: false },
            Total::Rule(Rule::All) => Self::All,
            Total::Named(texts) => Self::Named(texts.iter().map(|text| Pattern::new(text)).collect()),
        }
    }
}

impl Members {
    /// For each interface whether it is counted.
    pub(crate) fn choose(&mut self, interfaces: &[(&[u8], &Identity)]) -> Vec<bool> {
        let not_loopback = |(_, who): &(&[u8], &Identity)| !who.loopback;
        match self {
            Self::Named(patterns) => interfaces
                .iter()
                .map(|(name, _)| patterns.iter().any(|pattern| pattern.matches(name)))
                .collect(),
            Self::All => interfaces.iter().map(not_loopback).collect(),
            Self::Physical { seen } => {
                let counted = physical(interfaces);
                *seen |= counted.contains(&true);
                if *seen { counted } else { interfaces.iter().map(not_loopback).collect() }
            }
        }
    }
}

/// The physical interfaces whose packets are not counted by another physical one as well: a function that a
/// physical master drives (the fast path of a virtual NIC, a failover pair) and the ports of a switch behind
/// one interface are left out. The slaves of a bond or bridge stay: their master is virtual.
fn physical(interfaces: &[(&[u8], &Identity)]) -> Vec<bool> {
    let found: Vec<_> = interfaces.iter().filter(|(_, who)| who.physical && !who.loopback).collect();
    let carried = |who: &Identity| {
        found.iter().any(|(name, other)| {
            let drives = who.master.as_deref() == Some(name);
            drives || (other.index.is_some() && who.lower == other.index && who.index != other.index)
        })
    };
    interfaces.iter().map(|(_, who)| who.physical && !who.loopback && !carried(who)).collect()
}

/// The sums: they begin with the counters at the first collection and rise by what these rise.
#[derive(Debug)]
pub(crate) struct Sums {
    series: [Series; 2],
    sums: [u64; 2],
    any: bool,
}

impl Sums {
    pub(crate) fn new(host: &mut Host<'_>) -> Result<Self> {
        let [receive, transmit] = &metrics::TOTALS;
        Ok(Self {
            series: [host.series(receive, &[])?, host.series(transmit, &[])?],
            sums: [0; 2],
            any: false,
        })
    }

    /// An interface that is counted, and by how much its counters rose.
    pub(crate) fn add(&mut self, rises: [u64; 2]) {
        self.any = true;
        for (sum, rise) in self.sums.iter_mut().zip(rises) {
            *sum = sum.saturating_add(rise);
        }
    }

    pub(crate) fn put(&self, sink: &mut Sink<'_>) {
        for (series, sum) in self.series.iter().zip(self.sums) {
            if self.any {
                sink.put(*series, sum as f64);
            } else {
                sink.unavailable(*series, "no interface to sum");
            }
        }
    }

    pub(crate) fn lost(&self, sink: &mut Sink<'_>, reason: &str) {
        for series in self.series {
            sink.unavailable(series, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(physical: bool, index: u64) -> Identity {
        Identity { physical, index: Some(index), lower: Some(index), ..Identity::default() }
    }

    fn chosen(members: &mut Members, interfaces: &[(&str, Identity)]) -> Vec<String> {
        let list: Vec<_> = interfaces.iter().map(|(name, who)| (name.as_bytes(), who)).collect();
        let counted = members.choose(&list);
        interfaces.iter().zip(counted).filter(|(_, is)| *is).map(|((name, _), _)| (*name).into()).collect()
    }

    #[test]
    fn slaves_of_a_bond_are_counted_and_the_bond_is_not() {
        let mut members = Members::Physical { seen: false };
        let slave = |index| Identity { master: Some(b"bond0".as_slice().into()), ..who(true, index) };
        let list =
            [("eth0", slave(2)), ("eth1", slave(3)), ("bond0", who(false, 4)), ("bond0.7", who(false, 5))];
        assert_eq!(chosen(&mut members, &list), ["eth0", "eth1"]);
    }

    #[test]
    fn no_packet_is_counted_by_two_physical_interfaces() {
        let mut members = Members::Physical { seen: false };
        let fast_path = Identity { master: Some(b"eth0".as_slice().into()), ..who(true, 3) };
        let port = Identity { lower: Some(5), ..who(true, 6) };
        let list = [("eth0", who(true, 2)), ("enP1", fast_path), ("eth1", who(true, 5)), ("lan1", port)];
        assert_eq!(chosen(&mut members, &list), ["eth0", "eth1"]);
    }

    #[test]
    fn a_container_counts_all_but_loopback() {
        let mut members = Members::Physical { seen: false };
        let lo = Identity { loopback: true, ..who(false, 1) };
        let container = [("lo", lo), ("eth0", who(false, 2))];
        assert_eq!(chosen(&mut members, &container), ["eth0"]);
    }

    #[test]
    fn nothing_takes_the_place_of_a_physical_interface_that_is_away() {
        let mut members = Members::Physical { seen: false };
        let docker = ("docker0", who(false, 4));
        assert_eq!(chosen(&mut members, std::slice::from_ref(&docker)), ["docker0"]);
        assert_eq!(chosen(&mut members, &[docker.clone(), ("usb0", who(true, 5))]), ["usb0"]);
        assert_eq!(chosen(&mut members, &[docker]), [""; 0]);
    }

    #[test]
    fn names_are_patterns() {
        let mut members = Members::from(&Total::Named(vec!["wan?".into(), "lo".into()]));
        let lo = Identity { loopback: true, ..who(false, 1) };
        assert_eq!(
            chosen(&mut members, &[("lo", lo), ("wan0", who(false, 2)), ("eth0", who(true, 3))]),
            ["lo", "wan0"]
        );
    }
}
