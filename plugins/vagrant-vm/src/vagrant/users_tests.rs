use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
    bin:x:2:2:bin:/usr/sbin:/usr/sbin/nologin\n\
    # comment\n+nis::::::\nbroken:x:1\nbadid:x:-3:1::/home/badid:/bin/sh\nhomeless:x:9:9:::/bin/sh\n\
    alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash\n\
    bob:x:1001:100:Bob:/srv/bob:/bin/sh\n";

fn users(root: &str) -> Users {
    Users::parse(PASSWD.as_bytes(), Path::new(root))
}

fn who(uid: u32) -> Oneself {
    Oneself { uid, gid: uid, vagrant_home: None, home: Some("/env/home".into()) }
}

fn config(names: Option<&[&str]>) -> Config {
    let users = names.map(|names| names.iter().map(ToString::to_string).collect());
    Config { users, ..Config::default() }
}

/// Where is looked for whose, in order.
fn looked(names: Option<&[&str]>, who: &Oneself) -> Vec<(String, String)> {
    let places = users("/").places(&config(names), who);
    let told = |place: &Place| {
        let owner = place.owner.as_ref().map_or("-".to_owned(), |owner| owner.name.clone());
        let path = place.path.display().to_string();
        (owner, path.replace("/data/machine-index/index", ""))
    };
    places.places.iter().map(told).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

#[test]
fn root_looks_at_everybody_and_others_at_themselves() {
    let everybody = [
        ("root", "/root/.vagrant.d"),
        ("daemon", "/usr/sbin/.vagrant.d"),
        ("alice", "/home/alice/.vagrant.d"),
        ("bob", "/srv/bob/.vagrant.d"),
    ];
    assert_eq!(looked(None, &who(0)), pairs(&everybody));
    assert_eq!(looked(Some(&["*"]), &who(0)), pairs(&everybody));
    assert_eq!(looked(None, &who(1001)), pairs(&[("bob", "/srv/bob/.vagrant.d")]));
    assert_eq!(looked(Some(&[]), &who(0)), []);
    assert_eq!(looked(Some(&["bob", "alice", "bob"]), &who(0)).len(), 2);
}

#[test]
fn who_is_named_is_expected_to_be_readable() {
    let places = users("/").places(&config(Some(&["*", "bob"])), &who(1000)).places;
    let by_the_way: Vec<_> =
        places.iter().map(|place| (place.owner.as_ref().unwrap().name.as_str(), place.by_the_way)).collect();
    assert_eq!(by_the_way, [("alice", false), ("bob", false), ("root", true), ("daemon", true)]);
}

#[test]
fn the_agents_own_environment_is_for_its_own_user() {
    let mut who = who(1000);
    who.vagrant_home = Some("/big/vagrant".into());
    let expected = pairs(&[("alice", "/big/vagrant"), ("bob", "/srv/bob/.vagrant.d")]);
    assert_eq!(looked(Some(&["alice", "bob"]), &who), expected);
    // nobody in /etc/passwd, as in a container
    who = self::who(4242);
    assert_eq!(looked(None, &who), pairs(&[("4242", "/env/home/.vagrant.d")]));
    who.home = None;
    assert_eq!(looked(None, &who), pairs(&[("4242", "/nonexistent/.vagrant.d")]));
}

#[test]
fn who_does_not_exist_is_told() {
    let places = users("/").places(&config(Some(&["zoe", "bob", "carl", "zoe"])), &who(0));
    assert_eq!(places.unknown, ["carl", "zoe"]);
    assert_eq!(places.places.len(), 1);
}

#[test]
fn everything_lies_below_the_root() {
    let mut config = config(Some(&["root", "bob"]));
    config.root = "/host".into();
    config.index = vec!["/srv/ci/index".into(), "/srv/ci/index".into()];
    let mut who = who(0);
    who.vagrant_home = Some("/big".into());
    let places = users("/host").places(&config, &who).places;
    let paths: Vec<_> = places.iter().map(|place| place.path.to_str().unwrap()).collect();
    let expected = [
        "/host/big/data/machine-index/index",
        "/host/srv/bob/.vagrant.d/data/machine-index/index",
        // as it is configured, and once
        "/srv/ci/index",
    ];
    assert_eq!(paths, expected);
    assert_eq!(places[2].owner, None);
}

#[test]
fn garbage_is_nobody() {
    assert!(Users::parse(b"\xff:\xfe::\n\0\n:::::::::\n::::::\n", Path::new("/")).is_empty());
    let spoilt = users("/").by_uid(77, 78);
    assert_eq!((spoilt.name.as_str(), spoilt.uid, spoilt.gid), ("77", 77, 78));
}
