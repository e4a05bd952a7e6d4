//! `/proc/net/snmp` and `/proc/net/netstat`: pairs of lines, field names and then values, both beginning with the
//! protocol: `Tcp: ActiveOpens CurrEstab …` over `Tcp: 84 0 …`.

use super::whole_lines;
use twarga_plugin_api::pseudo_file::{fields, lines, number};

/// Which columns of the file are wanted: found once, kept as long as the lines of names stay the same.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    names: Box<[u8]>,
    /// How many columns there are, the protocol not counted.
    columns: usize,
    /// Column and index of the wanted key, by column.
    wanted: Vec<(usize, usize)>,
}

impl Pair {
    fn new(names: &[u8], keys: &[(&str, &str)]) -> Self {
        let protocol = protocol(names).unwrap_or_default();
        let mut wanted = vec![];
        let mut columns = 0;
        for (column, name) in fields(names).skip(1).enumerate() {
            let known = |(of, key): &(&str, &str)| of.as_bytes() == protocol && key.as_bytes() == name;
            let again = |index: usize| wanted.iter().any(|(_, taken)| *taken == index);
            if let Some(index) = keys.iter().position(known).filter(|index| !again(*index)) {
                wanted.push((column, index));
            }
            columns += 1;
        }
        Self { names: names.into(), columns, wanted }
    }

    fn read(&self, line: &[u8], values: &mut [Option<u64>]) {
        let mut wanted = self.wanted.iter();
        let mut next = wanted.next();
        let mut columns = 0;
        for (column, field) in fields(line).skip(1).enumerate() {
            if let Some((_, index)) = next.filter(|(at, _)| *at == column) {
                values[*index] = number(field);
                next = wanted.next();
            }
            columns = column + 1;
        }
        if columns != self.columns {
            // which value belongs to which name can't be known
            for (_, index) in &self.wanted {
                values[*index] = None;
            }
        }
    }
}

impl Layout {
    /// The values of the wanted keys (protocol and field) into `values`, index by index; nothing where the file
    /// has no such field, or its value is no number.
    pub(crate) fn read(&mut self, content: &[u8], keys: &[(&str, &str)], values: &mut [Option<u64>]) {
        values.fill(None);
        let mut at = 0;
        let mut lines = lines(whole_lines(content)).peekable();
        while let Some(names) = lines.next() {
            let Some(protocol) = protocol(names) else { continue };
            let Some(line) = lines.next_if(|line| self::protocol(line) == Some(protocol)) else { continue };
            match self.pairs.get(at) {
                Some(pair) if *pair.names == *names => {}
                Some(_) => self.pairs[at] = Pair::new(names, keys),
                None => self.pairs.push(Pair::new(names, keys)),
            }
            self.pairs[at].read(line, values);
            at += 1;
        }
        self.pairs.truncate(at);
    }
}

fn protocol(line: &[u8]) -> Option<&[u8]> {
    fields(line).next()?.strip_suffix(b":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEYS: [(&str, &str); 3] = [("Tcp", "CurrEstab"), ("Udp", "NoPorts"), ("Udp", "InErrors")];
    const CONTENT: &[u8] = b"Tcp: MaxConn CurrEstab InSegs\nTcp: -1 7 8\nUdp: NoPorts InErrors\nUdp: 1 2\n";

    fn read(layout: &mut Layout, content: &[u8]) -> Vec<Option<u64>> {
        let mut values = vec![Some(99); KEYS.len()];
        layout.read(content, &KEYS, &mut values);
        values
    }

    #[test]
    fn values_stand_below_their_names() {
        let mut layout = Layout::default();
        for _ in 0..2 {
            assert_eq!(read(&mut layout, CONTENT), [Some(7), Some(1), Some(2)]);
        }
    }

    #[test]
    fn a_file_that_changes_its_layout_is_followed() {
        let mut layout = Layout::default();
        read(&mut layout, CONTENT);
        let moved = b"Udp: InErrors NoPorts\nUdp: 3 4\nTcp: CurrEstab\nTcp: 5\n";
        assert_eq!(read(&mut layout, moved), [Some(5), Some(4), Some(3)]);
        assert_eq!(read(&mut layout, b"Udp: NoPorts\nUdp: 6\n"), [None, Some(6), None]);
        assert_eq!(read(&mut layout, CONTENT), [Some(7), Some(1), Some(2)]);
    }

    #[test]
    fn lines_that_do_not_fit_give_nothing() {
        let mut layout = Layout::default();
        assert_eq!(read(&mut layout, b"Tcp: MaxConn CurrEstab\nTcp: 1\n"), [None, None, None]);
        assert_eq!(read(&mut layout, b"Udp: NoPorts\nUdp: 1 2\n"), [None, None, None]);
        assert_eq!(read(&mut layout, b"Udp: NoPorts\nTcp: CurrEstab\nTcp: 4\n"), [Some(4), None, None]);
        assert_eq!(read(&mut layout, b"nonsense\nUdp: NoPorts InErrors\nUdp: x 9\n"), [None, None, Some(9)]);
        assert_eq!(read(&mut layout, b"Udp: NoPorts NoPorts\nUdp: 1 2\n"), [None, Some(1), None]);
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(first: Vec<u8>, text in "((Tcp|Udp): [A-z0-9 ]{0,9}\n){0,6}", cut in 0usize..90) {
            let mut layout = Layout::default();
            read(&mut layout, &first);
            read(&mut layout, text.as_bytes());
            read(&mut layout, &CONTENT[..cut.min(CONTENT.len())]);
            prop_assert_eq!(read(&mut layout, CONTENT), [Some(7), Some(1), Some(2)]);
        }
    }
}
