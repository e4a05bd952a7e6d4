//! `/proc/vmstat`: a name and a number a line, some 180 lines of which we want seven (proc_vmstat(5)).

use super::{digits, whole_lines};

/// The lines that are collected, node_exporter's default set.
pub(crate) const NAMES: [&str; 7] =
    ["pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault", "oom_kill"];

/// The values of [`NAMES`]; absent where the line is missing or is no number.
pub(crate) fn parse(content: &[u8]) -> [Option<u64>; NAMES.len()] {
    let mut values = [None; NAMES.len()];
    for line in whole_lines(content) {
        // the first letters already rule most of the lines out
        if !(line.starts_with(b"p") || line.starts_with(b"o")) {
            continue;
        }
        let Some(blank) = line.iter().position(|byte| *byte == b' ') else { continue };
        if let Some(index) = NAMES.iter().position(|name| name.as_bytes() == &line[..blank]) {
            values[index] = digits(line[blank..].trim_ascii());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VMSTAT: &[u8] =
        b"nr_free_pages 1\npgpgin 10\npgpgout 11\npswpin 12\npswpout 13\npgpromote_success 99\n\
        pgfault 14\npgmajfault 15\noom_kill 16\nswap_ra 2\n";

    #[test]
    fn the_wanted_lines_are_found() {
        assert_eq!(parse(VMSTAT), [10, 11, 12, 13, 14, 15, 16].map(Some));
        assert_eq!(parse(b"pgpgin x\noom_kill\npgfault -1\npgmajfault 5"), [None; 7]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(content: Vec<u8>) {
            parse(&content);
        }

        #[test]
        fn truncation_never_invents_a_number(end in 0..VMSTAT.len()) {
            for (value, truth) in parse(&VMSTAT[..end]).into_iter().zip(parse(VMSTAT)) {
                prop_assert!(value.is_none() || value == truth);
            }
        }
    }
}
