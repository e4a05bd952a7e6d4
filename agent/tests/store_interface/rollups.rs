//! Random histories, told of by roll-ups, against the same samples folded by hand.

use super::*;
use proptest::prelude::*;
use twarga_agent::store::{AggregateQuery, Folder, Readers, Steps, Tier};

const DAY: i64 = 24 * HOUR;
/// Milliseconds: some are multiples of a roll-up's width, some are not.
const STEPS: [i64; 9] = [1000, 7000, 60_000, 90_000, 300_000, HOUR, 5_400_000, 2 * HOUR, DAY];

/// What happens in a history, one after the other.
#[derive(Clone, Debug)]
enum Phase {
    /// Commits at an interval. Of a tick the series are sampled whose bit is set in `mask`, rotated by the tick.
    Burst {
        interval: i64,
        ticks: u32,
        mask: u8,
    },
    /// Nothing for a while.
    Silence(i64),
    /// The clock is stepped; a new run begins.
    Step(i64),
    /// The counters begin anew, with the flag or by a smaller value.
    Reset {
        flagged: bool,
    },
    /// One commit with a second batch, so much older.
    Late(i64),
    Restart,
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    let interval = prop_oneof![Just(1000_i64), Just(5000), Just(30_000), Just(600_000)];
    let burst = (interval, 1_u32..90, any::<u8>()).prop_map(|(interval, ticks, mask)| Phase::Burst {
        interval,
        ticks,
        mask,
    });
    let silence = prop_oneof![3 => 0..HOUR, 3 => 0..10 * HOUR, 1 => 20 * HOUR..60 * HOUR];
    let step = prop_oneof![-HOUR..HOUR, Just(HOUR), Just(-HOUR), -5 * HOUR..5 * HOUR];
    let late = prop_oneof![0..60_000_i64, 0..9 * HOUR];
    prop::collection::vec(
        prop_oneof![
            8 => burst,
            4 => silence.prop_map(Phase::Silence),
            1 => step.prop_map(Phase::Step),
            1 => any::<bool>().prop_map(|flagged| Phase::Reset { flagged }),
            2 => late.prop_map(Phase::Late),
            1 => Just(Phase::Restart),
        ],
        1..40,
    )
}

/// A sample as it was written: time, run, order, value, reset.
type Written = (i64, u32, u32, f64, bool);

struct History {
    directory: TempDir,
    store: Option<Store>,
    ids: Vec<SeriesId>,
    written: Vec<Vec<Written>>,
    totals: Vec<f64>,
    reset: bool,
    now: i64,
    run: u32,
    order: u32,
}

/// Six series of two collectors: of each the first two are counters.
fn declared(store: &mut Store) -> Vec<SeriesId> {
    let of = |n: usize| {
        let kind = if n % 3 < 2 { Kind::Counter } else { Kind::Gauge };
        let mut def = def(&format!("m{n}"), &[]);
        def.metric = Arc::new(Metric { kind, ..(*def.metric).clone() });
        def
    };
    (0..6).map(|n| store.series(&of(n), if n < 3 { "first" } else { "second" }).unwrap()).collect()
}

fn is_counter(n: usize) -> bool {
    n % 3 < 2
}

/// Keeps everything for ever.
fn endless(directory: &TempDir) -> Options {
    let ever = Duration::from_secs(100_000 * 24 * 3600);
    Options { retention: Retention { raw: ever, minute: ever, hour: ever }, ..options(directory.path()) }
}

impl History {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut store = Store::open(endless(&directory)).unwrap();
        let ids = declared(&mut store);
        // a restart before the first commit would forget them
        store.commit(&Commit::default()).unwrap();
        Self {
            directory,
            store: Some(store),
            ids,
            written: vec![Vec::new(); 6],
            totals: vec![0.0; 6],
            reset: false,
            now: NOW,
            run: 0,
            order: 0,
        }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    /// A batch of some series.
    fn batch(&mut self, time: i64, mask: u8) -> StoredBatch {
        let mut samples = Vec::new();
        for n in (0..6).filter(|n| mask >> n & 1 == 1) {
            self.order += 1;
            let step = f64::from(self.order * 37 % 101) / 8.0;
            self.totals[n] = if is_counter(n) { self.totals[n] + step } else { step - 6.0 };
            let reset = is_counter(n) && self.reset;
            let value = self.totals[n];
            self.written[n].push((time, self.run, self.order, value, reset));
            samples.push(StoredSample { series: self.ids[n], reset, value });
        }
        StoredBatch { time: at(time), samples }
    }

    fn put(&mut self, batches: Vec<StoredBatch>, new_run: bool) {
        self.store().commit(&Commit { batches, new_run, ..Commit::default() }).unwrap();
        self.reset = false;
    }

    fn happen(&mut self, phase: &Phase) {
        match *phase {
            Phase::Burst { interval, ticks, mask } => {
                for tick in 0..ticks {
                    self.now += interval;
                    let batch = self.batch(self.now, mask.rotate_left(tick % 8) | mask);
                    self.put(vec![batch], false);
                }
            }
            Phase::Silence(millis) => self.now += millis,
            Phase::Step(millis) => {
                self.now += millis;
                self.run += 1;
                let batch = self.batch(self.now, 0x3f);
                self.put(vec![batch], true);
            }
            Phase::Reset { flagged } => {
                self.reset = flagged;
                self.totals.fill(0.5);
            }
            Phase::Late(age) => {
                self.now += 1000;
                let batches = vec![self.batch(self.now - age, 0x15), self.batch(self.now, 0x3f)];
                self.put(batches, false);
            }
            Phase::Restart => self.restart(|_| ()),
        }
    }

    fn restart(&mut self, change: impl FnOnce(&mut Options)) {
        self.store = None;
        let mut options = endless(&self.directory);
        change(&mut options);
        self.store = Some(Store::open(options).unwrap());
        self.run += 1;
    }

    /// Has all that was written made into blocks and roll-ups: the minutes, too, whose parts are days. Writes samples of
    /// another series for it, later.
    fn settle(&mut self) {
        let other = self.store().series(&def("other", &[]), "third").unwrap();
        let newest = self.written.iter().flatten().map(|written| written.0).max().unwrap_or(NOW);
        self.now = self.now.max(newest);
        for _ in 0..3 {
            self.now += DAY;
            for tick in 0..10 {
                let now = self.now + tick;
                put(self.store(), now, &[other], 1.0);
            }
        }
        let now = at(self.now);
        let mut calls = 0;
        while self.store().sizes().sealing {
            self.store().expire(now, true).unwrap();
            calls += 1;
            assert!(calls < 100_000, "sealing ends");
        }
    }

    /// Has all that outlived its retention at this time deleted.
    fn expire(&mut self, now: Timestamp) {
        for _ in 0..150 {
            self.store().expire(now, true).unwrap();
        }
    }

    /// The points of a series as they were written, oldest first; checked against what the store has.
    fn truth(&mut self) -> Vec<Vec<Point>> {
        let mut all_points = Vec::new();
        let reader = reader(self.store());
        for (n, id) in self.ids.iter().enumerate() {
            let mut points = all(&reader, *id);
            points.reverse();
            let mut written = self.written[n].clone();
            written.sort_by_key(|(time, run, order, ..)| (*time, *run, *order));
            let shown = |value: f64| value.to_bits();
            let found: Vec<_> =
                points.iter().map(|p| (p.time.as_millis(), shown(p.value), p.reset)).collect();
            let wanted: Vec<_> = written.iter().map(|w| (w.0, shown(w.3), w.4)).collect();
            assert_eq!(found, wanted, "series {n}");
            all_points.push(points);
        }
        all_points
    }
}

fn folded(points: &[Point], query: &AggregateQuery, is_counter: bool) -> Steps {
    let mut folder = Folder::new(query, is_counter);
    points.iter().for_each(|point| folder.push(point));
    folder.finish()
}

fn same(found: &[(Timestamp, f64)], wanted: &[(Timestamp, f64)], aggregate: Aggregate) -> bool {
    let exact = matches!(aggregate, Aggregate::Min | Aggregate::Max | Aggregate::Last | Aggregate::Count);
    let near = |a: f64, b: f64| a == b || !exact && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
    found.len() == wanted.len() && found.iter().zip(wanted).all(|((at, a), (of, b))| at == of && near(*a, *b))
}

/// Whether a query can be answered from roll-ups of a tier.
fn is_served(tier: Tier, step: i64, aggregate: Aggregate, is_counter: bool) -> bool {
    step % tier.width().unwrap_or(1) == 0 && !(tier > Tier::Raw && aggregate.needs_samples(is_counter))
}

/// Asks for everything; `finest` is the finest tier that is left.
fn compare(reader: &Reader, ids: &[SeriesId], truth: &[Vec<Point>], range: Range, finest: Tier) {
    for aggregate in Aggregate::ALL {
        for step in STEPS {
            let query = AggregateQuery { range, step, aggregate };
            let answers = reader.aggregate(ids, &query).unwrap();
            for (n, answer) in answers.iter().enumerate() {
                let wanted = folded(&truth[n], &query, is_counter(n));
                let what = format!("series {n}, {aggregate} of {step} in {range:?}");
                if is_served(finest, step, aggregate, is_counter(n)) {
                    assert!(
                        same(&answer.values, &wanted.values, aggregate),
                        "{what}\n{:?}\n{:?}",
                        answer.values,
                        wanted.values
                    );
                    assert_eq!(answer.left_out, None, "{what}");
                } else {
                    // what is told is right, and what isn't is known not to be
                    let told = |(time, _): &&(Timestamp, f64)| answer.values.iter().any(|(of, _)| of == time);
                    let wanted_of: Vec<_> = wanted.values.iter().filter(told).copied().collect();
                    assert!(
                        same(&answer.values, &wanted_of, aggregate),
                        "{what}\n{:?}\n{wanted_of:?}",
                        answer.values
                    );
                    let all_told = wanted_of.len() == wanted.values.len();
                    assert!(
                        answer.left_out.is_some() || all_told,
                        "{what}: steps are missing without a reason"
                    );
                }
                let coarsest = Tier::ALL.into_iter().rev();
                let mut served = coarsest.filter(|tier| is_served(*tier, step, aggregate, is_counter(n)));
                let most = served.next().unwrap_or(Tier::Raw).max(finest);
                assert!(answer.tier.is_none_or(|tier| tier <= most), "{what}: {:?}", answer.tier);
                if finest == most {
                    assert!(answer.tier.is_none_or(|tier| tier == most), "{what}: {:?}", answer.tier);
                }
            }
        }
    }
}

/// As many cases as take some seconds, unless `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let known = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { known.cases } else { 8 };
    ProptestConfig { cases, max_shrink_iters: 100, ..known }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn roll_ups_tell_what_the_samples_tell(phases in phases(), from in 0..20 * HOUR, length in 0..30 * HOUR) {
        let mut history = History::new();
        phases.iter().for_each(|phase| history.happen(phase));
        let truth = history.truth();
        let ids = history.ids.clone();
        let part = Range { from: at(NOW + from), to: at(NOW + from + length) };
        // as it is: the newest in memory, some of the rest sealed
        for range in [Range::ALL, part] {
            compare(&reader(history.store()), &ids, &truth, range, Tier::Raw);
        }
        let others = Readers::of_file(&history.directory.path().join("history.db")).unwrap();
        compare(&others.reader().unwrap(), &ids, &truth, part, Tier::Raw);
        // all in blocks
        history.settle();
        prop_assert_eq!(&history.truth(), &truth);
        for range in [Range::ALL, part] {
            compare(&reader(history.store()), &ids, &truth, range, Tier::Raw);
        }
        compare(&others.reader().unwrap(), &ids, &truth, part, Tier::Raw);
        // without samples, then without minutes
        let ever = Duration::from_secs(100_000 * 24 * 3600);
        for (finest, minute) in [(Tier::Minute, ever), (Tier::Hour, Duration::from_secs(3600))] {
            history.restart(|options| {
                options.retention = Retention { raw: Duration::from_secs(3600), minute, hour: ever };
            });
            let long_after = at(history.now + 40 * DAY);
            history.expire(long_after);
            for (n, id) in ids.iter().enumerate() {
                prop_assert_eq!(all(&reader(history.store()), *id), [], "series {}", n);
            }
            compare(&reader(history.store()), &ids, &truth, Range::ALL, finest);
        }
    }
}

/// Six hours of a counter and a gauge, every ten seconds.
fn six_hours() -> History {
    let mut history = History::new();
    history.happen(&Phase::Burst { interval: 10_000, ticks: 6 * 360, mask: 0x3f });
    history
}

#[test]
fn late_samples_at_a_seam_are_counted_once() {
    let mut history = History::new();
    // a sample in the last minute of a part, and one in the first of the next
    history.now = (NOW / (2 * HOUR) + 1) * 2 * HOUR - 30_000;
    let seam = history.now + 20_000;
    for _ in 0..3 {
        history.happen(&Phase::Burst { interval: 60_000, ticks: 3, mask: 0x3f });
        history.settle();
    }
    // still the same run: the pair over the seam now has a sample within
    let late = history.batch(seam, 0x3f);
    history.put(vec![late], false);
    history.settle();
    let truth = history.truth();
    let ids = history.ids.clone();
    compare(&reader(history.store()), &ids, &truth, Range::ALL, Tier::Raw);
}

/// A counter and a gauge every ten seconds; then the samples go, and late ones of the same minutes come, twice.
#[test]
fn late_samples_leave_roll_ups_of_more_samples_as_they_are() {
    let mut history = six_hours();
    history.settle();
    let truth = history.truth();
    let ids = history.ids.clone();
    let long_after = at(history.now + 40 * DAY);
    let ever = Duration::from_secs(100_000 * 24 * 3600);
    let hour = Duration::from_secs(3600);
    for (finest, minute) in [(Tier::Minute, ever), (Tier::Hour, hour)] {
        history.restart(|options| options.retention = Retention { raw: hour, minute, hour: ever });
        for _ in 0..2 {
            history.expire(long_after);
            for _ in 0..2 {
                let late = history.batch(NOW + 3 * HOUR + 1234, 0x3f);
                history.put(vec![late], false);
                history.settle();
            }
        }
        history.expire(long_after);
        compare(&reader(history.store()), &ids, &truth, Range::ALL, finest);
    }
}

#[test]
fn a_cut_within_an_hour_leaves_the_rest_of_it() {
    for settled in [false, true] {
        let mut history = six_hours();
        if settled {
            history.settle();
        }
        let cut = NOW + 3 * HOUR + 1_234_567;
        let mut expected = 0;
        for written in &mut history.written {
            let count = written.len();
            written.retain(|written| written.0 >= cut);
            expected += count - written.len();
        }
        let deleted = history.store().delete_before(at(cut)).unwrap().samples;
        assert_eq!(deleted, expected as u64);
        let truth = history.truth();
        let ids = history.ids.clone();
        compare(&reader(history.store()), &ids, &truth, Range::ALL, Tier::Raw);
        history.settle();
        compare(&reader(history.store()), &ids, &truth, Range::ALL, Tier::Raw);
    }
}
