//! Each format by its own documents, whatever bytes come, and texts that end too early.

use super::{Format, Parsed, Parser, TextSample, naming, parse};
use crate::Kind;
use proptest::prelude::*;

const FORMATS: [Format; 3] = [Format::Prometheus, Format::Influx, Format::Json];

fn lines(parsed: &Parsed) -> Vec<String> {
    let line = |sample: &TextSample| {
        let labels: Vec<String> = sample.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let kind = sample.kind.map_or("-", Kind::word);
        let time = sample.time.map_or(String::new(), |time| format!(" @{time}"));
        format!("{} {kind} [{}] {}{time}", sample.name, labels.join("|"), sample.value)
    };
    parsed.samples.iter().map(line).collect()
}

fn problems(parsed: &Parsed) -> Vec<(usize, &str)> {
    parsed.problems.iter().map(|problem| (problem.line, problem.message.as_str())).collect()
}

/// From the page of the Prometheus text format.
const PROMETHEUS: &str = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\"",none=""} 1.458255915e9
# Minimalistic line:
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.01"} 3102
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
"#;

#[test]
fn prometheus() {
    let parsed = parse(Format::Prometheus, PROMETHEUS.as_bytes());
    assert_eq!(
        lines(&parsed),
        [
            "http_requests_total counter [method=post|code=200] 1027 @1395066363000",
            "http_requests_total counter [method=post|code=400] 3 @1395066363000",
            "msdos_file_access_time_seconds - [path=C:\\DIR\\FILE.TXT|error=Cannot find file:\n\"FILE.TXT\"] 1458255915",
            "metric_without_timestamp_and_labels - [] 12.47",
            "something_weird - [problem=division by zero] inf @-3982045",
            "http_request_duration_seconds_bucket counter [le=0.05] 24054",
            "http_request_duration_seconds_bucket counter [le=+Inf] 144320",
            "http_request_duration_seconds_sum counter [] 53423",
            "http_request_duration_seconds_count counter [] 144320",
            "rpc_duration_seconds gauge [quantile=0.01] 3102",
            "rpc_duration_seconds_sum counter [] 17560473",
            "rpc_duration_seconds_count counter [] 2693",
        ]
    );
    assert_eq!(&*parsed.samples[0].help, "The total number of HTTP requests.");
    assert_eq!(parsed.samples[2].line, 7);
    assert_eq!(parsed.problems, []);
}

#[test]
fn openmetrics() {
    let text = "# TYPE foo_seconds counter\n# UNIT foo_seconds seconds\n# HELP foo_seconds A \\\"b\\\" \\\\ c.\n\
        foo_seconds_total{a=\"x\"} 17.0 1520879607.789 # {trace_id=\"k\"} 0.67\nfoo_seconds_created{a=\"x\"} 1520430000.123\n\
        # TYPE build info\nbuild_info{version=\"1\"} 1\n\
        # TYPE state stateset\nstate{state=\"on\"} 1\nstate{state=\"off\"} 0\n# EOF\n";
    let parsed = parse(Format::Prometheus, text.as_bytes());
    assert_eq!(
        lines(&parsed),
        [
            "foo_seconds_total counter [a=x] 17 @1520879607789",
            "foo_seconds_created gauge [a=x] 1520430000.123",
            "build_info info [version=1] 1",
            "state stateset [state=on] 1",
            "state stateset [state=off] 0",
        ]
    );
    assert_eq!((&*parsed.samples[0].unit, &*parsed.samples[0].help), ("seconds", "A \"b\" \\ c."));
    assert_eq!(parsed.problems, []);
}

#[test]
fn bad_lines_of_prometheus_cost_themselves() {
    let text = "a 1\nb\nc x\n1d 1\ne{a=\"1} 1\nf{a=\"1\",a=\"2\"} 1\ng{__a=\"1\"} 1\nh{a=\"1\" b=\"2\"} 1\ni 1 2 3\nj 1 1.5\n\
        # TYPE k gage\n{\"l\"} 1\nm{a=\"1\"\nz 2\n";
    let parsed = parse(Format::Prometheus, text.as_bytes());
    assert_eq!(lines(&parsed), ["a - [] 1", "z - [] 2"]);
    let numbers: Vec<usize> = parsed.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(numbers, (2..=13).collect::<Vec<_>>(), "{:?}", parsed.problems);
    assert_eq!(problems(&parsed)[1], (3, "the value `x` is not a number"));
    let parsed = parse(Format::Prometheus, b"a 1\nb\xff 1\nc 1\n");
    assert_eq!((lines(&parsed).len(), problems(&parsed)), (2, vec![(2, "the line is not UTF-8")]));
}

#[test]
fn a_stream_remembers_types_and_lines() {
    let mut parser = Parser::new(Format::Prometheus);
    parser.parse(b"# TYPE x counter\nx 1\n");
    let parsed = parser.parse(b"x 2\nbad\n");
    assert_eq!((lines(&parsed), parsed.samples[0].line), (vec!["x counter [] 2".to_owned()], 3));
    assert_eq!(problems(&parsed), [(4, "the value is missing")]);
}

#[test]
fn influx() {
    let text = r#"# comment
weather,location=us-midwest,season=summer temperature=82,humid=true,station="a \"b\", c=d" 1465839830100400200
my\ disk,path=C:\,\ x\=y free=12i,used=3u
net rx=1e3,up=f
"#;
    let parsed = parse(Format::Influx, text.as_bytes());
    assert_eq!(
        lines(&parsed),
        [
            "weather_temperature - [location=us-midwest|season=summer] 82 @1465839830100",
            "weather_humid - [location=us-midwest|season=summer] 1 @1465839830100",
            "my disk_free - [path=C:, x=y] 12",
            "my disk_used - [path=C:, x=y] 3",
            "net_rx - [] 1000",
            "net_up - [] 0",
        ]
    );
    assert_eq!((parsed.strings, &*parsed.problems), (1, &[][..]));
}

#[test]
fn bad_lines_of_influx_cost_themselves() {
    let text = "a x=1\nb\n,t=1 x=1\nc,t x=1\nd,t= x=1\ne x=\nf x=1i2\ng x=\"open\ni x=1 soon\nj =1\nk x=1,\nl x=1 1.5\nz x=2\n";
    let parsed = parse(Format::Influx, text.as_bytes());
    assert_eq!(lines(&parsed), ["a_x - [] 1", "z_x - [] 2"]);
    assert_eq!((parsed.refused, parsed.problems[0].line), (11, 2), "{:?}", parsed.problems);
}

#[test]
fn json() {
    let text = r#"{"name":"backup_age","value":5.5,"labels":{"disk":"a","n":1,"no":null},"kind":"gauge","unit":"seconds","help":"Age.","time":1700000000.25}
{"value":true,"name":"up"}
{"name":"x","value":null}
"#;
    let parsed = parse(Format::Json, text.as_bytes());
    let all = lines(&parsed);
    assert_eq!(all[..2], ["backup_age gauge [disk=a|n=1] 5.5 @1700000000250", "up - [] 1"]);
    assert!(parsed.samples[2].value.is_nan());
    assert_eq!(parsed.problems, []);
    for (bad, message) in [
        (r#"{"name":"x"}"#, "missing field `value`"),
        (r#"{"name":"x","value":"1"}"#, "`value` is not a number"),
        (r#"{"name":"x","value":1,"label":{}}"#, "unknown field `label`, expected one of"),
        (
            r#"{"name":"x","value":1,"kind":"histogram"}"#,
            "`kind` is \"gauge\" or \"counter\", not `histogram`",
        ),
        (r#"{"name":"x","value":1,"labels":{"a":[1]}}"#, "the label `a` is neither a text nor a number"),
        (r#"{"name":"x","value":1,"time":1e300}"#, "`time` is not in seconds since 1970"),
        (r#"{"name":"x","value":1"#, "EOF while parsing an object"),
    ] {
        let parsed = parse(Format::Json, bad.as_bytes());
        assert!(parsed.samples.is_empty() && parsed.problems[0].message.starts_with(message), "{parsed:?}");
    }
}

fn named(
    name: &str,
    kind: Option<Kind>,
    unit: &str,
    prefix: &str,
) -> Result<(String, Kind, &'static str), String> {
    let sample = TextSample {
        line: 1,
        name: name.into(),
        kind,
        part: false,
        unit: unit.into(),
        help: "".into(),
        labels: vec![],
        value: 0.0,
        time: None,
    };
    naming::named(&sample, prefix).map(|named| (named.name, named.kind, named.unit.code()))
}

#[test]
fn names_are_mended_where_the_rules_say_how() {
    use Kind::{Counter, Gauge, Info};
    for (name, kind, unit, wanted) in [
        ("x", None, "", ("p_x", Gauge, "")),
        ("p_x", None, "", ("p_x", Gauge, "")),
        ("x_total", None, "", ("p_x_total", Counter, "")),
        ("x", Some(Counter), "", ("p_x_total", Counter, "")),
        ("x", Some(Counter), "bytes", ("p_x_bytes_total", Counter, "By")),
        ("x_bytes_total", Some(Counter), "By", ("p_x_bytes_total", Counter, "By")),
        ("x_seconds", None, "", ("p_x_seconds", Gauge, "s")),
        ("disk.free space", None, "", ("p_disk_free_space", Gauge, "")),
        ("9x", None, "", ("p__9x", Gauge, "")),
        ("build", Some(Info), "", ("p_build_info", Info, "")),
        ("x", None, "furlongs", ("p_x", Gauge, "")),
    ] {
        let (name_, kind_, unit_) = wanted;
        assert_eq!(named(name, kind, unit, "p_"), Ok((name_.to_owned(), kind_, unit_)), "{name}");
    }
    assert!(named("x_total", Some(Gauge), "", "").is_err());
    assert!(named("x_bytes", None, "seconds", "").unwrap_err().contains("says the unit By, and s is told"));
    assert!(named(&"x".repeat(300), None, "", "").is_err());
    assert_eq!(naming::prefix_of("/usr/bin/check-raid.sh"), "check_raid_");
    assert_eq!(naming::prefix_of(""), "");
}

#[test]
fn a_text_may_end_anywhere() {
    let influx = "weather,location=us\\ m temperature=82,s=\"a \\\" b\" 1465839830100400200\n";
    let json = "{\"name\":\"ä\",\"value\":5.5,\"labels\":{\"d\":\"a\"}}\n";
    for (format, text) in [(Format::Prometheus, PROMETHEUS), (Format::Influx, influx), (Format::Json, json)] {
        for end in 0..text.len() {
            let parsed = parse(format, &text.as_bytes()[..end]);
            assert!(parsed.refused <= 1, "only the last line can be broken: {parsed:?}");
        }
    }
}

#[test]
fn what_is_kept_of_nonsense_is_bounded() {
    let parsed = parse(Format::Prometheus, "x\n".repeat(10_000).as_bytes());
    assert_eq!((parsed.refused, parsed.problems.len()), (10_000, super::MAX_PROBLEMS));
    let parsed = parse(Format::Prometheus, format!("x {}\n", "ä".repeat(10_000)).as_bytes());
    assert!(parsed.problems[0].message.len() <= super::MAX_MESSAGE);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in FORMATS {
            let parsed = parse(format, &bytes);
            let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            prop_assert!(parsed.refused <= lines);
            for sample in &parsed.samples {
                let _ = naming::named(sample, "p_");
            }
        }
    }

    #[test]
    fn nothing_like_a_line_panics(text in "[a-c0-9_#{}=\",\\\\ \nTYPEHELPäi.+-]{0,120}") {
        for format in FORMATS {
            parse(format, text.as_bytes());
        }
    }

    #[test]
    fn two_pieces_say_what_the_whole_says(one in "[ab#=\",{} \n1TYPE]{0,60}", two in "[ab#=\",{} \n1]{0,60}") {
        for format in FORMATS {
            let one = format!("{one}\n");
            let mut parser = Parser::new(format);
            let pieces = [parser.parse(one.as_bytes()), parser.parse(two.as_bytes())];
            let whole = parse(format, format!("{one}{two}").as_bytes());
            let samples: Vec<String> = pieces.iter().flat_map(lines).collect();
            prop_assert_eq!(samples, lines(&whole));
            let numbers = pieces.iter().flat_map(|piece| &piece.problems).map(|problem| problem.line);
            prop_assert!(numbers.eq(whole.problems.iter().map(|problem| problem.line)));
        }
    }

    #[test]
    fn label_values_come_back(value in "\\PC{0,30}", number in -1e300..1e300f64) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let parsed = parse(Format::Prometheus, format!("x{{a=\"{escaped}\",b=\"c\"}} {number}\n").as_bytes());
        let sample = &parsed.samples[0];
        let known = sample.labels.iter().find(|(key, _)| key == "a").map_or("", |(_, value)| value);
        prop_assert_eq!((known, sample.value), (value.as_str(), number));
    }
}
