//! An allocator that counts, thread by thread. Who uses it says so with `#[global_allocator]`.
#![allow(unsafe_code, reason = "a counting allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// What this thread has asked for.
#[derive(Clone, Copy, Default)]
struct Tally {
    allocations: u64,
    /// Bytes held now; memory of other threads may be freed here.
    held: i64,
    most: i64,
}

thread_local! {
    static TALLY: Cell<Tally> = const { Cell::new(Tally { allocations: 0, held: 0, most: 0 }) };
}

fn note(allocations: u64, bytes: i64) {
    // a thread that ends may free memory after its thread-locals are gone
    let _ = TALLY.try_with(|cell| {
        let mut tally = cell.get();
        tally.allocations += allocations;
        tally.held += bytes;
        tally.most = tally.most.max(tally.held);
        cell.set(tally);
    });
}

/// The system's allocator, which counts what each thread asks for.
#[derive(Debug)]
pub struct Counting;

// SAFETY: every call goes on to the system's allocator as it came; the counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size().cast_signed() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(0, -(layout.size().cast_signed() as i64));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

/// How often this thread has asked for memory since it began.
pub fn allocations() -> u64 {
    TALLY.get().allocations
}

/// How often it asked for memory, and the most bytes that it held beyond those before.
pub fn counted(act: impl FnOnce()) -> (u64, i64) {
    let before = TALLY.get();
    TALLY.set(Tally { most: before.held, ..before });
    act();
    let after = TALLY.get();
    (after.allocations - before.allocations, after.most - before.held)
}
