//! The threads of this process that were seen, whose they are, and what each plugin's have used.

use super::{
    mark::{Mark, Marked, Number, processor_time},
    task::{Identity, mark_of, started},
};
use crate::model::OwnThreads;
use rustc_hash::FxHashMap;
use std::{
    fs,
    os::unix::fs::{DirEntryExt, MetadataExt},
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
    number: Number,
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
        if let Some(known) = self.accounts.iter().find(|account| account.name == name) {
            return Some((known.number, known.mark));
        }
        let number = Number::new(self.accounts.len())?;
        let mark = Mark::new(number);
        let (name, cpu, returned) = (name.into(), Duration::ZERO, Duration::ZERO);
        self.accounts.push(Account { name, number, mark, cpu, returned });
        Some((number, mark))
    }

    pub(super) fn number(&self, name: &str) -> Option<Number> {
        self.accounts.iter().find(|account| account.name == name).map(|account| account.number)
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
                count += 1;
                match cpu.checked_sub(*before) {
                    Some(since) => {
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
        let Ok(entries) = fs::read_dir("/proc/self/task") else { return };
        self.looks += 1;
        for entry in entries.flatten() {
            let tid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(tid) = tid {
                self.see(tid, entry.ino());
            }
        }
        let (looks, free) = (self.looks, &mut self.free);
        self.tasks.retain(|_, task| {
            let ended = task.seen != looks;
            if let Whose::Callers(caller, _) = task.whose
                && ended
            {
                free.push(caller);
            }
            !ended
        });
    }

    fn see(&mut self, tid: i32, inode: u64) {
        let (looks, mut known) = (self.looks, false);
        if let Some(task) = self.tasks.get_mut(&tid) {
            // one that is nobody's is looked at anew: that costs no more than to ask whether it is the same
            let same = || task.identity.started.is_some() && started(tid) == task.identity.started;
            if !matches!(task.whose, Whose::NotYet) && (task.identity.inode == inode || same()) {
                (task.identity.inode, task.seen) = (inode, looks);
                return self.follow(tid);
            }
            match task.whose {
                Whose::Callers(caller, _) => self.free.push(caller),
                Whose::NotYet if task.identity.inode == inode => known = true,
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
        let Some(mark) = mark_of(tid) else { return };
        let (whose, started) = match mark {
            Marked::With(number) if number.index() < self.accounts.len() => {
                (Whose::Plugins(number.index(), Duration::ZERO), started(tid))
            }
            Marked::With(_) | Marked::No => (Whose::Nobodys, None),
            Marked::NotYet => (Whose::NotYet, None),
        };
        self.found |= !known && !matches!(whose, Whose::Nobodys);
        self.tasks.insert(tid, Task { identity: Identity { inode, started }, whose, seen: looks });
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
        let inode = fs::metadata(format!("/proc/self/task/{tid}")).map_or(0, |folder| folder.ino());
        let identity = Identity { inode, started: started(tid) };
        let before = self.tasks.insert(tid, Task { identity, whose, seen: self.looks });
        if let Some(Task { whose: Whose::Callers(ended, _), .. }) = before {
            self.free.push(ended);
        }
    }
}
