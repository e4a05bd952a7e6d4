//! Histories in steps.

use super::*;
use crate::store::Tier;

const MINUTE: i64 = 60_000;

fn in_steps(metric: &str, step: i64, aggregate: Option<Aggregate>) -> HistoryQuery {
    let length = Duration::from_millis(u64::try_from(step).unwrap());
    let steps = Some(StepQuery { length, aggregate });
    HistoryQuery { steps, limit: MOST_STEPS, ..of_host(metric, &[]) }
}

impl Bench {
    fn steps(&self, metric: &str, step: i64, aggregate: Aggregate) -> Vec<(i64, f64)> {
        shown(&self.ask(&in_steps(metric, step, Some(aggregate))).unwrap())
    }
}

#[test]
fn a_gauge_has_means_by_default() {
    let mut bench = Bench::new();
    let id = bench.series("m", &[]);
    for (at, value) in [(0, 1.0), (59_999, 3.0), (60_000, 5.0), (4 * MINUTE, 7.0)] {
        bench.put(at, &[(id, value)]);
    }
    let found = bench.ask(&in_steps("m", MINUTE, None)).unwrap();
    assert_eq!(shown(&found), [(4 * MINUTE, 7.0), (MINUTE, 5.0), (0, 2.0)], "newest first, no empty steps");
    let info = found.steps.unwrap();
    assert_eq!((info.aggregate, info.tier, info.unavailable), (Aggregate::Avg, Some(Tier::Raw), None));
    assert_eq!((info.length, found.unit.as_str()), (Duration::from_secs(60), "By"));
    let newest = bench.ask(&HistoryQuery { limit: 2, ..in_steps("m", MINUTE, None) }).unwrap();
    assert_eq!(shown(&newest), [(4 * MINUTE, 7.0), (MINUTE, 5.0)], "the newest with samples");
    let range = Range { from: at(30_000), to: at(MINUTE) };
    let within = bench.ask(&HistoryQuery { range, ..in_steps("m", MINUTE, None) }).unwrap();
    assert_eq!(shown(&within), [(MINUTE, 5.0), (0, 2.0)], "whole steps");
    assert_eq!(
        bench.steps("m", MINUTE, Aggregate::Quantile(0.25)),
        [(4 * MINUTE, 7.0), (MINUTE, 5.0), (0, 1.5)]
    );
    let count = bench.ask(&in_steps("m", MINUTE, Some(Aggregate::Count))).unwrap();
    assert_eq!((shown(&count)[2], count.unit.as_str()), ((0, 2.0), "1"));
}

#[test]
fn a_counter_has_rates_by_default() {
    let mut bench = Bench::new();
    let id = bench.series_of(Kind::Counter, "c_total", &[]);
    for second in 0..240_u32 {
        bench.put(i64::from(second) * 1000, &[(id, f64::from(second * 10))]);
    }
    let rate = bench.ask(&in_steps("c_total", MINUTE, None)).unwrap();
    assert_eq!(shown(&rate), [3, 2, 1, 0].map(|n| (n * MINUTE, 10.0)));
    assert_eq!((rate.unit.as_str(), rate.steps.unwrap().aggregate), ("By/s", Aggregate::Rate));
    let increase = bench.steps("c_total", MINUTE, Aggregate::Increase);
    let wanted = [(3 * MINUTE, 600.0), (2 * MINUTE, 600.0), (MINUTE, 600.0), (0, 590.0)];
    assert_eq!(increase, wanted, "the first sample is no pair");
    let range = Range { from: at(MINUTE), to: at(MINUTE) };
    let query = in_steps("c_total", MINUTE, Some(Aggregate::Increase));
    let within = bench.ask(&HistoryQuery { range, ..query }).unwrap();
    assert_eq!(shown(&within), [(MINUTE, 600.0)], "the sample before is there");
    assert_eq!(bench.steps("c_total", MINUTE, Aggregate::Max)[3], (0, 590.0));
}

#[test]
fn a_gauge_has_no_rate() {
    let mut bench = Bench::new();
    let id = bench.series("m", &[]);
    let received = bench.series_of(Kind::Counter, RECEIVED, &[]);
    bench.put(0, &[(id, 1.0), (received, 1.0)]);
    for metric in ["m", SPEED] {
        for aggregate in [Aggregate::Rate, Aggregate::Increase] {
            let answer = bench.ask(&in_steps(metric, MINUTE, Some(aggregate)));
            assert_eq!(answer, Err(HistoryError::NotACounter(aggregate)), "{metric}");
        }
    }
    let text = HistoryError::NotACounter(Aggregate::Rate).to_string();
    assert!(text.starts_with("only a counter has a rate"), "{text}");
}

#[test]
fn there_are_at_most_so_many_steps() {
    let mut bench = Bench::new();
    let id = bench.series("m", &[]);
    // 20 000 s, with a sample at both ends alone
    for (at, value) in [(0, 1.0), (20_000_000, 2.0)] {
        bench.put(at, &[(id, value)]);
    }
    let seconds = in_steps("m", 1000, None);
    let step = Duration::from_secs(1);
    let refused = bench.ask(&seconds);
    assert_eq!(refused, Err(HistoryError::TooManySteps { step, enough: None }));
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("more than 11000 steps of 1s") && text.contains("say from when on"), "{text}");
    let since = HistoryQuery { range: Range { from: at(0), to: Range::ALL.to }, ..seconds.clone() };
    let enough = Duration::from_secs(2);
    assert_eq!(bench.ask(&since), Err(HistoryError::TooManySteps { step, enough: Some(enough) }));
    let would_do = StepQuery { length: enough, aggregate: None };
    let found = bench.ask(&HistoryQuery { steps: Some(would_do), ..since.clone() }).unwrap();
    assert_eq!(shown(&found), [(20_000_000, 2.0), (0, 1.0)]);
    // a limit that the newest steps fill is no problem, nor is a beginning long before all data
    let one = bench.ask(&HistoryQuery { limit: 1, ..seconds.clone() }).unwrap();
    assert_eq!(shown(&one), [(20_000_000, 2.0)]);
    let two = bench.ask(&HistoryQuery { limit: 2, ..seconds.clone() });
    assert_eq!(two, Err(HistoryError::TooManySteps { step, enough: None }));
    let range = Range { from: at(-1_000_000_000), to: at(1000) };
    let before = bench.ask(&HistoryQuery { range, ..seconds.clone() }).unwrap();
    assert_eq!(shown(&before), [(0, 1.0)]);
    // the shortest and the longest step
    let shortest = bench.ask(&HistoryQuery { limit: 1, ..in_steps("m", 1, None) }).unwrap();
    assert_eq!(shown(&shortest), [(20_000_000, 2.0)]);
    let longest = bench.ask(&in_steps("m", 36_500 * 86_400_000, None)).unwrap();
    assert_eq!(longest.points, [(Timestamp::default(), 1.5)]);
}

#[test]
fn where_there_is_nothing_there_are_no_steps() {
    let mut bench = Bench::new();
    let id = bench.series("m", &[]);
    assert_eq!(bench.ask(&in_steps("unheard_of", MINUTE, None)), Err(HistoryError::Unknown));
    bench.put(0, &[(id, 1.0)]);
    let range = Range { from: at(MINUTE), to: at(5 * MINUTE) };
    let found = bench.ask(&HistoryQuery { range, ..in_steps("m", MINUTE, None) }).unwrap();
    assert_eq!((found.points.len(), found.steps.unwrap().tier), (0, None));
    let view = bench.ask(&in_steps("host_cpu_percent", MINUTE, None)).unwrap();
    assert_eq!((view.points.len(), view.steps.unwrap().aggregate), (0, Aggregate::Avg));
}

#[test]
fn linear_views_are_scaled() {
    let mut bench = Bench::new();
    let id = bench.series("host_memory_usage_ratio", &[]);
    for (at, value) in [(0, 0.25), (1000, 0.5), (2000, 0.5), (3000, 1.0)] {
        bench.put(at, &[(id, value)]);
    }
    for (aggregate, wanted) in [
        (Aggregate::Avg, 56.25),
        (Aggregate::Min, 25.0),
        (Aggregate::Max, 100.0),
        (Aggregate::Last, 100.0),
        (Aggregate::Sum, 225.0),
        (Aggregate::Count, 4.0),
        (Aggregate::Quantile(0.5), 50.0),
    ] {
        assert_eq!(bench.steps("host_memory_percent", MINUTE, aggregate), [(0, wanted)], "{aggregate}");
    }
    let view = bench.ask(&in_steps("host_memory_percent", MINUTE, None)).unwrap();
    assert_eq!((view.unit.as_str(), view.view), ("%", true));
}

#[test]
fn a_rates_mean_is_the_counters_rate_and_the_rest_is_made_of_its_values() {
    let mut bench = Bench::new();
    let id = bench.series_of(Kind::Counter, RECEIVED, &[]);
    // 1 MiB/s for 10 s, then 11 MiB/s for one, and a step later
    for (at, value) in [(0, 0.0), (10_000, 10.0), (11_000, 21.0), (MINUTE, 21.0 + 49.0)] {
        bench.put(at, &[(id, value * MIB)]);
    }
    for (aggregate, wanted) in [
        (Aggregate::Avg, [(MINUTE, 1.0), (0, 21.0 / 11.0)]),
        (Aggregate::Min, [(MINUTE, 1.0), (0, 1.0)]),
        (Aggregate::Max, [(MINUTE, 1.0), (0, 11.0)]),
        (Aggregate::Last, [(MINUTE, 1.0), (0, 11.0)]),
        (Aggregate::Sum, [(MINUTE, 1.0), (0, 12.0)]),
        (Aggregate::Count, [(MINUTE, 1.0), (0, 2.0)]),
        (Aggregate::Quantile(0.5), [(MINUTE, 1.0), (0, 6.0)]),
    ] {
        assert_eq!(bench.steps(SPEED, MINUTE, aggregate), wanted, "{aggregate}");
        let range = Range { from: at(MINUTE), to: at(MINUTE) };
        let query = HistoryQuery { range, ..in_steps(SPEED, MINUTE, Some(aggregate)) };
        assert_eq!(shown(&bench.ask(&query).unwrap()), wanted[..1], "{aggregate}: with the sample before");
    }
    let found = bench.ask(&in_steps(SPEED, MINUTE, None)).unwrap();
    assert_eq!((found.unit.as_str(), found.steps.unwrap().aggregate), ("MB/s", Aggregate::Avg));
}

#[test]
fn a_percentages_mean_is_of_means() {
    let mut bench = Bench::new();
    let labels = [("vm", "u-1")];
    let used = bench.series("vm_memory_used_bytes", &labels);
    let total = bench.series("vm_memory_total_bytes", &labels);
    for (at, part, whole) in [(0, 1.0, 10.0), (1000, 9.0, 10.0), (2000, 20.0, 40.0), (MINUTE, 5.0, 0.0)] {
        bench.put(at, &[(used, part), (total, whole)]);
    }
    for (aggregate, wanted) in [
        (Aggregate::Avg, 50.0),
        (Aggregate::Min, 10.0),
        (Aggregate::Max, 90.0),
        (Aggregate::Last, 50.0),
        (Aggregate::Count, 3.0),
        (Aggregate::Quantile(0.5), 50.0),
    ] {
        assert_eq!(bench.steps("vm_memory_percent", MINUTE, aggregate), [(0, wanted)], "{aggregate}");
    }
}

#[test]
fn a_mount_point_goes_on_under_another_name_within_a_step() {
    let mut bench = Bench::new();
    let disk = |device| [("device", device), ("mountpoint", "/")];
    let used = "host_filesystem_used_bytes";
    let (old, new) = (bench.series(used, &disk("sda1")), bench.series(used, &disk("sdb1")));
    let gib = |n: f64| n * views::GIB;
    bench.put(0, &[(old, gib(1.0))]);
    bench.put(MINUTE, &[(old, gib(2.0))]);
    bench.put(MINUTE + 1000, &[(new, gib(4.0))]);
    bench.put(2 * MINUTE, &[(new, gib(8.0))]);
    let steps = |aggregate| bench.steps("host_disk_used_gb", MINUTE, aggregate);
    for (aggregate, middle) in [(Aggregate::Min, 2.0), (Aggregate::Max, 4.0), (Aggregate::Sum, 6.0)] {
        assert_eq!(steps(aggregate), [(2 * MINUTE, 8.0), (MINUTE, middle), (0, 1.0)], "{aggregate}");
    }
    for aggregate in [Aggregate::Avg, Aggregate::Last, Aggregate::Quantile(0.5)] {
        let found = bench.ask(&in_steps("host_disk_used_gb", MINUTE, Some(aggregate))).unwrap();
        assert_eq!(shown(&found), [(2 * MINUTE, 8.0), (0, 1.0)], "{aggregate}");
        let why = found.steps.unwrap().unavailable.unwrap();
        assert!(why.contains("a series followed another one"), "{why}");
    }
}

#[test]
fn matchers_choose() {
    let mut bench = Bench::new();
    let series = ["eth0", "eth1", "lo"].map(|device| bench.series("m", &[("device", device)]));
    bench.put(0, &series.map(|id| (id, f64::from(id.0))));
    let ask = |matchers: Vec<Matcher>| {
        let query = HistoryQuery { matchers, ..in_steps("m", MINUTE, None) };
        bench.ask(&query).map(|found| shown(&found))
    };
    let eth = Matcher::matches("device", "eth.*").unwrap();
    let several =
        Err(HistoryError::Ambiguous { labels: vec![("device".into(), vec!["eth0".into(), "eth1".into()])] });
    assert_eq!(ask(vec![eth.clone()]), several);
    let not_one = Matcher::not_equal("device", "eth1");
    assert_eq!(ask(vec![eth.clone(), not_one]), Ok(vec![(0, f64::from(series[0].0))]));
    let lo = Matcher::matches_not("device", "eth.*").unwrap();
    assert_eq!(ask(vec![lo.clone()]), Ok(vec![(0, f64::from(series[2].0))]));
    assert_eq!(ask(vec![lo, eth]), Err(HistoryError::Unknown));
}

#[test]
fn a_label_that_a_view_sets_itself_may_be_given() {
    let mut bench = Bench::new();
    let usage = "host_cpu_usage_ratio";
    let (all, first) = (bench.series(usage, &[("cpu", "all")]), bench.series(usage, &[("cpu", "0")]));
    bench.put(0, &[(all, 0.5), (first, 0.25)]);
    let percent = |labels: &[(&str, &str)]| shown(&bench.ask(&of_host("host_cpu_percent", labels)).unwrap());
    assert_eq!((percent(&[]), percent(&[("cpu", "0")])), (vec![(0, 50.0)], vec![(0, 25.0)]));
    assert_eq!(percent(&[("cpu", "7")]), []);
}

#[test]
fn lengths_of_steps_are_read() {
    for (text, millis) in [
        ("60", 60_000),
        ("0.25", 250),
        ("250ms", 250),
        ("1ms", 1),
        ("60s", 60_000),
        ("5m", 300_000),
        ("1.5h", 5_400_000),
        ("1d", 86_400_000),
        ("2w", 1_209_600_000),
        ("36500d", 3_153_600_000_000),
    ] {
        assert_eq!(parse_step(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in [
        "",
        "0",
        "s",
        ".",
        "..",
        "1.2.3",
        "0.4ms",
        "-5m",
        "+5m",
        "1e3",
        "5 m",
        "5y",
        "5M",
        "NaN",
        "inf",
        "1h30m",
        "36501d",
        "99999999999999999999999999999999999d",
    ] {
        assert_eq!(parse_step(text), Err(BadStep), "{text:?}");
    }
}
