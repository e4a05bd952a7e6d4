//! What a collection costs in memory: nothing in steady state, and little whatever the plugin does.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_agent::{
    collect::Source,
    host::{Claims, Instance, InstanceOptions, load, threads::Owner},
    model::{Batch, CollectorId},
};
use twarga_plugin_api::crew::{Crew, Seen, Task, Timing};
use twarga_tests::counting::{Counting, allocations, counted};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn instance(plugin: &str, config: &str) -> Instance {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plugin.so");
    std::fs::copy(twarga_tests::build().library(plugin), &file).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let claims = Arc::new(Claims::new(|_| false));
    let library = load(&file, plugin, &claims).unwrap();
    let owner = Owner::of("allocations");
    let options =
        InstanceOptions { config: config.into(), instance: None, max_series: 100_000, claims, owner };
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

/// Tells how often the thread that does it has asked for memory so far.
struct Tells(u64);

impl Task for Tells {
    fn work(&mut self) {
        self.0 = allocations();
    }
}

#[test]
fn a_round_of_a_crew_allocates_nothing_on_either_side() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let crew = Crew::new("test-crew", Timing { handover: PATIENCE, slow: PATIENCE });
    for _ in 0..50 {
        crew.add(Tells(0));
    }
    let round = || {
        crew.round(Instant::now() + PATIENCE, |_| true).unwrap();
        let (mut done, mut most) = (0, 0);
        crew.each(|_, seen| {
            if let Seen::Idle(Tells(count)) = seen {
                (done, most) = (done + 1, most.max(*count));
            }
        });
        assert_eq!((done, crew.threads()), (50, 1));
        most
    };
    round();
    let before = round();
    let mut after = 0;
    let (own, _) = counted(|| (0..100).for_each(|_| after = round()));
    assert_eq!((own, after), (0, before));
}
