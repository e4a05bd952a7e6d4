//! `source = "sysinfo"`: what the sysinfo crate knows of interfaces, on every platform that it supports.

use crate::{
    config::Config,
    interface::Links,
    interfaces::Interfaces,
    metrics::{COLUMNS, LINK_NUMBERS},
    parse::{
        dev::{Row, Values},
        link::{Fact, Facts},
    },
    sysfs::{LinkFiles, Sysfs},
    total::Identity,
};
use std::{collections::BTreeMap, path::Path};
use sysinfo::{InterfaceOperationalState, MacAddr, NetworkData, Networks};
use twarga_plugin_api::prelude::*;

/// The columns that sysinfo knows: bytes, packets and errors, received and transmitted.
const KNOWN: [usize; 6] = [0, 1, 2, 8, 9, 10];

/// The collector of `source = "sysinfo"`.
pub(crate) struct Portable {
    networks: Networks,
    reported: Reported,
    interfaces: Interfaces,
}

/// One collection's interfaces, by name.
struct Reported {
    rows: BTreeMap<Vec<u8>, (Values, Facts)>,
    /// On Linux it tells which interfaces are physical; elsewhere it does not exist, and none is.
    sysfs: Sysfs,
}

impl Portable {
    pub(crate) fn new(config: &Config, host: &mut Host<'_>) -> Result<Self> {
        if config.netstat || config.sockstat {
            host.log(Level::Info, "left out: protocols and sockets, which sysinfo does not know");
        }
        Ok(Self {
            networks: Networks::new()?,
            reported: Reported { rows: BTreeMap::new(), sysfs: Sysfs::new(Path::new("/")) },
            interfaces: Interfaces::new(config, &KNOWN, host)?,
        })
    }

    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.networks.refresh(true);
        self.reported.rows = self
            .networks
            .iter()
            .map(|(name, data)| (name.as_encoded_bytes().to_vec(), (values(data), facts(data))))
            .collect();
        let all = self.interfaces.renewed();
        self.interfaces.refresh(&mut self.reported, sink.host(), all);
        let rows: Vec<_> =
            self.reported.rows.iter().map(|(name, (values, _))| (name.clone(), *values)).collect();
        let rows = rows.iter().map(|(name, values)| Row { name, values: *values });
        self.interfaces.collect(rows, &mut self.reported, sink);
        Ok(())
    }
}

fn values(data: &NetworkData) -> Values {
    let mut values = [None; COLUMNS];
    let known = [
        data.total_received(),
        data.total_packets_received(),
        data.total_errors_on_received(),
        data.total_transmitted(),
        data.total_packets_transmitted(),
        data.total_errors_on_transmitted(),
    ];
    for (column, value) in KNOWN.into_iter().zip(known) {
        values[column] = Some(value);
    }
    values
}

fn facts(data: &NetworkData) -> Facts {
    let state = operstate(data.operational_state());
    let mut numbers = [Fact::Missing; LINK_NUMBERS];
    let [_, up, speed, mtu, _] = &mut numbers;
    *up = Fact::Is(u64::from(state == "up"));
    *speed = match data.receive_link_speed() {
        Some(bits) => Fact::Is(bits / 8),
        None => Fact::Without("speed unknown"),
    };
    *mtu = Fact::Is(data.mtu());
    let mac = data.mac_address();
    let address = if mac == MacAddr::UNSPECIFIED { String::new() } else { mac.to_string() };
    let [none, state] = [String::new(), state.to_owned()];
    let labels = [address, none.clone(), none.clone(), state, "unknown".to_owned(), none];
    Facts { numbers, labels, has_labels: true }
}

/// As Linux writes it.
fn operstate(state: InterfaceOperationalState) -> &'static str {
    match state {
        InterfaceOperationalState::Up => "up",
        InterfaceOperationalState::Down => "down",
        InterfaceOperationalState::Dormant => "dormant",
        InterfaceOperationalState::Testing => "testing",
        InterfaceOperationalState::NotPresent => "notpresent",
        InterfaceOperationalState::LowerLayerDown => "lowerlayerdown",
        _ => "unknown",
    }
}

impl Links for Reported {
    fn identity(&mut self, name: &[u8]) -> Identity {
        let mut identity = self.sysfs.identity(name);
        identity.loopback |= is_loopback(name);
        identity
    }

    fn index(&mut self, name: &[u8]) -> Option<u64> {
        self.sysfs.index(name)
    }

    fn open(&mut self, _: &[u8]) -> Option<LinkFiles> {
        None
    }

    fn facts(&mut self, name: &[u8], _: Option<&LinkFiles>, facts: &mut Facts) {
        *facts = self.rows.get(name).map(|(_, known)| known.clone()).unwrap_or_default();
    }
}

/// `lo` of Linux, `lo0` of the BSDs and macOS, `Loopback Pseudo-Interface 1` of Windows.
fn is_loopback(name: &[u8]) -> bool {
    let digits = name.strip_prefix(b"lo").is_some_and(|rest| rest.iter().all(u8::is_ascii_digit));
    digits || name.starts_with(b"Loopback")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopbacks_of_all_systems() {
        for name in ["lo", "lo0", "Loopback Pseudo-Interface 1"] {
            assert!(is_loopback(name.as_bytes()), "{name}");
        }
        for name in ["eth0", "lowpan0", "l", "Local Area Connection"] {
            assert!(!is_loopback(name.as_bytes()), "{name}");
        }
    }
}
