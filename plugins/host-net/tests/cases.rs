//! Every folder of `testcases`: a root with `proc` and `sys`, perhaps `config.json`, and what shall come of it in
//! `expected.txt`. A folder `then` is laid over the root for a second collection, with its own `expected.txt`.
//!
//! `UPDATE_EXPECTED=1 cargo test -p host-net --test cases` writes what came.
#![allow(clippy::unwrap_used, reason = "the functions that tests share")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use twarga_plugin_api::{
    serde_json::{Value, json},
    testing::Harness,
};

fn testcases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testcases")
}

/// Lays one folder over another. Files are written in place, so that kept descriptors see what the kernel's
/// would show.
fn lay_over(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            let _ = fs::remove_file(&target);
            symlink(fs::read_link(&source).unwrap(), &target).unwrap();
        } else if kind.is_dir() {
            lay_over(&source, &target);
        } else {
            fs::write(&target, fs::read(&source).unwrap()).unwrap();
        }
    }
}

/// The auxiliary vector of a machine with pages of 4096 bytes, whatever this one has.
fn write_page_size(root: &Path) {
    fs::create_dir_all(root.join("proc/self")).unwrap();
    let vector: Vec<u8> = [6usize, 4096, 0, 0].into_iter().flat_map(usize::to_ne_bytes).collect();
    fs::write(root.join("proc/self/auxv"), vector).unwrap();
}

fn config(case: &Path, root: &Path) -> String {
    let mut config = match fs::read_to_string(case.join("config.json")) {
        Ok(text) => text.parse::<Value>().unwrap(),
        Err(_) => json!({}),
    };
    config["root"] = json!(root);
    config["source"] = json!("procfs");
    config.to_string()
}

/// What one collection brought, and what was logged, without the temporary root's path.
fn answer(harness: &mut Harness, logged: &mut usize, root: &Path) -> String {
    let outcome = harness.collect();
    let mut text = harness.partial().to_text();
    if let Err(error) = outcome {
        text.push_str(&format!("# error {error}\n"));
    }
    for (level, message) in &harness.logs()[*logged..] {
        text.push_str(&format!("# log {level:?} {message}\n"));
    }
    *logged = harness.logs().len();
    text.replace(root.to_str().unwrap(), "")
}

fn compare(expected: &Path, answer: &str) {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(expected, answer).unwrap();
    }
    let want = fs::read_to_string(expected).unwrap_or_default();
    let (missing, surplus): (Vec<_>, Vec<_>) = (
        want.lines().filter(|line| !answer.lines().any(|other| other == *line)).collect(),
        answer.lines().filter(|line| !want.lines().any(|other| other == *line)).collect(),
    );
    assert!(want == answer, "{}\nmissing: {missing:#?}\nsurplus: {surplus:#?}", expected.display());
}

fn run(case: &str) {
    let case = testcases().join(case);
    let root = tempfile::tempdir().unwrap();
    for part in ["proc", "sys"].into_iter().filter(|part| case.join(part).exists()) {
        lay_over(&case.join(part), &root.path().join(part));
    }
    write_page_size(root.path());
    let mut harness = Harness::new(host_net::plugin(), &config(&case, root.path())).unwrap();
    let mut logged = 0;
    compare(&case.join("expected.txt"), &answer(&mut harness, &mut logged, root.path()));
    let then = case.join("then");
    if then.exists() {
        for part in ["proc", "sys"].into_iter().filter(|part| then.join(part).exists()) {
            lay_over(&then.join(part), &root.path().join(part));
        }
        compare(&then.join("expected.txt"), &answer(&mut harness, &mut logged, root.path()));
    }
}

macro_rules! cases {
    ($($test:ident $case:literal)*) => {
        const CASES: &[&str] = &[$($case),*];
        $(#[test] fn $test() { run($case); })*
    };
}

cases! {
    virtual_machine "virtual-machine"
    bond_vlan "bond-vlan"
    bridge_containers "bridge-containers"
    wireless "wireless"
    tunnels_in_container "tunnels-in-container"
    recreated "recreated"
    wrap_32_bit "wrap-32-bit"
    odd_names "odd-names"
    no_ipv6 "no-ipv6"
    garbage "garbage"
    namespace_of_init "namespace-of-init"
    no_sysfs "no-sysfs"
}

#[test]
fn every_folder_is_a_case() {
    let mut folders: Vec<_> = fs::read_dir(testcases())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut cases: Vec<_> = CASES.to_vec();
    cases.sort_unstable();
    assert_eq!(folders, cases);
}
