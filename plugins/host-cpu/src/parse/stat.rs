//! `/proc/stat`: CPU times and the kernel's totals (proc_stat(5)).

use twarga_plugin_api::pseudo_file::{fields, number};

/// The modes of a `cpu` line, in its order, before the two of guests.
pub(crate) const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
/// The last two columns: time in guests, which `user` and `nice` contain as well.
pub(crate) const GUEST_MODES: [&str; 2] = ["user", "nice"];
/// The columns of a `cpu` line.
pub(crate) const COLUMNS: usize = MODES.len() + GUEST_MODES.len();
/// Where `idle` stands; `iowait` follows it.
pub(crate) const IDLE: usize = 3;
pub(crate) const IOWAIT: usize = 4;

/// Whose line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cpu {
    /// The line `cpu`: all of them.
    All,
    /// A line such as `cpu3`. Only CPUs that are online have one.
    One(u32),
}

/// The columns of one `cpu` line, in units of USER_HZ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) ticks: [u64; COLUMNS],
    /// How many columns the kernel gave: 4 in Linux 2.4, 10 since 2.6.33. The others are 0.
    pub(crate) known: usize,
}

/// The lines after those of the CPUs; absent where the line is missing or is not a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) interrupts: Option<u64>,
    pub(crate) context_switches: Option<u64>,
    /// Seconds since 1970 UTC.
    pub(crate) boot_time: Option<u64>,
    pub(crate) forks: Option<u64>,
    pub(crate) running: Option<u64>,
    pub(crate) blocked: Option<u64>,
}

/// Calls `on_cpu` for every `cpu` line, with nothing where its columns are not numbers, and gives the totals.
///
/// The `intr` line has a number per interrupt, thousands of them on large hosts, and we want its first only: the
/// content is read from the front up to that number, and from the back up to the line after it.
pub(crate) fn parse(content: &[u8], mut on_cpu: impl FnMut(Cpu, Option<Times>)) -> Totals {
    let mut rest = content;
    while !rest.is_empty() && !rest.starts_with(b"intr ") {
        // a line without its end may lack digits
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if let Some((cpu, columns)) = cpu_label(line) {
            on_cpu(cpu, times(columns));
        }
    }
    let mut totals = Totals::default();
    if let Some(numbers) = rest.strip_prefix(b"intr ") {
        let end = numbers.iter().position(u8::is_ascii_whitespace);
        totals.interrupts = end.and_then(|end| digits(&numbers[..end]));
        totals_from_behind(numbers, &mut totals);
    } else {
        totals_from_behind(content, &mut totals);
    }
    totals
}

fn totals_from_behind(content: &[u8], totals: &mut Totals) {
    for line in content.rsplit(|byte| *byte == b'\n').skip(1) {
        let mut fields = fields(line);
        let place = match fields.next() {
            Some(b"processes") => &mut totals.forks,
            Some(b"procs_running") => &mut totals.running,
            Some(b"procs_blocked") => &mut totals.blocked,
            Some(b"btime") => &mut totals.boot_time,
            Some(b"ctxt") => &mut totals.context_switches,
            _ => continue,
        };
        *place = fields.next().and_then(number);
        if line.starts_with(b"ctxt") {
            break; // the line before it is `intr`
        }
    }
}

fn cpu_label(line: &[u8]) -> Option<(Cpu, &[u8])> {
    let rest = line.strip_prefix(b"cpu")?;
    let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
    let (id, columns) = rest.split_at(end);
    let cpu = if id.is_empty() { Cpu::All } else { Cpu::One(digits(id)?.try_into().ok()?) };
    Some((cpu, columns))
}

fn times(columns: &[u8]) -> Option<Times> {
    let mut times = Times::default();
    for field in fields(columns).take(COLUMNS) {
        times.ticks[times.known] = digits(field)?;
        times.known += 1;
    }
    (times.known > IDLE).then_some(times)
}

/// As [`number`], in one pass: a large host has a thousand of these.
fn digits(field: &[u8]) -> Option<u64> {
    field.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAT: &[u8] = b"cpu  13840 0 4933 254280 598 0 45 14 0 0\n\
        cpu0 6399 1 1839 128462 136 2 13 6 7 8\ncpu1 7441 0 3094 125817\n\
        intr 206291 0 0 15\nctxt 333667\nbtime 1795243771\nprocesses 8174\nprocs_running 3\nprocs_blocked 4\n\
        softirq 143010 0 22747 4\n";

    fn cpus(content: &[u8]) -> (Vec<(Cpu, Option<Times>)>, Totals) {
        let mut cpus = vec![];
        let totals = parse(content, |cpu, times| cpus.push((cpu, times)));
        (cpus, totals)
    }

    #[test]
    fn every_line_is_found() {
        let (cpus, totals) = cpus(STAT);
        let ticks = [6399, 1, 1839, 128_462, 136, 2, 13, 6, 7, 8];
        assert_eq!(cpus[1], (Cpu::One(0), Some(Times { ticks, known: 10 })));
        let ticks = [7441, 0, 3094, 125_817, 0, 0, 0, 0, 0, 0];
        assert_eq!(cpus[2], (Cpu::One(1), Some(Times { ticks, known: 4 })));
        assert_eq!(cpus.len(), 3);
        let want = Totals {
            interrupts: Some(206_291),
            context_switches: Some(333_667),
            boot_time: Some(1_795_243_771),
            forks: Some(8174),
            running: Some(3),
            blocked: Some(4),
        };
        assert_eq!(totals, want);
    }

    #[test]
    fn totals_do_not_need_the_interrupts() {
        let (_, totals) = cpus(b"cpu  1 2 3 4\nbtime 5\nprocs_running 6\n");
        assert_eq!((totals.boot_time, totals.running, totals.interrupts), (Some(5), Some(6), None));
    }

    #[test]
    fn what_is_no_number_is_absent() {
        let content = b"cpu0 1 2 x 4\ncpu1 1 2 3\ncpu2 1 2 3 18446744073709551616\ncpux 1 2 3 4\nrubbish\ncpu3 1 2 3 4\n\
            intr many 2\nctxt -1\nbtime\n";
        let (cpus, totals) = cpus(content);
        let absent: Vec<_> = cpus.iter().map(|(cpu, times)| (*cpu, times.is_none())).collect();
        let want = [(Cpu::One(0), true), (Cpu::One(1), true), (Cpu::One(2), true), (Cpu::One(3), false)];
        assert_eq!(absent, want);
        assert_eq!(totals, Totals::default());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(content: Vec<u8>) {
            cpus(&content);
        }

        #[test]
        fn broken_lines_never_panic(content in "((cpu|intr|ctxt|btime)[0-9]{0,12}( [0-9x-]{0,24}){0,14}\n?){0,20}") {
            cpus(content.as_bytes());
        }

        #[test]
        fn truncation_never_invents_a_number(end in 0..STAT.len()) {
            let (whole, totals) = cpus(STAT);
            let (cut, of_cut) = cpus(&STAT[..end]);
            prop_assert_eq!(&cut[..], &whole[..cut.len()]);
            for (value, truth) in [
                (of_cut.interrupts, totals.interrupts),
                (of_cut.context_switches, totals.context_switches),
                (of_cut.forks, totals.forks),
                (of_cut.blocked, totals.blocked),
            ] {
                prop_assert!(value.is_none() || value == truth);
            }
        }

        #[test]
        fn written_numbers_come_back(ticks: [u64; COLUMNS], id: u32) {
            let text = ticks.map(|tick| tick.to_string()).join(" ");
            let (cpus, _) = cpus(format!("cpu{id} {text}\nintr 1\n").as_bytes());
            prop_assert_eq!(cpus, vec![(Cpu::One(id), Some(Times { ticks, known: COLUMNS }))]);
        }
    }
}
