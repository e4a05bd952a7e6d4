//! `/proc/stat`, as far as this plugin needs it: lines of a name and a number (`man 5 proc_stat`).
//!
//! A pure function of bytes: it is tested without a machine.

use twarga_plugin_api::pseudo_file::{fields, lines, number};

/// What one reading brought; nothing where the kernel doesn't tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stat {
    /// `ctxt`: context switches since the boot.
    pub context_switches: Option<f64>,
    /// `processes`: forks since the boot.
    pub forks: Option<f64>,
    /// `procs_running`: tasks that run or wait for a processor.
    pub running: Option<f64>,
    /// `procs_blocked`: tasks that wait for a disk.
    pub blocked: Option<f64>,
}

/// Reads the lines that are known, and passes over all others.
pub fn parse(content: &[u8]) -> Stat {
    let mut stat = Stat::default();
    for line in lines(content) {
        let mut fields = fields(line);
        let value = match fields.next() {
            Some(b"ctxt") => &mut stat.context_switches,
            Some(b"processes") => &mut stat.forks,
            Some(b"procs_running") => &mut stat.running,
            Some(b"procs_blocked") => &mut stat.blocked,
            _ => continue,
        };
        *value = fields.next().and_then(number);
    }
    stat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lines_are_read_and_broken_ones_have_no_value() {
        let stat = parse(b"cpu 1 2 3\nctxt 123\nprocesses\nprocs_running x\nprocs_blocked 4\n");
        let wanted = Stat {
            context_switches: Some(123.0),
            blocked: Some(4.0),
            ..Stat::default()
        };
        assert_eq!(stat, wanted);
        assert_eq!(parse(b""), Stat::default());
    }
}
