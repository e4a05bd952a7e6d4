//! A new version of a plugin is tried out beside the old one, before it may take over.

use crate::{
    collect::{Factory, PRIMING_PAUSE, Successor},
    host::threads::Owner,
    model::{Batch, CollectorId, Resets, Timestamp},
};
use std::{
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout};

/// How long loading may take.
const LOADING: Duration = Duration::from_secs(10);
/// Rates need two readings, and a second one may fail where the first went well.
const COLLECTIONS: u32 = 2;

/// Loads something and makes collectors of it.
pub(super) type Load<T> = Box<dyn FnOnce() -> Result<(T, Box<dyn Factory>), String> + Send>;

/// What was tried out and may take over: what was loaded, what makes its collectors, and the one that has shown that it
/// works.
pub(super) type Proved<T> = (T, Box<dyn Factory>, Successor);

/// Why something must not take over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    /// For people.
    pub(super) reason: String,
    /// It came back, or was ended, after its deadline: a machine that was busy just then may be why, and another try may
    /// go well.
    pub(super) is_late: bool,
}

impl From<String> for Unfit {
    fn from(reason: String) -> Self {
        Self { reason, is_late: false }
    }
}

/// Loads on a thread of its own, which counts as the owner's, makes a collector and collects twice, each time within
/// `deadline`. Gives the collector and what it was made from, if no error came and one valid sample at least. A thread
/// that does not come back is left behind, and is not late in the sense of [`Unfit`]: each further try would leave
/// another one behind.
///
/// # Errors
/// Why it must not take over.
pub(super) async fn try_out<T: Send + 'static>(
    load: Load<T>,
    owner: Option<Owner>,
    deadline: Duration,
) -> Result<Proved<T>, Unfit> {
    let (sender, answer) = oneshot::channel();
    let thread = thread::Builder::new().name("canary".into());
    let spawned = thread.spawn(move || {
        let _lent = owner.as_ref().map(Owner::lend);
        let tried = load().map_err(Unfit::from).and_then(|(loaded, mut factory)| {
            let successor = collect(&mut *factory, deadline)?;
            Ok((loaded, factory, successor))
        });
        let _ = sender.send(tried); // perhaps nobody waits any more
    });
    spawned.map_err(|error| format!("no thread to try it out on: {error}"))?;
    let patience = LOADING + (deadline + PRIMING_PAUSE) * COLLECTIONS;
    match timeout(patience, answer).await {
        Ok(Ok(tried)) => tried,
        Ok(Err(_)) => Err("it ended the thread that tried it out".to_string().into()),
        Err(_) => Err(format!("it has not come back within {:.1} s", patience.as_secs_f64()).into()),
    }
}

fn collect(factory: &mut dyn Factory, deadline: Duration) -> Result<Successor, Unfit> {
    let mut source = factory.make(0).map_err(|error| format!("no collector could be made: {error}"))?;
    let (mut samples, mut resets) = (0, Resets::default());
    for round in 1..=COLLECTIONS {
        if round > 1 {
            thread::sleep(PRIMING_PAUSE);
        }
        let mut batch = Batch::new(CollectorId(u32::MAX)); // handed to nobody
        batch.time = Timestamp::now();
        let began = Instant::now();
        let result = source.collect(&mut batch);
        let took = began.elapsed();
        if let Err(error) = result {
            let reason = format!("collection {round} failed: {error}");
            return Err(Unfit { reason, is_late: source.overran() });
        }
        if took > deadline {
            let (took, limit) = (took.as_secs_f64(), deadline.as_secs_f64());
            let reason = format!("collection {round} took {took:.1} s, its deadline is {limit:.1} s");
            return Err(Unfit { reason, is_late: true });
        }
        samples += batch.samples.len();
        resets.keep(batch.samples.iter().filter(|sample| sample.reset).map(|sample| sample.series));
        batch.retired.iter().for_each(|series| resets.forget(*series));
    }
    match (samples, source.refused()) {
        (0, 0) => Err("it brought no samples".to_string().into()),
        (0, refused) => Err(format!("it brought no valid samples: {refused} were refused").into()),
        _ => Ok(Successor::new(source, resets)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        collect::Source,
        model::{LocalSeries, Sample},
    };
    use std::sync::{Arc, Mutex, mpsc};
    use twarga_plugin_api::Error;

    type Script = Box<dyn FnMut(u32, &mut Batch) -> Result<(), Error> + Send>;

    struct Scripted(Arc<Mutex<Script>>, u32);

    impl Source for Scripted {
        fn collect(&mut self, batch: &mut Batch) -> Result<(), Error> {
            self.1 += 1;
            (self.0.lock().unwrap())(self.1, batch)
        }
        fn live_series(&self) -> usize {
            0
        }
        fn live_ids(&self) -> Vec<LocalSeries> {
            Vec::new()
        }
        fn next_base(&self) -> LocalSeries {
            0
        }
        fn renumber(&mut self, _: LocalSeries, _: &mut Resets<LocalSeries>) {}
        fn refused(&self) -> u64 {
            0
        }
    }

    struct Maker(Arc<Mutex<Script>>);

    impl Factory for Maker {
        fn make(&mut self, _: LocalSeries) -> Result<Box<dyn Source>, Error> {
            Ok(Box::new(Scripted(Arc::clone(&self.0), 0)))
        }
    }

    fn outcome(
        deadline: Duration,
        script: impl FnMut(u32, &mut Batch) -> Result<(), Error> + Send + 'static,
    ) -> Result<u8, Unfit> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let factory = Maker(Arc::new(Mutex::new(Box::new(script))));
        let load: Load<u8> = Box::new(move || Ok((7, Box::new(factory))));
        runtime.block_on(try_out(load, None, deadline)).map(|(loaded, ..)| loaded)
    }

    const LIMIT: Duration = Duration::from_secs(20);

    fn put(batch: &mut Batch) {
        batch.samples.push(Sample { series: 0, reset: false, value: 1.0 });
    }

    #[test]
    fn what_collects_twice_may_take_over() {
        assert_eq!(
            outcome(LIMIT, |_, batch| {
                put(batch);
                Ok(())
            }),
            Ok(7)
        );
        let second = |round, batch: &mut Batch| {
            if round == 2 {
                put(batch);
            };
            Ok(())
        };
        assert_eq!(outcome(LIMIT, second), Ok(7), "the first reading may bring no rates");
    }

    fn unfit(reason: &str) -> Result<u8, Unfit> {
        Err(reason.to_string().into())
    }

    #[test]
    fn what_fails_or_says_nothing_may_not() {
        assert_eq!(outcome(LIMIT, |_, _| Ok(())), unfit("it brought no samples"));
        let fails = |round, batch: &mut Batch| {
            put(batch);
            if round == 2 { Err(Error::transient("planned")) } else { Ok(()) }
        };
        assert_eq!(outcome(LIMIT, fails), unfit("collection 2 failed: planned"));
        let panics = |_, _: &mut Batch| panic!("planned, on the canary's thread");
        assert_eq!(outcome(LIMIT, panics), unfit("it ended the thread that tried it out"));
    }

    #[test]
    fn what_takes_too_long_may_not() {
        let (sender, wait) = mpsc::channel::<()>();
        let slow = move |_, batch: &mut Batch| {
            put(batch);
            let _ = wait.recv_timeout(Duration::from_millis(50)); // never sent
            Ok(())
        };
        let error = outcome(Duration::from_millis(20), slow).unwrap_err();
        let reason = "collection 1 took 0.1 s, its deadline is 0.0 s".into();
        assert_eq!(error, Unfit { reason, is_late: true });
        drop(sender);
    }
}
