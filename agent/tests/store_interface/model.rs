//! Random work on a store and on a plain list; both must agree. Hours go by, so that rows become segments, parts of time
//! become blocks, and samples come late for them.

use super::{
    crashes::{check, snapshot},
    *,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

const SERIES: usize = 6;
/// Time that all work is within, about: some parts of the finest tier, now and then some days.
const SPAN: i64 = 12 * HOUR;

#[derive(Clone, Debug)]
enum Step {
    /// Moves the clock, then commits batches: how long before now, and of which series.
    Commit {
        clock: i64,
        new_run: bool,
        batches: Vec<(i64, BTreeSet<usize>)>,
    },
    /// So many commits of these series, one an interval.
    Ticks {
        count: i64,
        interval: i64,
        series: BTreeSet<usize>,
    },
    /// Commits without samples: what is under way goes on.
    Rest {
        commits: usize,
    },
    Delete {
        before: i64,
    },
    /// The process ends, in order or not.
    Reopen {
        killed: bool,
    },
    /// All that is there is looked at.
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let clock = prop_oneof![
        8 => 0..5_000_i64, 4 => 0..HOUR, 2 => -5_000..0_i64, 1 => -3 * HOUR..3 * HOUR, 1 => Just(24 * HOUR), 1 => Just(0)
    ];
    let age = prop_oneof![6 => 0..50_i64, 2 => 0..200_000_i64, 2 => 0..SPAN];
    let some = || prop::collection::btree_set(0..SERIES, 0..=SERIES);
    let commit = (clock, prop::bool::weighted(0.1), prop::collection::vec((age, some()), 0..4))
        .prop_map(|(clock, new_run, batches)| Step::Commit { clock, new_run, batches });
    let interval = prop_oneof![Just(1000_i64), Just(30_000), Just(60_000), Just(300_000)];
    let ticks = (1..150_i64, interval, some()).prop_map(|(count, interval, series)| Step::Ticks {
        count,
        interval,
        series,
    });
    let rest = (1..20_usize).prop_map(|commits| Step::Rest { commits });
    let delete = prop_oneof![2 => -SPAN..1000_i64, 1 => -20_000..1000_i64];
    let delete = delete.prop_map(|before| Step::Delete { before });
    let reopen = any::<bool>().prop_map(|killed| Step::Reopen { killed });
    let step =
        prop_oneof![12 => commit, 6 => ticks, 2 => rest, 1 => delete, 2 => reopen, 1 => Just(Step::Look)];
    prop::collection::vec(step, 1..40)
}

/// A point of the list: time, run, value; and its series.
type Known = (i64, u32, u64, usize);

struct Both {
    directory: TempDir,
    store: Option<Store>,
    ids: Vec<SeriesId>,
    list: Vec<Known>,
    now: i64,
    run: u32,
    /// The last run that wrote samples: one that wrote nothing leaves no trace.
    run_used: u32,
    next_value: u32,
}

impl Both {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut store = open(&directory);
        // of two collectors, so that they are in two groups
        let id = |n: usize| {
            let collector = if n.is_multiple_of(2) { "even" } else { "odd" };
            store.series(&def("m_total", &[("n", &n.to_string())]), collector).unwrap()
        };
        let ids = (0..SERIES).map(id).collect();
        store.commit(&Commit::default()).unwrap();
        Both {
            directory,
            store: Some(store),
            ids,
            list: Vec::new(),
            now: NOW,
            run: 1,
            run_used: 0,
            next_value: 0,
        }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Commit { clock, new_run, batches } => {
                self.now += clock;
                if new_run {
                    self.run += 1;
                }
                self.commit(new_run, batches);
            }
            Step::Ticks { count, interval, series } => {
                for _ in 0..count {
                    self.now += interval;
                    self.commit(false, vec![(0, series.clone())]);
                }
            }
            Step::Rest { commits } => (0..commits).for_each(|_| self.commit(false, Vec::new())),
            Step::Delete { before } => {
                let before = self.now + before;
                let count = self.list.len();
                self.list.retain(|point| point.0 >= before);
                let deleted = self.store().delete_before(at(before)).unwrap().samples;
                prop_assert_eq!(deleted, (count - self.list.len()) as u64);
            }
            Step::Reopen { killed } => {
                let left = killed.then(|| snapshot(&self.directory));
                self.store = None;
                if let Some(left) = left {
                    self.directory = left;
                }
                self.store = Some(open(&self.directory));
                self.run = self.run_used + 1;
            }
            Step::Look => self.compare((i64::MIN, i64::MAX), usize::MAX)?,
        }
        Ok(())
    }

    fn commit(&mut self, new_run: bool, batches: Vec<(i64, BTreeSet<usize>)>) {
        let mut written = Vec::new();
        for (age, chosen) in batches {
            let time = self.now - age;
            let mut samples = Vec::new();
            for n in chosen {
                self.next_value += 1;
                let value = f64::from(self.next_value) / 3.0;
                samples.push(sample(self.ids[n], value));
                self.list.push((time, self.run, value.to_bits(), n));
                self.run_used = self.run;
            }
            written.push(StoredBatch { time: at(time), samples });
        }
        self.store().commit(&Commit { batches: written, new_run, ..Commit::default() }).unwrap();
    }

    /// Compares what the writer's reader and that of another process find.
    fn compare(&self, range: (i64, i64), limit: usize) -> Result<(), TestCaseError> {
        let store = self.store.as_ref().unwrap();
        let readers = [store.readers(), of_file(&self.directory)];
        for reader in readers.map(|readers| readers.reader().unwrap()) {
            self.compare_with(&reader, range, limit)?;
        }
        Ok(())
    }

    fn compare_with(&self, reader: &Reader, range: (i64, i64), limit: usize) -> Result<(), TestCaseError> {
        let asked = Range { from: at(range.0), to: at(range.1) };
        for (n, points) in reader.last_of_many(&self.ids, asked, limit).unwrap().into_iter().enumerate() {
            let mut expected: Vec<(i64, u32, u64)> = Vec::new();
            for (time, run, value, series) in &self.list {
                if *series == n && (range.0..=range.1).contains(time) {
                    expected.push((*time, *run, *value));
                }
            }
            expected.sort_unstable_by(|a, b| b.cmp(a));
            let order = |points: &[(i64, u32, u64)]| -> Vec<(i64, u32)> {
                points.iter().map(|(time, run, _)| (*time, *run)).take(limit).collect()
            };
            let mut found: Vec<(i64, u32, u64)> =
                points.iter().map(|p| (p.time.as_millis(), p.run, p.value.to_bits())).collect();
            prop_assert_eq!(order(&found), order(&expected));
            prop_assert_eq!(&reader.last(self.ids[n], asked, limit).unwrap(), &points);
            found.sort_unstable_by(|a, b| b.cmp(a));
            if limit == usize::MAX {
                prop_assert_eq!(found, expected);
            } else {
                prop_assert!(found.windows(2).all(|two| two[0] != two[1]), "each once");
                prop_assert!(found.iter().all(|point| expected.binary_search_by(|e| point.cmp(e)).is_ok()));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_like_a_list(steps in steps(), from in -SPAN..HOUR, length in 0..SPAN, limit in 1..200_usize) {
        let mut both = Both::new();
        for step in steps {
            both.step(step)?;
        }
        both.compare((i64::MIN, i64::MAX), usize::MAX)?;
        both.compare((i64::MIN, i64::MAX), limit)?;
        both.compare((both.now + from, both.now + from + length), limit)?;
        both.compare((both.now + from, both.now + from + length), usize::MAX)?;
        check(&both.directory);
    }
}
