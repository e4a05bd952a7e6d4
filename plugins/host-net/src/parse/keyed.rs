//! `/proc/net/snmp6` (`Ip6InOctets  128`) and `/proc/net/sockstat` (`TCP: inuse 1 orphan 0 …`): names and values
//! side by side.

use super::whole_lines;
use twarga_plugin_api::pseudo_file::{fields, lines, number};

/// The values of the wanted keys (protocol and field) from `/proc/net/snmp6`, index by index. Keys in the
/// order of the file are found without searching.
pub(crate) fn snmp6(content: &[u8], keys: &[(&str, &str)], values: &mut [Option<u64>]) {
    values.fill(None);
    let mut next = 0;
    for line in lines(whole_lines(content)) {
        let mut parts = fields(line);
        let Some(name) = parts.next() else { continue };
        let is = |(protocol, field): &(&str, &str)| {
            name.strip_prefix(protocol.as_bytes()).is_some_and(|rest| rest == field.as_bytes())
        };
        if let Some(index) = find(keys, next, is) {
            values[index] = parts.next().and_then(number);
            next = index + 1;
        }
    }
}

/// As [`snmp6`], from `/proc/net/sockstat` and `/proc/net/sockstat6`.
pub(crate) fn sockstat(content: &[u8], keys: &[(&str, &str)], values: &mut [Option<u64>]) {
    values.fill(None);
    let mut next = 0;
    for line in lines(whole_lines(content)) {
        let mut parts = fields(line);
        let Some(protocol) = parts.next().and_then(|name| name.strip_suffix(b":")) else { continue };
        while let Some(name) = parts.next() {
            let value = parts.next().and_then(number);
            let is = |(of, field): &(&str, &str)| of.as_bytes() == protocol && field.as_bytes() == name;
            if let Some(index) = find(keys, next, is) {
                values[index] = value;
                next = index + 1;
            }
        }
    }
}

fn find<T>(keys: &[T], next: usize, is: impl Fn(&T) -> bool) -> Option<usize> {
    let (before, after) = keys.split_at(next.min(keys.len()));
    after.iter().position(&is).map(|at| at + before.len()).or_else(|| before.iter().position(is))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SNMP6: [(&str, &str); 3] = [("Ip6", "InOctets"), ("Icmp6", "InMsgs"), ("Udp6", "NoPorts")];
    const SOCKSTAT: [(&str, &str); 3] = [("sockets", "used"), ("TCP", "mem"), ("UDP", "mem")];

    type Decoder = fn(&[u8], &[(&str, &str)], &mut [Option<u64>]);

    fn read(decoder: Decoder, keys: &[(&str, &str)], content: &str) -> Vec<Option<u64>> {
        let mut values = vec![Some(99); keys.len()];
        decoder(content.as_bytes(), keys, &mut values);
        values
    }

    #[test]
    fn snmp6_is_found_in_any_order() {
        let content = "Ip6InOctets    \t128\nIp6InOctetsX 1\nIcmp6InMsgs 2\nUdp6NoPorts 3\n";
        assert_eq!(read(snmp6, &SNMP6, content), [Some(128), Some(2), Some(3)]);
        assert_eq!(read(snmp6, &SNMP6, "Udp6NoPorts 3\nIp6InOctets 1\n"), [Some(1), None, Some(3)]);
        assert_eq!(read(snmp6, &SNMP6, "Udp6NoPorts\nIp6InOctets x\n"), [None, None, None]);
    }

    #[test]
    fn sockstat_tells_protocols_apart() {
        let content = "sockets: used 15\nTCP: inuse 1 orphan 0 mem 190\nUDP: inuse 0 mem 4\n";
        assert_eq!(read(sockstat, &SOCKSTAT, content), [Some(15), Some(190), Some(4)]);
        assert_eq!(
            read(sockstat, &SOCKSTAT, "UDP: mem -3\nsockets: used\nTCP mem 1\nTCP: mem 1"),
            [None, None, None]
        );
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(content: Vec<u8>, text in "((TCP:|UDP:|Ip6InOctets|x|mem|7) ?\n?){0,40}") {
            for content in [content.as_slice(), text.as_bytes()] {
                let mut values = [None; 3];
                snmp6(content, &SNMP6, &mut values);
                sockstat(content, &SOCKSTAT, &mut values);
            }
        }
    }
}
