use super::*;
use proptest::prelude::*;

const PROJECT: &str = "/srv/vms/user7-web";

fn read(text: &str) -> (VmInfo, Vec<&'static str>) {
    parse(text.as_bytes(), PROJECT).unwrap()
}

#[test]
fn the_old_systems_file_is_read() {
    let text = r#"{"name":"web","os_type":"ubuntu","ram_mb":2048,"disk_gb":20,"cpu_cores":2,"status":"running",
        "ip_address":"192.168.56.10","created_at":"2025-01-01","uptime_seconds":0,"updated_at":null}"#;
    let (info, odd) = read(text);
    assert_eq!(odd, [""; 0]);
    let expected = VmInfo {
        name: Some("web".into()),
        owner: Some("user7".into()),
        memory_bytes: Some(2_147_483_648.0),
        disk_bytes: Some(21_474_836_480.0),
        vcpus: Some(2.0),
    };
    assert_eq!(info, expected);
}

#[test]
fn values_that_can_not_be_are_ignored_and_told() {
    for value in ["-1", "0", "\"2048\"", "true", "[2]", "{}", "1e300"] {
        let (info, odd) = read(&format!(r#"{{"ram_mb":{value},"disk_gb":{value},"cpu_cores":{value}}}"#));
        assert_eq!((info.memory_bytes, info.disk_bytes, info.vcpus), (None, None, None), "{value}");
        assert_eq!(odd, ["ram_mb", "disk_gb", "cpu_cores"], "{value}");
    }
    let (info, odd) = read(r#"{"ram_mb":512.5,"disk_gb":null,"cpu_cores":1.5,"name":"a\u0000b"}"#);
    assert_eq!((info.memory_bytes, info.vcpus, info.name), (Some(537_395_200.0), None, None));
    assert_eq!(odd, ["cpu_cores", "name"]);
}

#[test]
fn what_is_no_object_says_nothing() {
    assert_eq!(parse(b"", PROJECT), Err("it breaks off in the middle"));
    assert_eq!(parse(b"{\"ram_mb\":20", PROJECT), Err("it breaks off in the middle"));
    for text in ["NaN", "{\"ram_mb\":NaN}", "{\"ram_mb\":1e999}", "ram=3"] {
        assert_eq!(parse(text.as_bytes(), PROJECT), Err("it is no JSON"), "{text}");
    }
    for text in ["[]", "3", "null", "\"x\""] {
        assert_eq!(parse(text.as_bytes(), PROJECT), Err("it is no JSON object"), "{text}");
    }
}

#[test]
fn the_folder_names_the_owner() {
    for (project, told) in [
        ("/srv/vms/user12-my-vm", Some("user12")),
        ("/srv/vms/user12-web/", Some("user12")),
        ("/srv/vms/user-web", None),
        ("/srv/vms/user12-", None),
        ("/srv/vms/user12", None),
        ("/srv/vms/userx-web", None),
        ("/srv/vms/myuser1-web", None),
        ("/", None),
    ] {
        assert_eq!(owner(project).as_deref(), told, "{project}");
    }
}

proptest! {
    #[test]
    fn garbage_gives_sensible_values_or_none(text in r#"(\{"(ram_mb|disk_gb|cpu_cores)":[-0-9.eE\[\]{}"a]{0,20}\}|.{0,60})"#) {
        if let Ok((info, _)) = parse(text.as_bytes(), PROJECT) {
            for value in [info.memory_bytes, info.disk_bytes, info.vcpus].into_iter().flatten() {
                prop_assert!(value > 0.0 && value < 1e18);
            }
        }
    }
}
