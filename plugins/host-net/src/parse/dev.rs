//! `/proc/net/dev`: two lines of headings, then `name: ` and sixteen counters a line (proc_net(5)).
//!
//! The first counter may touch the colon: the kernel pads it to eight digits and no more.

use super::whole_lines;
use crate::metrics::COLUMNS;
use twarga_plugin_api::pseudo_file::{fields, lines, number};

/// The counters of a line in the file's order; nothing where a field is missing or no number.
pub(crate) type Values = [Option<u64>; COLUMNS];

/// The longest interface name (IFNAMSIZ less its end).
const MAX_NAME: usize = 15;

/// An interface's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// The interface's name, any bytes but blanks and slashes.
    pub(crate) name: &'a [u8],
    pub(crate) values: Values,
}

/// The interfaces in the file's order. Lines that have no interface name (headings, garbage) are left out.
pub(crate) fn rows(content: &[u8]) -> impl Iterator<Item = Row<'_>> + Clone {
    whole_lines(content).split(|byte| *byte == b'\n').filter_map(row)
}

fn row(line: &[u8]) -> Option<Row<'_>> {
    // the last colon: names of aliases have one themselves, counters never do
    let colon = line.iter().rposition(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii();
    if !is_name(name) {
        return None;
    }
    let mut counters = fields(&line[colon + 1..]);
    Some(Row { name, values: std::array::from_fn(|_| counters.next().and_then(number)) })
}

/// Whether the kernel would take this as an interface's name; it is also used as a folder's name below `/sys`.
fn is_name(name: &[u8]) -> bool {
    let odd = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b || *byte == b'/' || *byte == 0;
    !name.is_empty() && name.len() <= MAX_NAME && name != b"." && name != b".." && !name.iter().any(odd)
}

/// Whether there is anything like an interface table in the content, if only its headings.
pub(crate) fn is_table(content: &[u8]) -> bool {
    lines(whole_lines(content)).any(|line| line.contains(&b'|') || row(line).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADINGS: &[u8] = b"Inter-|   Receive                            |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    fn names(content: &[u8]) -> Vec<String> {
        rows(content).map(|row| String::from_utf8_lossy(row.name).into_owned()).collect()
    }

    #[test]
    fn a_counter_may_touch_the_colon() {
        let numbers = "2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        for (line, name) in [
            (format!("  eth0: 1 {numbers}"), "eth0"),
            (format!("eth0:1 {numbers}"), "eth0"),
            (format!("eth0:1: 1 {numbers}"), "eth0:1"),
            (format!("eth0:1:1 {numbers}"), "eth0:1"),
            (format!("bond0.12:1 {numbers} 17"), "bond0.12"),
            (format!("we\"ird%d\\:\t1 {numbers}\r"), "we\"ird%d\\"),
        ] {
            let line = line + "\n";
            let row = rows(line.as_bytes()).next().unwrap();
            assert_eq!(row.name, name.as_bytes());
            assert_eq!(row.values, std::array::from_fn(|i| Some(i as u64 + 1)), "{line}");
        }
    }

    #[test]
    fn what_is_no_interface_is_left_out() {
        assert_eq!(names(HEADINGS), [""; 0]);
        assert!(is_table(HEADINGS) && !is_table(b"\n\nnonsense\n"));
        let content = b": 1 2\n../x: 1\n..: 1\na b: 1\nan_interface_name: 1\n\n\xff\xfe\nok: 1\n";
        assert_eq!(names(content), ["ok"]);
    }

    #[test]
    fn fields_that_are_no_numbers_are_absent() {
        let row = rows(b"a: 1 -2 x 18446744073709551616 18446744073709551615\n").next().unwrap();
        assert_eq!(row.values[..6], [Some(1), None, None, None, Some(u64::MAX), None]);
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(content: Vec<u8>, text in "[a-z0-9: \n|]{0,200}") {
            let _ = (rows(&content).count(), is_table(&content));
            for row in rows(text.as_bytes()) {
                prop_assert!(is_name(row.name));
            }
        }

        #[test]
        fn what_was_written_is_read(name in "[!-.0-9;-~]{1,15}", values: [u64; COLUMNS], touch: bool) {
            prop_assume!(name != "." && name != "..");
            let columns = values.map(|value| value.to_string()).join("  ");
            let line = format!("{name:>6}:{}{columns}\n", if touch { "" } else { " " });
            let read: Vec<_> = rows(line.as_bytes()).collect();
            prop_assert_eq!(read, vec![Row { name: name.as_bytes(), values: values.map(Some) }]);
        }

        #[test]
        fn a_cut_file_has_no_made_up_line(cut in 0usize..400) {
            let whole = [HEADINGS, b"    lo: 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26\n  eth0: 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46\n"].concat();
            let known: Vec<_> = rows(&whole).collect();
            for (row, full) in rows(&whole[..cut.min(whole.len())]).zip(&known) {
                prop_assert_eq!(row, *full);
            }
        }
    }
}
