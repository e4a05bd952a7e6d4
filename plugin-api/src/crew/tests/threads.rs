//! What the threads of a crew are like, and those of its owner.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Needs more of its stack than small ones have: the array, and unoptimized a copy or two of it.
struct Deep(usize);

impl Task for Deep {
    fn work(&mut self) {
        let bytes = std::hint::black_box([1_u8; 512 << 10]);
        self.0 = bytes.iter().map(|byte| usize::from(*byte)).sum();
    }
}

#[test]
fn a_task_has_the_stack_of_a_usual_thread() {
    let crew = Crew::new("test-crew", TIMING);
    let at = crew.add(Deep(0));
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(crew.with(at, |deep| deep.0), Some(512 << 10));
}

/// A crew that has a task in its hands, and the gate and the place of it.
fn at_work() -> (Arc<Crew<Counting>>, Sender<()>, usize) {
    let crew = Arc::new(Crew::new("test-crew", TIMING));
    let (open, hanging) = gated();
    let at = crew.add(hanging);
    crew.begin(|_| true).unwrap();
    // who came sooner would look again after the handover
    until(|| crew.with(at, |_| ()).is_none());
    (crew, open, at)
}

/// Another thread that waits for what was begun; tells when it is back.
fn waits(crew: &Arc<Crew<Counting>>) -> Receiver<()> {
    let (tell, back) = channel();
    let (waiter, before) = (Arc::clone(crew), crew.shared.lock().waiting);
    thread::spawn(move || {
        waiter.wait(soon(600_000)).unwrap();
        let _ = tell.send(());
    });
    until(|| crew.shared.lock().waiting > before);
    back
}

#[test]
fn nobody_waits_for_a_task_that_another_thread_removes() {
    let (crew, _open, at) = at_work();
    let back = waits(&crew);
    crew.remove(at);
    back.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn who_gives_up_leaves_those_that_wait_as_well_their_answer() {
    let (crew, open, at) = at_work();
    let (first, second) = (waits(&crew), waits(&crew));
    crew.wait(soon(20)).unwrap();
    assert!(first.try_recv().is_err() && second.try_recv().is_err(), "their time is not over");
    open.send(()).unwrap();
    for back in [first, second] {
        back.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    assert_eq!(crew.with(at, |task| task.done), Some(1));
}

/// Does not know its place the first time.
struct Unsure {
    asked: AtomicBool,
    done: bool,
}

impl Task for Unsure {
    fn work(&mut self) {
        self.done = true;
    }

    fn rank(&self, _: bool) -> Rank {
        assert!(self.asked.swap(true, SeqCst), "planned");
        Rank::Usual
    }
}

#[test]
fn a_task_whose_rank_panicked_is_done_in_the_next_round() {
    let crew = Crew::new("test-crew", TIMING);
    let at = crew.add(Unsure { asked: AtomicBool::new(false), done: false });
    let round = || crew.round(soon(60_000), |_| true);
    panic::catch_unwind(AssertUnwindSafe(round)).unwrap_err();
    round().unwrap();
    assert_eq!(crew.with(at, |task| task.done), Some(true));
}
