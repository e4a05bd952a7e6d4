//! Collectors that behave, hang and fail, side by side. The fakes are driven by channels: nothing here sleeps for luck.

use super::*;
use crate::{
    collect::{Cadence, Change, Factory, Source, Successor, Times, Unchanged, Upgrade},
    model::{Batch, Event, Gap, GapScope, LocalSeries, PluginState, Resets, Round, Sample, Timestamp},
};
use std::sync::mpsc;
use twarga_plugin_api::Error;

#[path = "cost_tests.rs"]
mod cost;

const LIMIT: Duration = Duration::from_secs(20);

type Script = Box<dyn FnMut(u64) -> Result<(), Error> + Send>;

/// Puts one sample a collection, after what its script does with the collection's number.
struct Scripted {
    script: Arc<Mutex<Script>>,
    collections: u64,
    base: LocalSeries,
}

impl Source for Scripted {
    fn collect(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.collections += 1;
        (self.script.lock().unwrap())(self.collections)?;
        batch.samples.push(Sample { series: self.base, reset: false, value: self.collections as f64 });
        Ok(())
    }
    fn live_series(&self) -> usize {
        1
    }
    fn live_ids(&self) -> Vec<LocalSeries> {
        vec![self.base]
    }
    fn next_base(&self) -> LocalSeries {
        self.base + 1
    }
    fn renumber(&mut self, base: LocalSeries, _: &mut Resets<LocalSeries>) {
        self.base = base;
    }
    fn refused(&self) -> u64 {
        0
    }
}

struct Maker(Arc<Mutex<Script>>);

impl Factory for Maker {
    fn make(&mut self, base: LocalSeries) -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(Scripted { script: Arc::clone(&self.0), collections: 0, base }))
    }
}

fn job(
    id: u32,
    interval: Duration,
    deadline: Duration,
    script: impl FnMut(u64) -> Result<(), Error> + Send + 'static,
) -> JobOptions {
    let status = PluginStatus::new(&format!("job{id}"), "", PluginState::Running, interval, deadline);
    JobOptions {
        id: CollectorId(id),
        name: format!("job{id}").into(),
        cadence: Cadence::new(interval, Duration::ZERO),
        interval,
        deadline,
        jitter: Duration::ZERO,
        max_cpu: None,
        factory: Box::new(Maker(Arc::new(Mutex::new(Box::new(script))))),
        status: Arc::new(Mutex::new(status)),
    }
}

fn start(jobs: Vec<JobOptions>) -> (Collecting, mpsc::Receiver<Round>) {
    let (sender, rounds) = mpsc::channel();
    let output: Output = Box::new(move |round| sender.send(round).map_err(|lost| lost.0));
    (Collecting::start(jobs, Vec::new(), output, Arc::default()).unwrap(), rounds)
}

/// The rounds until this holds of one of them.
fn until(rounds: &mpsc::Receiver<Round>, mut done: impl FnMut(&Round) -> bool) -> Vec<Round> {
    let mut seen = Vec::new();
    loop {
        let round = rounds.recv_timeout(LIMIT).expect("the rounds ended early");
        let last = done(&round);
        seen.push(round);
        if last {
            return seen;
        }
    }
}

fn batches(rounds: &[Round], id: u32) -> Vec<&Batch> {
    rounds
        .iter()
        .flat_map(|round| &round.batches)
        .filter(|batch| batch.collector == CollectorId(id))
        .collect()
}

/// Asks for a collection; the answer comes over a channel.
fn ask(collecting: &Collecting, id: u32) -> mpsc::Receiver<Result<(), CollectError>> {
    let (sender, answer) = mpsc::channel();
    collecting.collect(CollectorId(id), Box::new(move |result| sender.send(result).unwrap()));
    answer
}

const TICK: Duration = Duration::from_millis(100);

#[test]
fn primes_twice_and_ticks_on_the_grid() {
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, |_| Ok(()))]);
    let mut count = 0;
    let seen = until(&rounds, |round| {
        count += round.batches.len();
        count >= 6
    });
    let times: Vec<i64> = batches(&seen, 0).iter().map(|batch| batch.time.as_millis()).collect();
    assert!((250..1000).contains(&(times[1] - times[0])), "{times:?}");
    assert!(times[2..].windows(2).all(|pair| pair[1] > pair[0]), "{times:?}");
    assert!(collecting.primed());
    assert_eq!(collecting.stop(LIMIT), 0);
    let status = &collecting.statuses()[0];
    assert!(status.collections >= 6 && status.failures == 0, "{status:?}");
}

#[test]
fn one_tick_is_one_round() {
    let (collecting, rounds) = start((0..5).map(|id| job(id, TICK, TICK, |_| Ok(()))).collect());
    let mut full = 0;
    until(&rounds, |round| {
        full += usize::from(round.batches.len() == 5);
        full == 4
    });
    collecting.stop(LIMIT);
}

#[test]
fn a_slow_collector_keeps_its_ticks_beside_a_slower_one() {
    let (slow, hourly) = (Duration::from_millis(40), Duration::from_secs(3600));
    let work = move |_| {
        let began = Instant::now();
        while began.elapsed() < slow {
            std::hint::spin_loop(); // work, not sleep: it takes this long whatever the machine does
        }
        Ok(())
    };
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, work), job(1, hourly, hourly, |_| Ok(()))]);
    let mut collected = 0;
    until(&rounds, |round| {
        collected += round.batches.iter().filter(|batch| batch.collector == CollectorId(0)).count();
        collected == 10
    });
    assert!(collecting.primed());
    collecting.stop(LIMIT);
}

#[test]
fn gaps_are_told_when_they_have_happened_and_up_to_the_stop() {
    let script = |_| Err(Error::transient("no luck"));
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, script)]);
    let mut failures = 0;
    let mut seen = until(&rounds, |round| {
        assert!(round.gaps.iter().all(|gap| gap.to <= Timestamp::now()), "{:?}", round.gaps);
        failures += round.batches.len();
        failures == 5 // it backs off by now
    });
    collecting.stop(LIMIT);
    seen.extend(rounds.try_iter());
    let mut gaps: Vec<&Gap> = seen.iter().flat_map(|round| &round.gaps).collect();
    gaps.sort_by_key(|gap| gap.from);
    let now = Timestamp::now();
    let last = gaps.last().unwrap();
    assert!(last.to <= now && now.millis_since(last.to) <= 200, "{last:?} at {now}");
    let between = gaps.windows(2).map(|pair| pair[1].from.millis_since(pair[0].to)).skip(1);
    // a late tick is told with its own time
    assert!(between.clone().all(|millis| (50..150).contains(&millis)), "{gaps:?}");
}

#[test]
fn a_collection_on_demand_ends_a_back_off_and_tells_the_truth_about_it() {
    let mut failing = 6;
    let script = move |_| {
        failing -= 1;
        if failing >= 0 { Err(Error::transient("no luck")) } else { Ok(()) }
    };
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, script)]);
    let mut failures = 0;
    let mut seen = until(&rounds, |round| {
        failures += round.batches.len();
        failures == 6
    });
    ask(&collecting, 0).recv_timeout(LIMIT).unwrap().unwrap();
    let mut good = 0;
    seen.extend(until(&rounds, |round| {
        good += round.batches.iter().filter(|batch| batch.complete).count();
        good == 4
    }));
    collecting.stop(LIMIT);
    let gaps: Vec<&Gap> = seen.iter().flat_map(|round| &round.gaps).collect();
    assert!(gaps.iter().all(|gap| gap.reason == GapReason::Failed("no luck".into())), "{gaps:?}");
    assert_eq!(collecting.statuses()[0].skipped, 0);
    let first = batches(&seen, 0).iter().find(|batch| batch.complete).unwrap().time;
    assert!(gaps.iter().all(|gap| gap.to <= first), "{gaps:?} and {first}");
}

#[test]
fn who_does_not_run_has_a_gap_that_says_why() {
    let (sender, rounds) = mpsc::channel();
    let output: Output = Box::new(move |round| sender.send(round).map_err(|lost| lost.0));
    let began = Timestamp::now();
    let idle = vec![("off".into(), GapReason::Disabled)];
    let collecting =
        Collecting::start(vec![job(0, TICK, TICK, |_| Ok(()))], idle, output, Arc::default()).unwrap();
    let mut primed = 0;
    until(&rounds, |round| {
        primed += round.batches.len();
        primed == 2
    });
    collecting.stop(LIMIT);
    let gaps: Vec<Gap> = rounds.try_iter().flat_map(|round| round.gaps).collect();
    assert_eq!((gaps.len(), &gaps[0].reason), (1, &GapReason::Disabled));
    assert!(gaps[0].from >= began && gaps[0].to <= Timestamp::now(), "{gaps:?}");
}

#[test]
fn a_hanging_collector_costs_the_others_nothing() {
    let (release, held) = mpsc::channel::<()>();
    // wide enough that a busy machine's own stalls lose no tick
    let (interval, deadline) = (Duration::from_millis(300), Duration::from_millis(350));
    let hangs = job(0, interval, deadline, move |collection| {
        if collection == 3 {
            let _ = held.recv_timeout(LIMIT);
        }
        Ok(())
    });
    let (collecting, rounds) = start(vec![hangs, job(1, interval, interval, |_| Ok(()))]);
    let mut stuck = 0;
    let seen = until(&rounds, |round| {
        let state = collecting.statuses()[0].state;
        stuck += usize::from(state == PluginState::Stuck && !round.batches.is_empty());
        stuck == 6
    });
    let healthy: Vec<i64> = batches(&seen, 1).iter().map(|batch| batch.time.as_millis()).collect();
    let widest = healthy[2..].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    let skipped = collecting.statuses()[1].skipped;
    assert_eq!(skipped, 0, "ticks lost, widest gap {widest} ms");
    let gaps: Vec<&Gap> = seen.iter().flat_map(|round| &round.gaps).collect();
    assert!(gaps.iter().any(|gap| gap.reason == GapReason::Timeout), "{gaps:?}");
    assert_eq!(ask(&collecting, 0).recv().unwrap(), Err(CollectError::Stuck));
    let status = &collecting.statuses()[0];
    assert_eq!(status.missed_deadlines, 1);
    assert!(status.reason.as_deref().unwrap().contains("deadline"), "{status:?}");

    release.send(()).unwrap();
    until(&rounds, |round| {
        round.batches.iter().any(|batch| batch.collector == CollectorId(0) && !batch.samples.is_empty())
    });
    assert_eq!(collecting.stop(LIMIT), 0);
    assert_eq!(collecting.statuses()[0].state, PluginState::Running);
}

#[test]
fn a_stuck_call_does_not_hold_up_the_stop() {
    let (release, held) = mpsc::channel::<()>();
    let hangs = job(0, TICK, TICK, move |_| {
        let _ = held.recv_timeout(LIMIT);
        Ok(())
    });
    let (collecting, rounds) = start(vec![hangs, job(1, TICK, TICK, |_| Ok(()))]);
    until(&rounds, |round| !round.batches.is_empty());
    assert_eq!(collecting.stop(Duration::from_millis(50)), 1);
    drop(release);
}

#[test]
fn a_failing_collector_is_left_alone_and_comes_back() {
    let failing = job(0, TICK, TICK, |collection| match collection {
        2..=5 => Err(Error::transient("no luck")),
        _ => Ok(()),
    });
    let (collecting, rounds) = start(vec![failing]);
    let mut events = Vec::new();
    let seen = until(&rounds, |round| {
        events.extend(round.events.iter().map(|event| event.kind.clone()));
        events.iter().any(|kind| kind == "plugin_recovered")
    });
    assert_eq!(events, ["plugin_failed", "plugin_recovered"]);
    let gaps: Vec<&Gap> = seen.iter().flat_map(|round| &round.gaps).collect();
    assert!(gaps.iter().all(|gap| gap.reason == GapReason::Failed("no luck".into())), "{gaps:?}");
    let ends: Vec<&Batch> = batches(&seen, 0).into_iter().filter(|batch| !batch.samples.is_empty()).collect();
    let (last_good, first_good) = (ends[0].time, ends[1].time);
    assert!(gaps.iter().all(|gap| gap.from > last_good && gap.to < first_good), "{gaps:?}");
    collecting.stop(LIMIT);
    assert_eq!(collecting.statuses()[0].failures, 4);
}

#[test]
fn a_lost_collector_is_made_anew_with_new_numbers() {
    let mut panicked = false;
    let script = move |collection| {
        if collection == 3 && !panicked {
            panicked = true;
            return Err(Error::fatal("gone"));
        }
        Ok(())
    };
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, script)]);
    let seen =
        until(&rounds, |round| round.batches.iter().any(|batch| batch.samples.iter().any(|s| s.series == 1)));
    let retired: Vec<LocalSeries> =
        batches(&seen, 0).iter().flat_map(|batch| batch.retired.clone()).collect();
    assert_eq!(retired, [0]);
    collecting.stop(LIMIT);
    assert_eq!(collecting.statuses()[0].restarts, 1);
}

#[test]
fn what_can_not_work_is_not_tried_again() {
    let script = |_| Err(Error::config("key", "wrong"));
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, script), job(1, TICK, TICK, |_| Ok(()))]);
    let mut ticks = 0;
    let seen = until(&rounds, |round| {
        ticks += round.batches.len();
        ticks > 6
    });
    assert_eq!(batches(&seen, 0).len(), 1);
    assert!(collecting.primed());
    let status = &collecting.statuses()[0];
    assert_eq!((status.state, status.reason.as_deref()), (PluginState::Refused, Some("key: wrong")));
    assert_eq!(ask(&collecting, 0).recv().unwrap(), Err(CollectError::NotRunning));
    collecting.stop(LIMIT);
}

#[test]
fn who_asks_hears_of_a_failure_and_does_no_harm() {
    let hour = Duration::from_secs(3600);
    let script = |collection| if collection > 2 { Err(Error::transient("broken")) } else { Ok(()) };
    let (collecting, rounds) = start(vec![job(0, hour, hour, script)]);
    let mut primed = 0;
    until(&rounds, |round| {
        primed += round.batches.len();
        primed == 2
    });
    for _ in 0..20 {
        let answer = ask(&collecting, 0).recv_timeout(LIMIT).unwrap();
        assert_eq!(answer, Err(CollectError::Failed("broken".into())));
    }
    collecting.stop(LIMIT);
    assert_eq!(collecting.statuses()[0].state, PluginState::Running);
}

#[test]
fn collects_when_asked() {
    let hour = Duration::from_secs(3600);
    let (collecting, rounds) = start(vec![job(0, hour, hour, |_| Ok(()))]);
    let mut primed = 0;
    until(&rounds, |round| {
        primed += round.batches.len();
        primed == 2
    });
    ask(&collecting, 0).recv_timeout(LIMIT).unwrap().unwrap();
    let round = rounds.try_recv().expect("handed over before the answer");
    assert_eq!(round.batches[0].samples[0].value, 3.0);
    collecting.stop(LIMIT);
}

#[path = "late_tests.rs"]
mod late;

#[path = "lanes_changes_tests.rs"]
mod changes;

#[path = "ended_tests.rs"]
mod ended;
