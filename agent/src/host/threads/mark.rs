//! The mark that a plugin's threads carry: real-time signals that are blocked.
//!
//! A new thread has the signal mask of the one that started it, and the kernel shows everybody's mask in
//! `/proc/PID/task/TID/status`. So while the agent calls a plugin, the calling thread blocks signals that spell the
//! plugin's number; what has such a mask later was started by that plugin, or by a thread of its. Nobody sends these
//! signals: the agent uses none, the C library's own (32 to 34) and the low ones that programs like to use are left alone.
#![allow(unsafe_code, reason = "pthread_sigmask(3), and clock_gettime(2) of another thread")]

use std::{marker::PhantomData, mem::MaybeUninit, ptr, time::Duration};

/// The lowest of the signals; they go up to 64.
const FIRST: u32 = 41;
/// Bits of a plugin's number. As many more are their opposites: a mask that blocks all signals, or none, is no mark.
const BITS: u32 = 12;
const NUMBERS: u64 = (1 << BITS) - 1;
/// Where the mark is in a mask, whose lowest bit is signal 1.
const SHIFT: u32 = FIRST - 1;

/// The number of a plugin, as a mark can spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(u16);

impl Number {
    /// Nothing where there are too many.
    pub(super) fn new(number: usize) -> Option<Self> {
        let number = u16::try_from(number).ok()?;
        (u64::from(number) <= NUMBERS).then_some(Self(number))
    }

    pub(super) fn index(self) -> usize {
        self.0.into()
    }

    fn mask(self) -> u64 {
        let number = u64::from(self.0);
        (number | (!number & NUMBERS) << BITS) << SHIFT
    }
}

/// What the signal mask of a thread says of whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    With(Number),
    No,
    /// All is blocked, as in a thread that is just being started.
    NotYet,
}

/// Of a mask as in `SigBlk` of `/proc/PID/task/TID/status`.
pub(super) fn marked(mask: u64) -> Marked {
    let (number, opposite) = (mask >> SHIFT & NUMBERS, mask >> (SHIFT + BITS) & NUMBERS);
    if number == NUMBERS && opposite == NUMBERS {
        Marked::NotYet
    } else if number ^ opposite == NUMBERS {
        Number::new(number as usize).map_or(Marked::No, Marked::With)
    } else {
        Marked::No
    }
}

/// The signals of a mark, ready for use.
#[derive(Clone, Copy)]
pub(super) struct Mark(libc::sigset_t);

impl Mark {
    pub(super) fn new(number: Number) -> Self {
        let mask = number.mask();
        // zeroed, because sigemptyset(3) need not write the whole set: the kernel's part of it may do
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: the set is integers, which zeros initialize; the pointer is that of one. sigemptyset(3) makes it empty
        // whatever that looks like, sigaddset(3) changes bits of it; numbers that it does not know are an error and change
        // nothing.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in (1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1) {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            set.assume_init()
        };
        Self(set)
    }

    /// What this thread starts from now on has the mark, until what is given is dropped.
    pub(super) fn put_on(&self) -> PutOn {
        // zeroed, because only the kernel's part of it need be written: 8 of glibc's 128 bytes
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: it reads the one set and writes the other, both of which live here. Only this thread's mask changes, and
        // only signals that nobody sends are blocked.
        let failed =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const self.0, before.as_mut_ptr()) };
        // SAFETY: a set is integers, which zeros initialize; without an error the mask from before was written into them.
        PutOn { before: (failed == 0).then(|| unsafe { before.assume_init() }), of_this_thread: PhantomData }
    }
}

/// This thread has a mark on.
pub(super) struct PutOn {
    before: Option<libc::sigset_t>,
    of_this_thread: PhantomData<*const ()>,
}

impl Drop for PutOn {
    fn drop(&mut self) {
        let Some(before) = &self.before else { return };
        // SAFETY: it reads a set that lives here, and is told that none is to be written. The type is not `Send`, so this is
        // the thread whose mask it was.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::from_ref(before), ptr::null_mut()) };
    }
}

/// The processor time of a thread of this process; nothing where it has ended.
pub(super) fn processor_time(tid: i32) -> Option<Duration> {
    // the clock's number as in the kernel's posix-timers.h: CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED
    let clock = (!tid << 3) | 6;
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: it writes the time into what has room for it; of a clock that is not there it answers an error.
    if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: without an error the time was written.
    let time = unsafe { time.assume_init() };
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, thread};

    #[test]
    fn a_mark_spells_its_number_and_nothing_else_does() {
        for number in [0, 1, 2, 77, 2048, 4094, 4095] {
            let number = Number::new(number).unwrap();
            assert_eq!(marked(number.mask()), Marked::With(number));
            // what else is blocked, as SIGTERM or the first real-time signals, does no harm
            assert_eq!(marked(number.mask() | 0xff_ffff_ffff), Marked::With(number));
            assert_eq!(number.mask().count_ones(), BITS);
        }
        assert_eq!(Number::new(4096), None);
        assert_eq!((marked(0), marked(!0)), (Marked::No, Marked::NotYet));
        assert_eq!(marked(!0 >> 4), Marked::No, "one of a pair must be blocked, and only one");
        assert_eq!(marked(u64::from(u32::MAX)), Marked::No);
    }

    fn own_mask() -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    }

    #[test]
    fn a_thread_has_the_mark_of_the_one_that_started_it() {
        let number = Number::new(1234).unwrap();
        let before = own_mask();
        let put_on = Mark::new(number).put_on();
        let thread = thread::spawn(|| (own_mask(), thread::spawn(own_mask).join().unwrap()));
        let (own, of_its_own) = thread.join().unwrap();
        assert_eq!(marked(own), Marked::With(number));
        assert_eq!(own, of_its_own, "and so on");
        drop(put_on);
        assert_eq!(own_mask(), before);
        assert_eq!(thread::spawn(own_mask).join().unwrap(), before);
    }

    #[test]
    fn another_threads_processor_time_is_read() {
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        let mine = processor_time(own).unwrap();
        let from_there = thread::spawn(move || processor_time(own).unwrap()).join().unwrap();
        assert!(from_there >= mine);
        let ended = thread::spawn(|| rustix::thread::gettid().as_raw_nonzero().get()).join().unwrap();
        // the kernel may keep it for a moment after it was joined
        let gone = (0..1000).any(|_| {
            thread::yield_now();
            processor_time(ended).is_none()
        });
        assert!(gone);
        assert_eq!(processor_time(1), None, "a thread of another process");
    }
}
