//! A process that commits all the time is killed again and again; nothing that it had committed may be lost, or be there
//! twice. Its clock runs fast, so that rows are always on their way into segments, and segments into blocks.
//!
//! `STORE_TEST_KILLS` sets how often it is killed: CONTRIBUTING.md.

use super::{crashes::check, *};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

const SERIES: usize = 200;
/// A part has 120 ticks.
const TICK: i64 = 60_000;
/// Every so many ticks bring late samples as well, of a part that is sealed or about to be.
const LATE: i64 = 7;
/// After so many kills a new file is begun: what is new to a file is of interest too.
const KILLS_OF_A_FILE: u32 = 5;
const KILLS: u32 = 25;

const CHILD: &str = "STORE_TEST_COMMITS_TO";

/// The batches of a tick: all series; and sometimes late samples.
fn batches(ids: &[SeriesId], tick: i64) -> Vec<StoredBatch> {
    let samples = |of: &[SeriesId], tick: i64| -> Vec<StoredSample> {
        of.iter().zip(0..).map(|(id, n)| sample(*id, value(n, tick))).collect()
    };
    let mut batches = vec![StoredBatch { time: at(NOW + tick * TICK), samples: samples(ids, tick) }];
    if tick % LATE == 0 {
        batches.push(StoredBatch { time: at(late(tick)), samples: samples(&ids[..SERIES / 3], -tick) });
    }
    batches
}

/// Between three and five hours late, on no tick's time.
fn late(tick: i64) -> i64 {
    NOW + tick * TICK - 3 * HOUR - (tick * 7919 % 120) * TICK + 1 + tick % 59_000
}

fn value(series: i64, tick: i64) -> f64 {
    match series % 3 {
        0 => tick as f64,
        1 => tick as f64 / 7.0,
        _ => ((tick + series) % 5) as f64 / 100.0,
    }
}

/// All of a series that so many ticks brought, newest first: time, bits.
fn expected(series: usize, ticks: i64) -> Vec<(i64, u64)> {
    let point = |time: i64, tick: i64| (time, value(series as i64, tick).to_bits());
    let mut points: Vec<(i64, u64)> = (0..ticks).map(|tick| point(NOW + tick * TICK, tick)).collect();
    if series < SERIES / 3 {
        points.extend((0..ticks).filter(|tick| tick % LATE == 0).map(|tick| point(late(tick), -tick)));
    }
    points.sort_unstable_by(|a, b| b.cmp(a));
    points
}

fn commit_until_killed(directory: &Path) {
    let mut options = options(directory);
    options.max_loss = Duration::from_secs(3600 * 6);
    let mut store = Store::open(options).unwrap();
    let ids = series(&mut store, SERIES);
    let first = store.last_commit().map_or(0, |last| (last.as_millis() - NOW) / TICK + 1);
    let mut out = std::io::stdout().lock();
    for tick in first.. {
        store.commit(&commit(batches(&ids, tick))).unwrap();
        writeln!(out, "tick {tick}").unwrap();
        out.flush().unwrap();
    }
}

/// Starts a process that commits, and kills it after about so many commits. Gives the last one that it told of.
fn killed_after(directory: &TempDir, commits: usize) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::a_killed_process_loses_nothing_it_had_committed", "--nocapture"])
        .env(CHILD, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ticks =
        lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("tick ")?.parse::<i64>().ok());
    let seen = ticks.by_ref().take(commits).last().unwrap();
    let refused = Store::open(options(directory.path())).unwrap_err();
    assert!(refused.to_string().contains(&format!("in use by process {}", child.id())), "{refused}");
    child.kill().unwrap();
    let last = ticks.last().unwrap_or(seen);
    child.wait().unwrap();
    last
}

/// What is left is sound, and all that was committed. Gives the number of the ticks.
fn assert_complete(directory: &TempDir, told: i64) {
    let found = of_file(directory).reader().unwrap();
    let mut ids: Vec<SeriesId> = found.all_series().unwrap().iter().map(|series| series.id).collect();
    ids.sort_unstable(); // they were numbered as they came
    assert_eq!(ids.len(), SERIES);
    let of_file = found.last_of_many(&ids, Range::ALL, usize::MAX).unwrap();
    drop(found);
    check(directory);
    let store = open(directory);
    let last = (store.last_commit().unwrap().as_millis() - NOW) / TICK;
    assert!(last >= told, "{last} of {told}");
    let reader = reader(&store);
    for (n, (id, of_file)) in ids.iter().zip(of_file).enumerate() {
        let points = all(&reader, *id);
        let found: Vec<(i64, u64)> = points.iter().map(|p| (p.time.as_millis(), p.value.to_bits())).collect();
        assert!(found == expected(n, last + 1), "series {n} after {last} ticks: {}", found.len());
        assert_eq!(points, of_file);
    }
    drop(reader);
    drop(store);
    check(directory);
}

#[test]
fn a_killed_process_loses_nothing_it_had_committed() {
    if let Some(file) = std::env::var_os(CHILD) {
        return commit_until_killed(Path::new(&file));
    }
    let kills = std::env::var("STORE_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut directory = TempDir::new().unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..kills {
        if kill % KILLS_OF_A_FILE == 0 {
            directory = TempDir::new().unwrap();
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let told = killed_after(&directory, 1 + (random >> 33) as usize % 300);
        assert_complete(&directory, told);
    }
}
