//! Mounts that do not answer. They are made to hang by a gate, and hang until the test opens it.

use super::*;
use crate::prober::{Prober, Reading, SlotId};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    sync::{Condvar, Mutex},
    time::Instant,
};

/// Answers at once, unless the path is shut.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
}

#[derive(Default)]
struct GateState {
    shut: BTreeSet<CString>,
    calls: BTreeMap<CString, u64>,
    in_flight: BTreeMap<CString, u64>,
}

impl Probe for Gate {
    fn space(&self, path: &CStr) -> Result<Space, Failure> {
        let mut state = self.state.lock().unwrap();
        *state.calls.entry(path.into()).or_default() += 1;
        let in_flight = state.in_flight.entry(path.into()).or_default();
        *in_flight += 1;
        assert_eq!(*in_flight, 1, "two calls in flight on one mount");
        self.opened.notify_all();
        while state.shut.contains(path) {
            state = self.opened.wait(state).unwrap();
        }
        state.in_flight.remove(path);
        let blocks = state.calls[path];
        Ok(Space { block: 1, blocks, ..Space::default() })
    }
}

impl Gate {
    fn shut(&self, path: &CStr) {
        self.state.lock().unwrap().shut.insert(path.into());
    }

    fn open(&self, path: &CStr) {
        self.state.lock().unwrap().shut.remove(path);
        self.opened.notify_all();
    }

    fn open_all(&self) {
        self.state.lock().unwrap().shut.clear();
        self.opened.notify_all();
    }

    fn calls(&self, path: &CStr) -> u64 {
        self.state.lock().unwrap().calls.get(path).copied().unwrap_or_default()
    }

    /// Until a call on the path hangs.
    fn wait_for_call(&self, path: &CStr) {
        let mut state = self.state.lock().unwrap();
        while !state.in_flight.contains_key(path) {
            state = self.opened.wait(state).unwrap();
        }
    }
}

/// Soon over for a mount that hangs; what matters is awaited by looking again, not by being quick enough.
const BRIEF: Timing = Timing {
    handover: Duration::from_millis(2),
    patience: Duration::from_millis(20),
    deadline: Duration::from_millis(20),
};

fn round(prober: &mut Prober) -> BTreeMap<usize, Reading> {
    let mut readings = vec![];
    prober.start().unwrap();
    prober.finish(|slot, reading| readings.push((slot, reading))).unwrap();
    readings.into_iter().map(|(slot, reading)| (index(slot), reading)).collect()
}

fn index(slot: SlotId) -> usize {
    slot.index()
}

/// Rounds until `wanted` holds.
fn until(
    prober: &mut Prober,
    wanted: impl Fn(&BTreeMap<usize, Reading>) -> bool,
) -> BTreeMap<usize, Reading> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        let readings = round(prober);
        assert!(prober.threads() <= readings.len(), "more threads than mounts");
        if wanted(&readings) {
            return readings;
        }
    }
    panic!("never got there: {:?}", round(prober));
}

fn answered(reading: Option<&Reading>) -> bool {
    matches!(reading, Some(Reading::Space(_)))
}

fn prober(gate: &Arc<Gate>, timing: Timing, paths: &[&CStr]) -> Prober {
    let mut prober = Prober::new(Arc::clone(gate) as Arc<dyn Probe>, timing);
    for path in paths {
        prober.add(CString::from(*path).into(), false);
    }
    prober
}

#[test]
fn one_thread_asks_all_mounts_while_they_answer() {
    let gate = Arc::new(Gate::default());
    let mut prober =
        prober(&gate, Timing { handover: AGES, patience: AGES, deadline: AGES }, &[c"/a", c"/b", c"/c"]);
    for time in 1..=50 {
        let readings = round(&mut prober);
        assert!((0..3).all(|slot| answered(readings.get(&slot))), "{readings:?}");
        assert_eq!(gate.calls(c"/c"), time);
        assert_eq!(prober.threads(), 1);
    }
}

#[test]
fn a_mount_that_hangs_costs_only_itself() {
    let gate = Arc::new(Gate::default());
    gate.shut(c"/b");
    let mut prober = prober(&gate, BRIEF, &[c"/a", c"/b", c"/c"]);
    until(&mut prober, |readings| {
        answered(readings.get(&0)) && readings[&1] == Reading::Stuck && answered(readings.get(&2))
    });
    prober.wait_for_threads(2); // on a busy machine there may be a third for a moment
    assert_eq!(prober.threads(), 2);
    // again and again, the stuck one is not asked a second time and the others are
    let calls = gate.calls(c"/a");
    until(&mut prober, |_| gate.calls(c"/a") > calls + 20);
    assert_eq!(gate.calls(c"/b"), 1);
    gate.open(c"/b");
    until(&mut prober, |readings| (0..3).all(|slot| answered(readings.get(&slot))));
    prober.wait_for_threads(1);
}

#[test]
fn a_mount_known_to_hang_is_not_waited_for() {
    let gate = Arc::new(Gate::default());
    let timing =
        Timing { patience: Duration::from_millis(30), handover: Duration::from_millis(5), deadline: AGES };
    let mut prober = prober(&gate, timing, &[c"/a"]);
    gate.shut(c"/a");
    assert_eq!(round(&mut prober)[&0], Reading::Late, "in flight, and the deadline is not over");
    gate.wait_for_call(c"/a");
    round(&mut prober); // by now it is known
    let started = Instant::now();
    let rounds = 200;
    for _ in 0..rounds {
        assert_eq!(round(&mut prober)[&0], Reading::Late);
    }
    assert!(started.elapsed() < timing.patience * rounds / 2, "{:?}", started.elapsed());
    gate.open(c"/a");
}

#[test]
fn an_answer_that_came_late_is_given_in_the_next_round() {
    let gate = Arc::new(Gate::default());
    gate.shut(c"/a");
    let mut prober = prober(&gate, BRIEF, &[c"/a"]);
    until(&mut prober, |readings| readings[&0] == Reading::Stuck);
    gate.open(c"/a");
    // the answer of the first and only call, not of one more
    let readings = until(&mut prober, |readings| answered(readings.get(&0)));
    let Reading::Space(space) = readings[&0] else { unreachable!() };
    assert!(space.blocks >= 1);
    prober.wait_for_threads(1);
}

#[test]
fn all_mounts_may_hang_at_once() {
    let gate = Arc::new(Gate::default());
    let paths = [c"/a", c"/b", c"/c", c"/d"];
    paths.iter().for_each(|path| gate.shut(path));
    let mut prober = prober(&gate, BRIEF, &paths);
    until(&mut prober, |readings| readings.values().all(|reading| *reading == Reading::Stuck));
    assert_eq!(prober.threads(), 4);
    gate.open_all();
    until(&mut prober, |readings| readings.values().all(|reading| answered(Some(reading))));
    prober.wait_for_threads(1);
}

#[test]
fn a_local_mount_that_was_slow_is_asked_however_many_remote_ones_hang() {
    const AT_ONCE: usize = 64;
    let gate = Arc::new(Gate::default());
    let mut prober = prober(&gate, BRIEF, &[c"/a"]);
    for number in 0..AT_ONCE + 3 {
        let path = CString::new(format!("/nas/{number}")).unwrap();
        gate.shut(&path);
        prober.add(path.into(), true);
    }
    let stuck =
        |readings: &BTreeMap<usize, Reading>| readings.values().filter(|r| **r == Reading::Stuck).count();
    until(&mut prober, |readings| stuck(readings) >= AT_ONCE);
    gate.shut(c"/a");
    until(&mut prober, |readings| readings[&0] == Reading::Stuck);
    gate.open(c"/a");
    let calls = gate.calls(c"/a");
    let readings = until(&mut prober, |readings| gate.calls(c"/a") > calls && answered(readings.get(&0)));
    assert_eq!(stuck(&readings), AT_ONCE, "the others wait until one of them comes back");
    gate.open_all();
    until(&mut prober, |readings| readings.values().all(|reading| answered(Some(reading))));
}

#[test]
fn a_mount_that_comes_back_on_the_path_of_a_stuck_call_waits_for_it() {
    let gate = Arc::new(Gate::default());
    gate.shut(c"/a");
    let mut prober = prober(&gate, BRIEF, &[]);
    let first = prober.add(CString::from(c"/a").into(), false);
    until(&mut prober, |readings| readings[&0] == Reading::Stuck);
    prober.remove(first);
    assert!(round(&mut prober).is_empty());
    let second = prober.add(CString::from(c"/a").into(), false);
    assert_eq!(index(first), index(second));
    until(&mut prober, |readings| readings[&0] == Reading::Stuck);
    assert_eq!(gate.calls(c"/a"), 1);
    gate.open(c"/a");
    let readings = until(&mut prober, |readings| answered(readings.get(&0)));
    let Reading::Space(space) = readings[&0] else { unreachable!() };
    assert!(space.blocks >= 2, "the first call asked a mount that is gone");
}

#[test]
fn the_places_of_mounts_that_are_gone_are_used_again() {
    let gate = Arc::new(Gate::default());
    let mut prober = prober(&gate, BRIEF, &[]);
    for number in 0..100 {
        let path = CString::new(format!("/{number}")).unwrap();
        let slot = prober.add(path.into(), number % 2 == 0);
        assert_eq!(index(slot), 0);
        until(&mut prober, |readings| answered(readings.get(&0)));
        prober.remove(slot);
    }
}

#[test]
fn dropped_it_leaves_only_what_is_stuck() {
    let gate = Arc::new(Gate::default());
    gate.shut(c"/b");
    let mut prober = prober(&gate, BRIEF, &[c"/a", c"/b"]);
    until(&mut prober, |readings| answered(readings.get(&0)) && readings[&1] == Reading::Stuck);
    assert!(Arc::strong_count(&gate) > 1);
    drop(prober);
    gate.open(c"/b");
    // the last thread takes the probe with it
    let started = Instant::now();
    while Arc::strong_count(&gate) > 1 {
        assert!(started.elapsed() < Duration::from_secs(60), "a thread is left");
        std::thread::yield_now();
    }
}

/// The whole collector with a gate in place of the system call; `/mnt/nas` is shut.
struct Gated(Procfs);

impl Collector for Gated {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = OnFixture::NAMESPACES;
    const METRICS: &'static [Metric<'static>] = metrics::METRICS;

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        let gate = Gate::default();
        let nas = [config.root.as_os_str().as_bytes(), b"/mnt/nas"].concat();
        gate.shut(&CString::new(nas)?);
        Ok(Self(Procfs::open(&config, Arc::new(gate), BRIEF, host)?))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.0.collect(sink)?;
        let threads = self.0.filesystems().prober().threads();
        assert!(threads <= 3, "{threads} threads");
        Ok(())
    }
}

#[test]
fn a_stuck_mount_is_reported_so_and_the_others_as_ever() {
    const NAS: &str = "{device=\"nas:/export\",fstype=\"nfs4\",mountpoint=\"/mnt/nas\"}";
    const ROOT: &str = "{device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\"}";
    let root = copy_of(&testcases().join("nfs/1"));
    let config = json!({"root": root.path()}).to_string();
    let mut harness = Harness::new(glue::module::<Gated>("host-disk", "0", "", ""), &config).unwrap();
    let started = Instant::now();
    let stuck = loop {
        let collected = harness.collect().unwrap();
        let stuck = collected.value(&format!("host_filesystem_stuck{NAS}"));
        if stuck == Some(1.0) && collected.value(&format!("host_filesystem_size_bytes{ROOT}")).is_some() {
            break collected;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "not stuck yet: {}", collected.to_text());
    };
    assert_eq!(stuck.unavailable[&format!("host_filesystem_size_bytes{NAS}")], "stuck");
    assert_eq!(stuck.unavailable[&format!("host_filesystem_usage_ratio{NAS}")], "stuck");
    assert_eq!(stuck.value(&format!("host_filesystem_stuck{ROOT}")), Some(0.0));
    assert!(stuck.value("host_disk_all_read_bytes_total").is_some());
}
