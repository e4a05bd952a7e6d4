//! From the raw values of `/proc` to what an agent stores: shares, rates and sizes, rounded as people read them.

use super::{Recorded, table::Table};

const STATES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const MEMORY: &str = "MemFree Buffers Cached SwapCached Active Inactive Active(anon) Inactive(anon) Active(file) \
    Inactive(file) Unevictable Mlocked SwapTotal SwapFree Dirty Writeback AnonPages Mapped Shmem Slab SReclaimable \
    SUnreclaim KernelStack PageTables Committed_AS VmallocUsed Percpu";
const VMSTAT: &str = "pgpgin pgpgout pswpin pswpout pgalloc_normal pgfree pgactivate pgdeactivate pgfault pgmajfault \
    pgrefill pgreuse pgsteal_kswapd pgsteal_direct pgscan_kswapd pgscan_direct pginodesteal slabs_scanned \
    kswapd_inodesteal pgrotated nr_dirtied nr_written workingset_refault_file workingset_activate_file compact_stall \
    thp_fault_alloc oom_kill numa_hit";
const KIB: f64 = 1024.0;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// A series with its values, from the second row of the recording on.
pub(crate) struct Column {
    name: String,
    counter: bool,
    pub(crate) values: Vec<f64>,
}

impl Column {
    pub(crate) fn into_recorded(self) -> Recorded {
        let name: String =
            self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let lap = if self.counter { lap(&self.values) } else { 0.0 };
        let ends = self.values.first().zip(self.values.last()).map_or(0.0, |(first, last)| first + last);
        Recorded { name: format!("host_{name}"), counter: self.counter, lap, ends }
    }
}

/// What a counter gains with each lap: its increase, and a mean step to the next beginning.
fn lap(values: &[f64]) -> f64 {
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return 0.0 };
    let increase = (last - first).max(0.0);
    (increase * values.len() as f64 / (values.len() - 1).max(1) as f64).round()
}

/// All gauges that the table has the columns for.
pub(crate) fn gauges(table: &Table) -> Vec<Column> {
    let mut gauges = Gauges { table, steps: table.steps(), columns: Vec::new() };
    gauges.processors();
    gauges.memory();
    gauges.system();
    gauges.disks();
    gauges.interfaces();
    gauges.file_system();
    for name in VMSTAT.split_whitespace() {
        gauges.rate(&format!("vm.{name}"), 1.0, hundredths);
    }
    for resource in ["cpu", "io", "memory"] {
        for (kind, over) in ["some", "full"].iter().flat_map(|kind| [10, 60, 300].map(|over| (kind, over))) {
            gauges.level(&format!("psi.{resource}.{kind}.avg{over}"), "", 1.0, hundredths);
        }
    }
    gauges.columns
}

/// The counters of processors, the first disk and the first real interface that moved at all, as they are.
pub(crate) fn counters(table: &Table) -> Vec<Column> {
    let disk = table.between("disk.", ".reads").first().map(|disk| format!("disk.{disk}."));
    let interfaces = table.between("net.", ".rx_bytes");
    let interface = interfaces.iter().find(|name| **name != "lo").map(|name| format!("net.{name}."));
    let counted = |name: &str| {
        name.starts_with("stat.cpu")
            || ["stat.ctxt", "stat.intr"].contains(&name)
            || disk.as_ref().is_some_and(|disk| name.starts_with(disk) && !name.ends_with("inflight"))
            || interface.as_ref().is_some_and(|interface| name.starts_with(interface))
    };
    let moves = |values: &[f64]| values.iter().any(|value| *value != values[0]);
    table
        .columns()
        .filter(|(name, values)| counted(name) && moves(values))
        .map(|(name, values)| counter(&format!("raw.{name}"), &values[1..]))
        .collect()
}

fn counter(name: &str, values: &[f64]) -> Column {
    Column { name: format!("{name}_total"), counter: true, values: values.to_vec() }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// By how much a counter grew from row to row.
fn growth(values: &[f64]) -> Vec<f64> {
    values.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)).collect()
}

struct Gauges<'a> {
    table: &'a Table,
    steps: Vec<f64>,
    columns: Vec<Column>,
}

impl Gauges<'_> {
    fn push(&mut self, name: String, values: impl Iterator<Item = f64>) {
        self.columns.push(Column { name, counter: false, values: values.collect() });
    }

    /// A value as it is, in another unit.
    fn level(&mut self, column: &str, unit: &str, factor: f64, round: fn(f64) -> f64) {
        if let Some(values) = self.table.column(column) {
            self.push(format!("{column}{unit}"), values[1..].iter().map(|value| round(value * factor)));
        }
    }

    /// A counter's growth per second.
    fn rate(&mut self, column: &str, factor: f64, round: fn(f64) -> f64) {
        if let Some(values) = self.table.column(column) {
            let steps = self.steps.clone();
            let rate =
                growth(values).into_iter().zip(steps).map(|(grown, step)| round(grown * factor / step));
            self.push(format!("{column}_per_s"), rate);
        }
    }

    fn processors(&mut self) {
        for cpu in self.table.between("stat.cpu", ".user") {
            let column = |state: &&str| self.table.column(&format!("stat.cpu{cpu}.{state}")).map(growth);
            let Some(spent) = STATES.iter().map(column).collect::<Option<Vec<_>>>() else { continue };
            let all = |row: usize| spent.iter().map(|state| state[row]).sum::<f64>().max(1.0);
            let rows = 0..spent[0].len();
            for (state, values) in STATES.iter().zip(&spent) {
                let share = rows.clone().map(|row| hundredths(100.0 * values[row] / all(row)));
                self.push(format!("cpu{cpu}.{state}_percent"), share);
            }
            let used = rows.map(|row| hundredths(100.0 * (1.0 - (spent[3][row] + spent[4][row]) / all(row))));
            self.push(format!("cpu{cpu}.used_percent"), used);
        }
    }

    fn memory(&mut self) {
        if let Some((total, free)) =
            self.table.column("mem.MemTotal").zip(self.table.column("mem.MemAvailable"))
        {
            let gib = |kib: f64| hundredths(kib * KIB / GIB);
            let rows = || total.iter().zip(free).skip(1);
            self.push("mem.total_gib".into(), rows().map(|(total, _)| gib(*total)));
            self.push("mem.used_gib".into(), rows().map(|(total, free)| gib(total - free)));
            self.push("mem.available_gib".into(), rows().map(|(_, free)| gib(*free)));
            let percent = rows().map(|(total, free)| hundredths(100.0 * (total - free) / total));
            self.push("mem.used_percent".into(), percent);
        }
        for name in MEMORY.split_whitespace() {
            self.level(&format!("mem.{name}"), "_bytes", KIB, f64::round);
        }
    }

    fn system(&mut self) {
        for name in ["load.load1", "load.load5", "load.load15"] {
            self.level(name, "", 1.0, hundredths);
        }
        for name in
            ["load.running", "load.threads", "stat.procs_running", "stat.procs_blocked", "procs.count"]
        {
            self.level(name, "", 1.0, f64::round);
        }
        self.level("fs.open_files", "", 1.0, f64::round);
        self.level("up.uptime", "", 1.0, f64::floor);
        for name in ["ctxt", "intr", "processes"] {
            self.rate(&format!("stat.{name}"), 1.0, hundredths);
        }
        // 0 is the sum of all
        for number in 0..=10 {
            self.rate(&format!("stat.softirq.{number}"), 1.0, hundredths);
        }
    }

    fn disks(&mut self) {
        for disk in self.table.between("disk.", ".reads") {
            let name = |column: &str| format!("disk.{disk}.{column}");
            // of 512 bytes, whatever the device says
            self.rate(&name("sectors_read"), 512.0, f64::round);
            self.rate(&name("sectors_written"), 512.0, f64::round);
            for counted in ["reads", "writes", "reads_merged", "writes_merged", "discards", "flushes"] {
                self.rate(&name(counted), 1.0, hundredths);
            }
            self.rate(&name("ms_io"), 0.1, |percent| hundredths(percent.min(100.0)));
            for (spent, operations) in [("ms_read", "reads"), ("ms_write", "writes")] {
                let columns = self.table.column(&name(spent)).zip(self.table.column(&name(operations)));
                if let Some((spent_ms, operations)) = columns {
                    let pairs = growth(spent_ms).into_iter().zip(growth(operations));
                    let await_ms = pairs.map(|(spent, operations)| hundredths(spent / operations.max(1.0)));
                    self.push(name(&format!("{spent}_await")), await_ms);
                }
            }
            self.rate(&name("ms_weighted"), 0.001, hundredths);
        }
    }

    /// Rates, and two totals that agents show as well; real interfaces before the loopback.
    fn interfaces(&mut self) {
        let mut interfaces = self.table.between("net.", ".rx_bytes");
        interfaces.sort_by_key(|name| *name == "lo");
        for interface in interfaces {
            let name = |column: &str| format!("net.{interface}.{column}");
            for column in ["rx_bytes", "tx_bytes"] {
                self.rate(&name(column), 1.0, f64::round);
            }
            for column in ["rx_packets", "tx_packets", "rx_errs", "tx_errs", "rx_drop", "tx_drop"] {
                self.rate(&name(column), 1.0, hundredths);
            }
            for column in [name("rx_bytes"), name("tx_bytes")] {
                if let Some(values) = self.table.column(&column) {
                    self.columns.push(counter(&column, &values[1..]));
                }
            }
        }
    }

    fn file_system(&mut self) {
        for name in ["blocks", "bfree", "bavail"] {
            // of 4096 bytes
            self.level(&format!("fs.root.{name}"), "_gib", 4096.0 / GIB, hundredths);
        }
        let of = |column: &str| self.table.column(&format!("fs.root.{column}"));
        if let Some((all, free)) = of("blocks").zip(of("bfree")) {
            let rows = || all.iter().zip(free).skip(1);
            self.push(
                "fs.root.used_percent".into(),
                rows().map(|(all, free)| hundredths(100.0 * (all - free) / all)),
            );
            self.push("fs.root.used_bytes".into(), rows().map(|(all, free)| (all - free) * 4096.0));
        }
        if let Some((all, free)) = of("files").zip(of("ffree")) {
            self.push(
                "fs.root.inodes_used".into(),
                all.iter().zip(free).skip(1).map(|(all, free)| all - free),
            );
        }
    }
}
