//! Series that come and go: what is kept of them stays bounded.

use super::*;
use std::collections::VecDeque;
use twarga_agent::store::{Aggregate, AggregateQuery, Sizes};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * HOUR;
/// Between two scrapes.
const INTERVAL: i64 = 5 * MINUTE;
/// Alive at any time; two are replaced at each scrape, so that each lives fifty minutes.
const ALIVE: usize = 20;
const SCRAPES: i64 = 7 * DAY / INTERVAL;

/// A week of it: about 4000 series.
#[test]
fn what_a_week_of_passing_series_takes_is_bounded() {
    let directory = TempDir::new().unwrap();
    let day = Duration::from_secs(24 * 3600);
    let retention = Retention { raw: day, minute: 2 * day, hour: 3 * day };
    let mut store = Store::open(Options { retention, ..options(directory.path()) }).unwrap();
    let mut alive: VecDeque<(SeriesId, i64)> = VecDeque::new();
    let mut ended: Vec<(SeriesId, i64, usize)> = Vec::new();
    let (mut most, mut next) = (Sizes::default(), 0);
    for scrape in 0..SCRAPES {
        let now = NOW + scrape * INTERVAL;
        for _ in 0..if alive.is_empty() { ALIVE } else { 2 } {
            // a collector that vanishes every two days
            let collector = format!("c{}", now.div_euclid(2 * DAY));
            let id = store.series(&def("vm_total", &[("vm", &next.to_string())]), &collector).unwrap();
            (next, alive) = (next + 1, {
                alive.push_back((id, now));
                alive
            });
        }
        while alive.len() > ALIVE {
            let (id, since) = alive.pop_front().unwrap();
            store.forget(id);
            ended.push((id, since, ((now - since) / INTERVAL) as usize));
        }
        let ids: Vec<SeriesId> = alive.iter().map(|(id, _)| *id).collect();
        put(&mut store, now, &ids, scrape as f64);
        store.expire(at(now), true).unwrap();
        let sizes = store.sizes();
        most = Sizes {
            groups: most.groups.max(sizes.groups),
            series: most.series.max(sizes.series),
            stays: most.stays.max(sizes.stays),
            left: most.left.max(sizes.left),
            homeless: most.homeless.max(sizes.homeless),
            tails: most.tails.max(sizes.tails),
            owners: most.owners.max(sizes.owners),
            sealing: false,
        };
    }
    // those of three parts, and the living
    assert!(most.series <= 180 && most.stays <= 180, "{most:?}");
    assert!(most.groups <= 8, "{most:?}");
    assert!(most.left <= 120 && most.homeless <= ALIVE, "{most:?}");
    assert!(most.tails <= 1400 && most.owners <= ALIVE, "{most:?}");

    let now = NOW + (SCRAPES - 1) * INTERVAL;
    let reader = reader(&store);
    for (id, since, count) in ended.iter().filter(|(_, since, _)| *since > now - DAY + 2 * HOUR) {
        assert_eq!(all(&reader, *id).len(), *count, "since {since}");
    }
    let rolled =
        ended.iter().filter(|(_, since, _)| (now - 2 * DAY + DAY / 2..now - DAY - 2 * HOUR).contains(since));
    for (id, since, count) in rolled.step_by(7) {
        let query = AggregateQuery { range: Range::ALL, step: DAY, aggregate: Aggregate::Count };
        let steps = reader.aggregate(&[*id], &query).unwrap();
        let told: f64 = steps[0].values.iter().map(|(_, count)| count).sum();
        assert_eq!(told, *count as f64, "since {since}");
    }
    drop(reader);
    store.close().unwrap();
    let file = directory.path().join("history.db");
    let conn = rusqlite::Connection::open(&file).unwrap();
    let count = |sql: &str| -> i64 { conn.query_row(sql, [], |row| row.get(0)).unwrap() };
    let places = count("SELECT count(*) FROM place");
    // one each, and those that were moved: they go with the hours, which go by 32 days
    assert!(places <= 2 * next, "{places} places of {next} series");
    let samples = count("SELECT (SELECT sum(n) FROM block) + (SELECT coalesce(sum(n), 0) FROM segment)");
    let bytes = count(
        "SELECT (SELECT sum(length(data)) FROM block) + (SELECT coalesce(sum(length(data)), 0) FROM segment)",
    );
    println!("{most:?}, {places} places, {samples} samples, {bytes} bytes of raw blobs");
}
