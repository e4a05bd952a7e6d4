//! The host's values and their history.

use super::*;

fn two_decimals(value: &Value) -> bool {
    let text = value.to_string();
    text.split_once('.').is_some_and(|(_, decimals)| decimals.len() <= 2)
}

#[test]
fn the_host_has_the_keys_of_the_old_system_in_its_order() {
    let mut agent = host_agent("");
    // until a rate of the network and the processor's usage are there
    let answer = agent.until(Duration::from_secs(10), "all 23 values", |agent| {
        let answer = agent.get("/api/metrics/host");
        answer.json().get("unavailable").is_none().then_some(answer)
    });
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(keys_in_order(answer.text()), HOST_KEYS);
    let host = answer.json();
    assert_stamp(&host["timestamp"]);
    for (key, value) in host.as_object().unwrap() {
        match key.as_str() {
            "cpu_count" | "uptime_seconds" => assert!(value.is_u64(), "{key}: {value}"),
            "timestamp" => {}
            _ => assert!(value.is_f64() && two_decimals(value), "{key}: {value}"),
        }
    }
    for key in ["cpu_percent", "memory_percent", "swap_percent", "disk_percent"] {
        assert!((0.0..=100.0).contains(&host[key].as_f64().unwrap()), "{key} of {host}");
    }
}

#[test]
fn history_is_newest_first_and_bounded() {
    let mut agent = host_agent("");
    for (name, unit) in HISTORY_NAMES {
        let path = format!("/api/metrics/host/history?metric_name={name}");
        let answer = agent.until(Duration::from_secs(10), name, |agent| {
            let answer = agent.get(&path);
            (answer.json()["count"].as_u64() >= Some(3)).then_some(answer)
        });
        assert_eq!(keys_in_order(answer.text())[..3], ["metric_name", "count", "data"]);
        let answer = answer.json();
        assert_eq!(answer["metric_name"], *name);
        let data = answer["data"].as_array().unwrap();
        assert_eq!(answer["count"], data.len());
        for point in data {
            assert_eq!(keys(point), ["timestamp", "unit", "value"]);
            assert_stamp(&point["timestamp"]);
            assert_eq!(point["unit"], *unit);
            assert!(two_decimals(&point["value"]), "{point}");
        }
        let times: Vec<&str> = data.iter().map(|point| point["timestamp"].as_str().unwrap()).collect();
        assert!(times.windows(2).all(|two| two[0] > two[1]), "{times:?}");
        // a limit keeps the newest
        let two = agent.get(&format!("{path}&limit=2&to={}", times[0])).json();
        assert_eq!(two["data"].as_array().unwrap().as_slice(), &data[..2]);
        let oldest = times[times.len() - 1];
        let one = agent.get(&format!("{path}&from={oldest}&to={oldest}")).json();
        assert_eq!(one["data"], json!([data[times.len() - 1]]));
    }
    let unknown = agent.get("/api/metrics/host/history?metric_name=no_such_metric");
    assert_eq!(unknown.status, 200);
    assert_eq!(unknown.json(), json!({"metric_name": "no_such_metric", "count": 0, "data": [], "gaps": []}));
}

#[test]
fn history_has_a_hundred_points_by_default() {
    let home = Home::new(&config("1h", &[], ""));
    let began = Timestamp::now().minus(Duration::from_secs(3600));
    let times: Vec<Timestamp> = (0..150).map(|n| began.plus(Duration::from_secs(n))).collect();
    old_samples(&home, &times);
    let agent = home.start();
    let path = "/api/metrics/host/history?metric_name=old_value";
    for (query, count) in [("", 100), ("&limit=1", 1), ("&limit=149", 149), ("&limit=200000", 150)] {
        let answer = agent.get(&format!("{path}{query}")).json();
        assert_eq!(answer["count"], count, "{query}");
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), count);
        let newest = times.iter().rev().take(count).map(ToString::to_string);
        assert!(data.iter().zip(newest).all(|(point, time)| point["timestamp"] == time), "{answer}");
    }
}

#[test]
fn several_series_are_told_apart_by_their_labels() {
    let agent = quiet_agent();
    let path = "/api/metrics/host/history?metric_name=synthetic_value";
    let answer = agent.get(path);
    assert_eq!(invalid(&answer), [("ambiguous_series".to_string(), "query.metric_name".to_string())]);
    let detail = &answer.json()["detail"][0];
    assert_eq!(detail["ctx"]["labels"], json!({"n": ["0", "1"]}));
    assert_eq!(detail["input"], "synthetic_value");
    assert!(detail["msg"].as_str().unwrap().contains("label.n (0, 1)"), "{detail}");
    let chosen = agent.get(&format!("{path}&label.n=1")).json();
    assert!(chosen["data"][0]["value"].as_f64().unwrap() > 1000.0, "{chosen}");
    assert_eq!(agent.get(&format!("{path}&label.n=7")).json()["count"], 0);
    assert_eq!(agent.get(&format!("{path}&label.other=7")).json()["count"], 0);
}

#[test]
fn a_device_is_chosen_by_its_label() {
    let agent = host_agent("");
    let path = "/api/metrics/host/history?metric_name=host_network_receive_bytes_total";
    let answer = agent.get(path);
    if answer.status == 422 {
        let choices = answer.json()["detail"][0]["ctx"]["labels"]["device"].clone();
        assert!(choices.as_array().unwrap().contains(&json!("lo")), "{choices}");
    } else {
        println!("skipped: this machine has one interface only");
    }
    let answer = agent.get(&format!("{path}&label.device=lo")).json();
    assert_eq!(answer["data"][0]["unit"], "By", "{answer}");
}

#[test]
fn times_as_the_old_system_wrote_them() {
    let agent = host_agent("[http]\ntimestamps = \"legacy\"");
    let shape = |value: &Value| -> String {
        value.as_str().unwrap().chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
    };
    let legacy = |value: &Value| {
        let shape = shape(value);
        assert!(shape == "0000-00-00T00:00:00.000000" || shape == "0000-00-00T00:00:00", "{value}");
    };
    legacy(&agent.get("/api/metrics/host").json()["timestamp"]);
    legacy(&agent.get("/api/metrics/alerts").json()["timestamp"]);
    legacy(&agent.get("/api/metrics/host/history?metric_name=host_load1").json()["data"][0]["timestamp"]);
    assert_stamp(&agent.get("/api/plugins").json()["timestamp"]);
}
