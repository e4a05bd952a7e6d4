//! The threads of this process that were seen, whose they are, and what each plugin's have used.

use super::{
    mark::{Mark, Marked, Number, processor_time},
    task::{Identity, TaskFolder},
};
use crate::model::OwnThreads;
use rustc_hash::FxHashMap;
use std::{
    fs, io,
    os::unix::fs::DirEntryExt,
    sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

/// Between two looks at the list of threads, once plugins start no new ones.
const LOOK: Duration = Duration::from_secs(10);
/// The first time between two looks; from then on twice the time before.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// So many threads are told apart; what more there are is nobody's.
const MOST: usize = 1024;

/// A plugin's account.
struct Account {
    name: String,
    mark: Mark,
    /// What its threads have used, of those that ended as far as it was seen; and its calls while they lasted.
    cpu: Duration,
    /// What of it is of calls that came back after all.
    returned: Duration,
}

/// A thread that calls plugins: what it says of its present call, without a lock.
#[derive(Default)]
pub(super) struct Caller {
    /// Odd during a call.
    calls: AtomicU64,
    number: AtomicU16,
    /// The ledger knows of this call.
    followed: AtomicBool,
}

impl Caller {
    /// Begins a call of this plugin, unless the thread is in one.
    pub(super) fn begin(&self, number: Number) -> bool {
        if self.calls.load(SeqCst) % 2 == 1 {
            return false;
        }
        self.number.store(number.index() as u16, SeqCst);
        self.calls.fetch_add(1, SeqCst);
        true
    }

    /// Ends the call; whether the ledger must hear of that.
    pub(super) fn end(&self) -> bool {
        self.calls.fetch_add(1, SeqCst);
        self.followed.swap(false, SeqCst)
    }

    /// The present call, and the plugin that is called.
    fn call(&self) -> Option<(u64, usize)> {
        let call = self.calls.load(SeqCst);
        let number = self.number.load(SeqCst);
        (call % 2 == 1 && self.calls.load(SeqCst) == call).then_some((call, number.into()))
    }
}

/// A call that was under way at a look.
struct Followed {
    call: u64,
    number: usize,
    /// What the thread had used at the last look.
    cpu: Duration,
    /// What of the call is in the plugin's account.
    charged: Duration,
}

enum Whose {
    Nobodys,
    /// All is blocked: the next look may say.
    NotYet,
    /// A plugin's, and what it had used when it was last asked.
    Plugins(usize, Duration),
    Callers(&'static Caller, Option<Followed>),
}

struct Task {
    identity: Identity,
    whose: Whose,
    /// The look at which it was there.
    seen: u64,
}

#[derive(Default)]
pub(super) struct Ledger {
    folder: TaskFolder,
    /// By the plugins' numbers.
    accounts: Vec<Account>,
    tasks: FxHashMap<i32, Task>,
    /// Of threads that have ended.
    free: Vec<&'static Caller>,
    looks: u64,
    looked: Option<Instant>,
    /// From one look to the next.
    pause: Duration,
    /// The present look found what may be a plugin's new thread.
    found: bool,
    /// More threads were there than are told apart.
    told: bool,
}

impl Ledger {
    /// The number and mark of a plugin; nothing where there are too many.
    pub(super) fn account(&mut self, name: &str) -> Option<(Number, Mark)> {
        if let Some(known) = self.number(name) {
            return Some((known, self.accounts[known.index()].mark));
        }
        let number = Number::new(self.accounts.len())?;
        let mark = Mark::new(number);
        let (name, cpu, returned) = (name.into(), Duration::ZERO, Duration::ZERO);
        self.accounts.push(Account { name, mark, cpu, returned });
        Some((number, mark))
    }

    pub(super) fn number(&self, name: &str) -> Option<Number> {
        Number::new(self.accounts.iter().position(|account| account.name == name)?)
    }

    /// The next question comes with a look: there may be new threads.
    pub(super) fn look_soon(&mut self) {
        self.looked = None;
    }

    /// What a plugin's threads have used up to now.
    pub(super) fn used(&mut self, number: Number, now: Instant) -> OwnThreads {
        if self.looked.is_none_or(|looked| now.duration_since(looked) >= self.pause) {
            self.found = self.looked.is_none();
            self.look();
            self.looked = Some(now);
            self.pause = if self.found { FIRST_LOOK } else { LOOK.min(self.pause * 2) };
        }
        let mut count = 0;
        let Self { accounts, tasks, .. } = self;
        for (tid, Task { identity, whose, .. }) in tasks {
            if let Whose::Plugins(owner, before) = whose
                && *owner == number.index()
                && let Some(cpu) = processor_time(*tid)
            {
                match cpu.checked_sub(*before) {
                    Some(since) => {
                        count += 1;
                        *before = cpu;
                        accounts[*owner].cpu += since;
                    }
                    None => identity.inode = 0, // another thread has the number: the next look says whose
                }
            }
        }
        let Account { cpu, returned, .. } = accounts[number.index()];
        OwnThreads { count, cpu, returned }
    }

    /// Reads the list of threads, and of those that are new whose they are.
    fn look(&mut self) {
        let Ok(entries) = fs::read_dir(self.folder.path()) else { return };
        let numbered = entries.flatten().filter_map(|entry| {
            let tid = entry.file_name().to_str()?.parse().ok()?;
            Some((tid, entry.ino()))
        });
        self.take(numbered);
    }

    /// Takes a list of threads, numbers and inodes. It may lack some that live: the kernel loses its place where a thread
    /// ends that it has just listed. So what is not in it has ended only if it says so itself.
    fn take(&mut self, listed: impl Iterator<Item = (i32, u64)>) {
        self.looks += 1;
        for (tid, inode) in listed {
            self.see(tid, inode);
        }
        let Self { tasks, folder, free, looks, .. } = self;
        tasks.retain(|tid, task| {
            if task.seen == *looks {
                return true;
            }
            match task.whose {
                Whose::Nobodys | Whose::NotYet => false, // there is nothing to lose
                Whose::Plugins(..) => folder.is_same(*tid, &mut task.identity).unwrap_or(true),
                Whose::Callers(caller, _) => {
                    let lives = folder.is_same(*tid, &mut task.identity).unwrap_or(true);
                    if !lives {
                        free.push(caller);
                    }
                    lives
                }
            }
        });
    }

    fn see(&mut self, tid: i32, inode: u64) {
        let (looks, mut known) = (self.looks, false);
        if let Some(task) = self.tasks.get_mut(&tid) {
            let has_inode = task.identity.inode == inode;
            let same = match task.whose {
                Whose::NotYet => Ok(false),
                // looked at anew where that changed: it costs no more than to ask whether it is the same
                Whose::Nobodys => Ok(has_inode),
                _ if has_inode && task.identity.started.is_some() => Ok(true),
                _ => self.folder.is_same(tid, &mut task.identity),
            };
            match same {
                Ok(true) => {
                    (task.identity.inode, task.seen) = (inode, looks);
                    return self.follow(tid);
                }
                Ok(false) => {}
                // which thread it is now, a later look says
                Err(_) => {
                    task.seen = looks;
                    return;
                }
            }
            match task.whose {
                Whose::Callers(caller, _) => self.free.push(caller),
                Whose::NotYet if has_inode => known = true,
                _ => {}
            }
            self.tasks.remove(&tid);
        }
        if self.tasks.len() >= MOST {
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!("there are more than {MOST} threads: what further ones cost is not told");
            }
            return;
        }
        // what can't be read now is new to the next look too
        let Ok(Some((whose, started))) = self.whose(tid) else { return };
        self.found |= !known && !matches!(whose, Whose::Nobodys);
        self.tasks.insert(tid, Task { identity: Identity { inode, started }, whose, seen: looks });
    }

    /// Whose a new thread is, and when it was started where that will be asked; nothing where it has ended.
    fn whose(&self, tid: i32) -> io::Result<Option<(Whose, Option<u64>)>> {
        Ok(match self.folder.mark_of(tid)? {
            Some(Marked::With(number)) if number.index() < self.accounts.len() => {
                let started = self.folder.started(tid)?;
                started.map(|started| (Whose::Plugins(number.index(), Duration::ZERO), Some(started)))
            }
            Some(Marked::With(_) | Marked::No) => Some((Whose::Nobodys, None)),
            Some(Marked::NotYet) => Some((Whose::NotYet, None)),
            None => None,
        })
    }

    /// A call that was under way at the look before already is told while it lasts: it may never come back.
    fn follow(&mut self, tid: i32) {
        let Some(Task { whose: Whose::Callers(caller, followed), .. }) = self.tasks.get_mut(&tid) else {
            return;
        };
        let (Some((call, number)), Some(cpu)) = (caller.call(), processor_time(tid)) else { return };
        match followed {
            Some(known) if known.call == call => {
                let since = cpu.saturating_sub(known.cpu);
                (known.cpu, known.charged) = (cpu, known.charged + since);
                self.accounts[number].cpu += since;
            }
            _ => {
                caller.followed.store(true, SeqCst);
                *followed = Some(Followed { call, number, cpu, charged: Duration::ZERO });
            }
        }
    }

    /// A thread that will call plugins, and is none of theirs.
    pub(super) fn caller(&mut self, tid: i32) -> &'static Caller {
        // leaked, for it must not be missing to a call that never ends; those of ended threads are used again
        let caller = self.free.pop().unwrap_or_else(|| Box::leak(Box::default()));
        self.insert(tid, Whose::Callers(caller, None));
        caller
    }

    /// A call that the ledger follows has come back: whoever made it counts it whole.
    pub(super) fn came_back(&mut self, tid: i32) {
        if let Some(Task { whose: Whose::Callers(_, followed), .. }) = self.tasks.get_mut(&tid)
            && let Some(Followed { number, charged, .. }) = followed.take()
        {
            self.accounts[number].returned += charged;
        }
    }

    /// This thread works for a plugin from now on.
    pub(super) fn lend(&mut self, tid: i32, number: Number) {
        let whose = Whose::Plugins(number.index(), processor_time(tid).unwrap_or_default());
        self.insert(tid, whose);
    }

    /// It is the agent's again.
    pub(super) fn give_back(&mut self, tid: i32, number: Number) {
        if let Some(Task { whose: Whose::Plugins(_, before), .. }) = self.tasks.remove(&tid) {
            let now = processor_time(tid).unwrap_or(before);
            self.accounts[number.index()].cpu += now.saturating_sub(before);
        }
    }

    /// What is known of the calling thread without a look.
    fn insert(&mut self, tid: i32, whose: Whose) {
        let identity = self.folder.identity(tid);
        let before = self.tasks.insert(tid, Task { identity, whose, seen: self.looks });
        // a thread asks for one where it has none: this is of another, that had the number before
        if let Some(Task { whose: Whose::Callers(ended, _), .. }) = before {
            self.free.push(ended);
        }
    }
}

#[cfg(test)]
mod tests;
