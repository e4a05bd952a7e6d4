//! Whose the threads of this process are. The kernel counts processor time by threads, and a plugin in process may start
//! as many as it likes. See `docs/adr/0011-threads-of-plugins.md`.
//!
//! `mark` is what tells them apart, `task` reads it, `ledger` keeps what was seen. The ledger is the process's own, as
//! the list of its threads is.

mod ledger;
mod mark;
mod task;

use crate::model::OwnThreads;
use ledger::{Caller, Ledger};
use mark::{Mark, Number, PutOn};
use std::{
    cell::Cell,
    marker::PhantomData,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

static LEDGER: LazyLock<Mutex<Ledger>> = LazyLock::new(Mutex::default);

thread_local! {
    // Without a destructor: to register one takes a lock that a plugin may hold for ever which hangs while it is loaded.
    static CALLER: Cell<Option<&'static Caller>> = const { Cell::new(None) };
    /// This thread counts as a plugin's.
    static LENT: Cell<bool> = const { Cell::new(false) };
}

fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own_tid() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// What the threads of the plugin with this table have used since the agent's start; nothing where it never was in this
/// process.
pub fn used_by(name: &str) -> Option<OwnThreads> {
    let mut ledger = ledger();
    let number = ledger.number(name)?;
    Some(ledger.used(number, Instant::now()))
}

/// A plugin's table, to which the threads belong that its code starts.
#[derive(Clone, Copy)]
pub struct Owner {
    number: Number,
    mark: Mark,
}

impl Owner {
    /// Of the table with this key; nothing where there are too many.
    pub fn of(name: &str) -> Option<Self> {
        let (number, mark) = ledger().account(name)?;
        Some(Self { number, mark })
    }

    /// This thread runs the plugin's code until what is given is dropped.
    pub fn call(&self) -> Call {
        let caller = (!LENT.get()).then(|| {
            CALLER.get().unwrap_or_else(|| {
                let caller = ledger().caller(own_tid());
                CALLER.set(Some(caller));
                caller
            })
        });
        Call { caller: caller.filter(|caller| caller.begin(self.number)), _mark: self.mark.put_on() }
    }

    /// This thread works for the plugin alone, and counts as its own, until what is given is dropped. It has no mark but in
    /// calls: what the agent starts meanwhile is the agent's.
    pub fn lend(&self) -> Lent {
        LENT.set(true);
        CALLER.set(None); // the entry in which the ledger knew it becomes another
        ledger().lend(own_tid(), self.number);
        Lent { number: self.number, of_this_thread: PhantomData }
    }

    /// There may be new threads.
    pub(super) fn look_soon(&self) {
        ledger().look_soon();
    }

    /// What its threads have used since the agent's start.
    pub fn used(&self) -> OwnThreads {
        ledger().used(self.number, Instant::now())
    }
}

/// The plugin's code runs.
pub struct Call {
    caller: Option<&'static Caller>,
    _mark: PutOn,
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.caller.is_some_and(Caller::end) {
            ledger().came_back(own_tid());
        }
    }
}

/// The thread counts as a plugin's.
pub struct Lent {
    number: Number,
    of_this_thread: PhantomData<*const ()>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.set(false);
        ledger().give_back(own_tid(), self.number);
    }
}

#[cfg(test)]
mod tests;
