//! Random work on a store and on a plain list; both must agree.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SERIES: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    /// Moves the clock, then commits batches: how long before now, and of which series.
    Commit {
        clock: i64,
        new_run: bool,
        batches: Vec<(i64, BTreeSet<usize>)>,
    },
    Delete {
        before: i64,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let clock = prop_oneof![8 => 0..5_000_i64, 2 => -5_000..0_i64, 1 => -2 * HOUR..2 * HOUR, 1 => Just(0)];
    let age = prop_oneof![6 => 0..50_i64, 2 => 0..200_000_i64];
    let batch = (age, prop::collection::btree_set(0..SERIES, 0..=SERIES));
    let commit = (clock, prop::bool::weighted(0.1), prop::collection::vec(batch, 0..4))
        .prop_map(|(clock, new_run, batches)| Step::Commit { clock, new_run, batches });
    let delete = prop_oneof![-HOUR..1000_i64, -20_000..1000_i64].prop_map(|before| Step::Delete { before });
    prop::collection::vec(prop_oneof![20 => commit, 2 => delete, 1 => Just(Step::Reopen)], 1..60)
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
            Step::Delete { before } => {
                let before = self.now + before;
                let count = self.list.len();
                self.list.retain(|point| point.0 >= before);
                let deleted = self.store().delete_before(at(before)).unwrap().samples;
                prop_assert_eq!(deleted, (count - self.list.len()) as u64);
            }
            Step::Reopen => {
                self.store = None;
                self.store = Some(open(&self.directory));
                self.run = self.run_used + 1;
            }
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

    fn compare(&self, range: (i64, i64), limit: usize) -> Result<(), TestCaseError> {
        let reader = reader(self.store.as_ref().unwrap());
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
            if limit == usize::MAX {
                found.sort_unstable_by(|a, b| b.cmp(a));
                prop_assert_eq!(found, expected);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_like_a_list(steps in steps(), from in -HOUR..HOUR, length in 0..HOUR, limit in 1..20_usize) {
        let directory = TempDir::new().unwrap();
        let mut store = open(&directory);
        let ids = series(&mut store, SERIES);
        store.commit(&Commit::default()).unwrap();
        let mut both = Both {
            directory, store: Some(store), ids, list: Vec::new(), now: NOW, run: 1, run_used: 0, next_value: 0,
        };
        for step in steps {
            both.step(step)?;
        }
        both.compare((i64::MIN, i64::MAX), usize::MAX)?;
        both.compare((i64::MIN, i64::MAX), limit)?;
        both.compare((both.now + from, both.now + from + length), limit)?;
        both.compare((both.now + from, both.now + from + length), usize::MAX)?;
    }
}
