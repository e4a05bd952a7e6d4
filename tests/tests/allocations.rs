//! What a collection costs in memory: nothing in steady state, and little whatever the plugin does.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unsafe_code, reason = "a counting allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    os::unix::fs::PermissionsExt,
    sync::Arc,
};
use twarga_agent::{
    collect::Source,
    host::{Claims, Instance, InstanceOptions, load},
    model::{Batch, CollectorId},
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

struct Counting;

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

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What it asked for, and the most bytes that it held beyond those before.
fn counted(act: impl FnOnce()) -> (u64, i64) {
    let before = TALLY.get();
    TALLY.set(Tally { most: before.held, ..before });
    act();
    let after = TALLY.get();
    (after.allocations - before.allocations, after.most - before.held)
}

fn instance(plugin: &str, config: &str) -> Instance {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plugin.so");
    std::fs::copy(twarga_tests::build().library(plugin), &file).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let claims = Arc::new(Claims::new(|_| false));
    let library = load(&file, plugin, &claims).unwrap();
    let options = InstanceOptions { config: config.into(), instance: None, max_series: 100_000, claims };
    Instance::new(&library, &options, 0).unwrap()
}

#[test]
fn a_collection_allocates_nothing() {
    for series in [1, 400, 10_000] {
        let config = format!(r#"{{"gauges":{series},"counters":{series}}}"#);
        let mut instance = instance("synthetic", &config);
        let mut batch = Batch::new(CollectorId(0));
        let mut inside = None; // what the plugin's own allocator has counted
        for collection in 1..=20 {
            let (allocations, _) = counted(|| {
                batch.clear();
                instance.collect(&mut batch).unwrap();
            });
            let count = batch.samples.last().unwrap().value;
            if collection > 2 {
                assert_eq!(allocations, 0, "{series} series, collection {collection}");
                assert_eq!(
                    inside,
                    Some(count),
                    "inside the plugin: {series} series, collection {collection}"
                );
            }
            inside = Some(count);
            assert_eq!(batch.samples.len(), 2 * series + 2);
        }
        assert_eq!(instance.refused(), 0);
    }
}

#[test]
fn what_a_plugin_says_is_bounded_while_it_says_it() {
    for mode in ["logs", "absences"] {
        let mut instance = instance("faulty", &format!(r#"{{"mode":"{mode}","n":300000}}"#));
        let mut batch = Batch::new(CollectorId(0));
        let (_, most) = counted(|| instance.collect(&mut batch).unwrap());
        assert!(most < 100_000, "{mode}: {most} bytes held during one call");
    }
}
