//! Decoders: bytes in, numbers out, no I/O. None of them panics, whatever it is given.

pub(crate) mod auxv;
pub(crate) mod dev;
pub(crate) mod keyed;
pub(crate) mod link;
pub(crate) mod snmp;

/// The content up to its last line's end: a line that was cut off might give a number that was cut off.
fn whole_lines(content: &[u8]) -> &[u8] {
    let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    &content[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    type Values = Vec<Option<u64>>;
    type Decoder = fn(&[u8]) -> Values;
    type KeyedDecoder = fn(&[u8], &[(&str, &str)], &mut [Option<u64>]);

    const SNMP: [(&str, &str); 4] =
        [("Ip", "Forwarding"), ("Tcp", "CurrEstab"), ("Udp", "NoPorts"), ("UdpLite", "InErrors")];
    const NETSTAT: [(&str, &str); 3] =
        [("TcpExt", "SyncookiesSent"), ("TcpExt", "TCPRcvQDrop"), ("IpExt", "OutOctets")];
    const SNMP6: [(&str, &str); 3] = [("Ip6", "InOctets"), ("Icmp6", "InMsgs"), ("UdpLite6", "InErrors")];
    const SOCKSTAT: [(&str, &str); 3] = [("sockets", "used"), ("TCP", "mem"), ("FRAG", "memory")];

    fn interfaces(content: &[u8]) -> Values {
        dev::rows(content).flat_map(|row| row.values).collect()
    }

    fn pairs(content: &[u8], keys: &[(&str, &str)]) -> Values {
        let mut values = vec![None; keys.len()];
        snmp::Layout::default().read(content, keys, &mut values);
        values
    }

    fn keyed(decoder: KeyedDecoder, content: &[u8]) -> Values {
        let keys = [SNMP6, SOCKSTAT].concat();
        let mut values = vec![None; keys.len()];
        decoder(content, &keys, &mut values);
        values
    }

    /// A file that was cut off anywhere gives what the whole gives, or nothing.
    #[test]
    fn a_cut_file_gives_no_other_numbers() {
        let net = concat!(env!("CARGO_MANIFEST_DIR"), "/testcases/virtual-machine/proc/net/");
        let decoders: [(&str, Decoder); 5] = [
            ("dev", interfaces),
            ("snmp", |content| pairs(content, &SNMP)),
            ("netstat", |content| pairs(content, &NETSTAT)),
            ("snmp6", |content| keyed(keyed::snmp6, content)),
            ("sockstat", |content| keyed(keyed::sockstat, content)),
        ];
        for (file, decode) in decoders {
            let content = fs::read(net.to_owned() + file).unwrap();
            let whole = decode(&content);
            assert!(whole.iter().filter(|value| value.is_some()).count() >= 3, "{file}");
            for cut in 0..content.len() {
                for (value, full) in decode(&content[..cut]).iter().zip(&whole) {
                    assert!(value.is_none() || value == full, "{file} at {cut}: {value:?}, not {full:?}");
                }
            }
        }
    }
}
