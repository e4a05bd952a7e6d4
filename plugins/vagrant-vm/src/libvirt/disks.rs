//! What disk images take. An image on a network file system that hangs must not hold up what is said of other machines.
//!
//! Those that are known are looked at [ahead](Ahead) of the provider, by the same thread as long as none hangs. What that did
//! not bring is looked up by a thread of its own.

use super::{host::Host, stats::Extent};
use crate::machine::Reason;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Images that hang, each with a thread that waits for it. With so many of one owner, no more of that owner's are looked at;
/// with so many in all, nobody's.
const MAX_STUCK: usize = 4;
const MAX_STUCK_IN_ALL: usize = 32;
/// One owner's images get this part of the time that is left, where there are others.
const SHARE: u32 = 4;
/// An image that takes longer to be looked at hangs.
const PATIENCE: Duration = Duration::from_millis(100);

const SILENT: &str = "its disk does not answer";

/// Whose an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    /// The user whom it must belong to; none where a user's own word doesn't name it.
    pub(super) uid: Option<u32>,
    /// The owner of the machine: what hangs counts against this user.
    pub(super) owner: u32,
}

pub(super) type Image = (PathBuf, Whose);
pub(super) type Extents = HashMap<Image, Result<Extent, Reason>>;
type Look = dyn Fn(&Path, Whose) -> Result<Extent, Reason> + Send + Sync;

/// What is to be looked at, in this order, and what came of it so far.
type Round = Arc<(Vec<Image>, Mutex<Vec<Result<Extent, Reason>>>)>;

/// What was looked up ahead is of this poll.
const FRESH: Duration = Duration::from_secs(1);

/// The images of the last poll, to be looked at ahead of the next one.
#[derive(Default)]
struct Ahead {
    images: Arc<Vec<Image>>,
    /// Of the first of them, and when that was begun.
    told: Vec<Result<Extent, Reason>>,
    began: Option<Instant>,
}

impl Ahead {
    /// Looks at the images one after the other. Where one hangs, the others before it are told.
    fn work(shared: &Mutex<Self>, look: &Look) {
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        let images = {
            let mut ahead = lock();
            ahead.told.clear();
            ahead.began = Some(Instant::now());
            Arc::clone(&ahead.images)
        };
        for (path, whose) in &*images {
            let extent = look(path, *whose);
            let mut ahead = lock();
            if !Arc::ptr_eq(&images, &ahead.images) {
                return; // it took long, and there are others now
            }
            ahead.told.push(extent);
        }
    }

    /// What was looked up just now.
    fn take(&mut self) -> Extents {
        let fresh = self.began.take().is_some_and(|began| began.elapsed() < FRESH);
        let told = std::mem::take(&mut self.told);
        if fresh { self.images.iter().cloned().zip(told).collect() } else { Extents::new() }
    }
}

const NO_TIME: &str = "there was no time to look at its disk";

/// See the [module](self).
pub(super) struct Disks {
    look: Arc<Look>,
    patience: Duration,
    ahead: Arc<Mutex<Ahead>>,
    worker: Option<Worker>,
    /// Images that hung, until the thread that waits for them ends.
    stuck: HashMap<Image, Weak<()>>,
    /// How long each owner's take: the last time, or a time before, which counts ever less.
    took: HashMap<u32, Duration>,
}

struct Worker {
    rounds: SyncSender<(u64, Round)>,
    /// The numbers of finished rounds.
    done: Receiver<u64>,
    last: u64,
    alive: Weak<()>,
}

impl Disks {
    pub(super) fn new(host: Arc<Host>) -> Self {
        Self::with(PATIENCE, Arc::new(move |path, whose| host.extent(path, whose.uid)))
    }

    pub(super) fn with(patience: Duration, look: Arc<Look>) -> Self {
        Self {
            look,
            patience,
            ahead: Arc::default(),
            worker: None,
            stuck: HashMap::new(),
            took: HashMap::new(),
        }
    }

    /// The work that may be done ahead of each [`Disks::look`].
    pub(super) fn ahead(&self) -> Box<dyn FnMut() + Send> {
        let (ahead, look) = (Arc::clone(&self.ahead), Arc::clone(&self.look));
        Box::new(move || Ahead::work(&ahead, &*look))
    }

    /// What these images take, as far as that can be told by then.
    pub(super) fn look(&mut self, images: HashSet<Image>, until: Instant) -> Extents {
        self.stuck.retain(|_, waits| waits.strong_count() > 0);
        let mut extents = self.looked_ahead(&images);
        if extents.len() == images.len() {
            // nothing hangs
            self.worker = None;
            return extents;
        }
        // whoever was slow is, even where not all of that owner's are looked at now
        let whose: HashSet<u32> = images.iter().map(|(_, whose)| whose.owner).collect();
        self.took.retain(|owner, _| whose.contains(owner));
        let mut left: BTreeMap<u32, Vec<Image>> = BTreeMap::new();
        for image in images {
            if extents.contains_key(&image) {
                continue;
            }
            if self.stuck.contains_key(&image) {
                extents.insert(image, Err(SILENT.into()));
            } else {
                left.entry(image.1.owner).or_default().push(image);
            }
        }
        let mut owners: Vec<(Duration, u32, Vec<Image>)> = left
            .into_iter()
            .map(|(owner, images)| (self.took.get(&owner).copied().unwrap_or_default(), owner, images))
            .collect();
        owners.sort_by_key(|(took, ..)| *took);
        let share = if owners.len() > 1 { SHARE } else { 1 };
        for (took, owner, images) in owners {
            let began = Instant::now();
            let until = until.min(began + until.saturating_duration_since(began) / share);
            self.look_at(owner, images, until, &mut extents);
            self.took.insert(owner, began.elapsed().max(took * 7 / 8));
        }
        extents
    }

    /// Looks at the images of one owner.
    fn look_at(&mut self, owner: u32, mut left: Vec<Image>, until: Instant, extents: &mut Extents) {
        while !left.is_empty() {
            let own = self.stuck.keys().filter(|(_, whose)| whose.owner == owner).count();
            let full = own >= MAX_STUCK || self.stuck.len() >= MAX_STUCK_IN_ALL;
            if full || Instant::now() >= until {
                let reason = if full { "too many disks do not answer" } else { NO_TIME };
                extents.extend(left.drain(..).map(|image| (image, Err(reason.into()))));
                break;
            }
            let round: Round = Arc::new((std::mem::take(&mut left), Mutex::default()));
            let finished = self.work(&round, until);
            let told = std::mem::take(&mut *round.1.lock().unwrap_or_else(PoisonError::into_inner));
            let mut rest = round.0.iter().skip(told.len()).cloned();
            if let Some(hanging) = rest.next() {
                let reason = match finished {
                    Ok(()) => SILENT.into(),
                    Err(error) => format!("no thread to look at disks: {error}").into(),
                };
                if let Some(worker) = self.worker.take() {
                    self.stuck.insert(hanging.clone(), worker.alive);
                }
                extents.insert(hanging, Err(reason));
            }
            left = rest.collect();
            extents.extend(round.0.iter().cloned().zip(told));
        }
    }

    /// What was looked up ahead of these images; all of them are looked at ahead of the next poll, but for those that hang.
    fn looked_ahead(&self, images: &HashSet<Image>) -> Extents {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let mut extents = ahead.take();
        let known =
            ahead.images.len() == images.len() && ahead.images.iter().all(|image| images.contains(image));
        if !known || !self.stuck.is_empty() {
            extents.retain(|image, _| images.contains(image));
            let next = images.iter().filter(|image| !self.stuck.contains_key(*image));
            let mut next: Vec<Image> = next.cloned().collect();
            // those of owners whose images took long keep no other's from being told
            next.sort_by_key(|(_, whose)| self.took.get(&whose.owner).copied().unwrap_or_default());
            ahead.images = Arc::new(next);
        }
        extents
    }

    /// Has a round worked off, as far as that goes: while one image after the other is looked at, there is patience.
    fn work(&mut self, round: &Round, until: Instant) -> io::Result<()> {
        if self.worker.is_none() {
            self.worker = Some(Worker::start(Arc::clone(&self.look))?);
        }
        let Some(worker) = &mut self.worker else { return Ok(()) };
        worker.last += 1;
        if worker.rounds.send((worker.last, Arc::clone(round))).is_err() {
            return Ok(());
        }
        let mut seen = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match worker.done.recv_timeout(self.patience.min(left)) {
                // an earlier round's, which was finished after it was given up
                Ok(number) if number != worker.last => {}
                Ok(_) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    let progress = round.1.lock().unwrap_or_else(PoisonError::into_inner).len();
                    if progress == seen || left.is_zero() {
                        return Ok(());
                    }
                    seen = progress;
                }
            }
        }
    }
}

impl Worker {
    fn start(look: Arc<Look>) -> io::Result<Self> {
        let (rounds, to_do) = sync_channel::<(u64, Round)>(1);
        let (tell, done) = sync_channel::<u64>(4);
        let token = Arc::new(());
        let alive = Arc::downgrade(&token);
        thread::Builder::new().name("vm-disks".to_owned()).stack_size(128 << 10).spawn(move || {
            let _token = token;
            for (number, round) in to_do {
                for (path, whose) in &round.0 {
                    let extent = look(path, *whose);
                    // nobody waits for what took too long: its round was given up, and so is this thread
                    if Arc::strong_count(&round) == 1 {
                        return;
                    }
                    round.1.lock().unwrap_or_else(PoisonError::into_inner).push(extent);
                }
                if tell.send(number).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { rounds, done, last: 0, alive })
    }
}

#[cfg(test)]
mod tests;
