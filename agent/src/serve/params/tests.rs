use super::*;
use proptest::prelude::*;

const LIMIT: Whole = Whole { default: 100, least: 1, greatest: 200_000 };

fn refused(params: Params) -> Value {
    let (_, body) = params.finish().unwrap_err().body(false);
    serde_json::from_slice::<Value>(&body).unwrap()["detail"].take()
}

#[test]
fn limits_are_refused_in_the_words_of_fastapi() {
    for (query, kind, msg, ctx) in [
        ("limit=abc", "int_parsing", NOT_AN_INTEGER, Value::Null),
        ("limit=", "int_parsing", NOT_AN_INTEGER, Value::Null),
        ("limit=1.5", "int_parsing", NOT_AN_INTEGER, Value::Null),
        ("limit=0", "greater_than_equal", "Input should be greater than or equal to 1", json!({"ge": 1})),
        ("limit=-1", "greater_than_equal", "Input should be greater than or equal to 1", json!({"ge": 1})),
        (
            "limit=99999999999999999999999",
            "less_than_equal",
            "Input should be less than or equal to 200000",
            json!({"le": 200_000}),
        ),
    ] {
        let mut params = Params::new(query);
        params.whole("limit", LIMIT);
        let detail = refused(params);
        assert_eq!(detail[0]["type"], kind, "{query}");
        assert_eq!(detail[0]["loc"], json!(["query", "limit"]));
        assert_eq!(detail[0]["msg"], msg);
        assert_eq!(detail[0]["input"], query.trim_start_matches("limit="));
        assert_eq!(detail[0]["ctx"], ctx);
    }
}

#[test]
fn good_numbers() {
    for (query, expected) in
        [("", 100), ("limit=1", 1), ("limit=5&limit=7", 7), ("limit=%2B3", 3), ("limit=+4", 4)]
    {
        let mut params = Params::new(query);
        assert_eq!(params.whole("limit", LIMIT), expected, "{query}");
        params.finish().unwrap();
    }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let mut params = Params::new("limit=x&from=never&step=x&label.=a&severity=bad&%zz=1");
    params.required("metric_name");
    params.whole("limit", LIMIT);
    params.time("from");
    params.matchers();
    params.word("severity", &["info", "warning", "critical"]);
    params.steps();
    let detail = refused(params);
    let kinds: Vec<&str> =
        detail.as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "url_parsing",
            "missing",
            "int_parsing",
            "datetime_parsing",
            "value_error",
            "literal_error",
            "time_delta_parsing"
        ]
    );
    assert_eq!(
        detail[1],
        json!({"type":"missing","loc":["query","metric_name"],"msg":"Field required","input":null})
    );
    assert_eq!(detail[5]["msg"], "Input should be 'info', 'warning' or 'critical'");
}

#[test]
fn ranges_run_forward() {
    let mut params = Params::new("from=10&to=9");
    let (from, to) = (params.time("from"), params.time("to"));
    params.in_order(from, to);
    assert_eq!(refused(params)[0]["input"], "10");
}

#[test]
fn numbers_in_paths() {
    assert_eq!(path_whole("vm_id", "%31%32").unwrap(), 12);
    assert_eq!(path_whole("vm_id", "99999999999999999999").unwrap(), i64::MAX);
    for raw in ["abc", "1.0", "%zz", "%ff", "-"] {
        assert_eq!(path_whole("vm_id", raw).unwrap_err().kind, "int_parsing", "{raw}");
    }
}

proptest! {
    #[test]
    fn query_strings_never_panic(query in "([a-z.]{0,8}|limit|from|metric_name|label.x|label.x!|label.x!~|step|agg|severity|.{0,6})(=|&|%|~|!|[0-9]|.){0,40}") {
        let mut params = Params::new(&query);
        params.required("metric_name");
        let limit = params.whole("limit", LIMIT);
        params.matchers();
        params.steps();
        params.word("severity", &["info", "warning"]);
        let (from, to) = (params.time("from"), params.time("to"));
        params.in_order(from, to);
        prop_assert!((1..=200_000).contains(&limit));
        if let Err(error) = params.finish() {
            prop_assert!(serde_json::from_slice::<Value>(&error.body(true).1).is_ok());
        }
    }
}
