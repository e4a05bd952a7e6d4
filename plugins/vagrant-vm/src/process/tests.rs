use super::*;
use proptest::prelude::*;
use std::process::{Command, Stdio};

const STAT: &str = include_str!("../../tests/fixtures/process/stat");
const STATUS: &str = include_str!("../../tests/fixtures/process/status");
const CMDLINE: &str = include_str!("../../tests/fixtures/process/cmdline");

/// A root with the process 4415 as it was captured, and these contents in place of its `stat`.
fn captured(stat: &[u8]) -> (tempfile::TempDir, Processes) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("proc/4415");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("stat"), stat).unwrap();
    fs::write(folder.join("status"), STATUS).unwrap();
    // the capture has an argument a line
    fs::write(folder.join("cmdline"), CMDLINE.replace('\n', "\0")).unwrap();
    fs::write(root.path().join("proc/uptime"), "3200.50 6100.00\n").unwrap();
    let mut processes = Processes::below(root.path());
    (processes.ticks_per_second, processes.page_bytes) = (100.0, 4096.0);
    (root, processes)
}

#[test]
fn a_captured_process_is_read() {
    let (_root, processes) = captured(STAT.as_bytes());
    let run = Run { pid: 4415, start: 308_214 };
    let before = Instant::now();
    let process = processes.read(4415).unwrap();
    assert!(before <= process.at && process.at <= Instant::now());
    assert_eq!((process.run, process.state), (run, 'S'));
    assert_eq!(process.cpu_seconds, (3890.0 + 2384.0) / 100.0);
    assert_eq!(process.rss_bytes, 87292.0 * 4096.0);
    assert_eq!(processes.uid(4415).unwrap(), 64055);
    assert!((processes.age(run).unwrap() - (3200.5 - 3082.14)).abs() < 1e-6);
    let arguments = processes.arguments(4415).unwrap();
    assert_eq!(arguments[0], "/usr/bin/qemu-system-x86_64");
    assert!(arguments.windows(2).any(|pair| pair == ["-uuid", "3cd62cad-25af-45d2-90a8-171a56a7ff12"]));
    assert_eq!(arguments.len(), CMDLINE.lines().count());
    assert_eq!(processes.pids().unwrap().collect::<Vec<_>>(), [4415]);
}

#[test]
fn a_name_may_hold_what_it_likes() {
    for name in ["a b", "x) S 1 2 (y", "))", "(", "", "\n", ") R 7"] {
        let stat = STAT.replace("qemu-system-x86", name);
        let (_root, processes) = captured(stat.as_bytes());
        let process = processes.read(4415).unwrap();
        assert_eq!((process.state, process.run.start), ('S', 308_214), "{name:?}");
    }
}

#[test]
fn a_truncated_status_is_none_wherever_it_is_cut() {
    for end in 0..STAT.len() {
        let (_root, processes) = captured(&STAT.as_bytes()[..end]);
        assert_eq!(processes.read(4415).unwrap_err().kind(), io::ErrorKind::InvalidData, "{end}");
    }
}

#[test]
fn the_status_of_another_process_is_none() {
    let (_root, processes) = captured(STAT.replacen("4415", "4416", 1).as_bytes());
    assert_eq!(processes.read(4415).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn who_is_not_there_is_not_found() {
    let (_root, processes) = captured(STAT.as_bytes());
    assert_eq!(processes.read(17).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(processes.uid(17).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(processes.arguments(17).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(!processes.shows_others());
}

#[test]
fn an_argument_that_is_cut_is_left_out() {
    let (root, processes) = captured(STAT.as_bytes());
    let most = usize::try_from(MAX_COMMAND_LINE).unwrap();
    let line = format!("qemu\0-id\0{}", "x".repeat(most));
    fs::write(root.path().join("proc/4415/cmdline"), line).unwrap();
    assert_eq!(processes.arguments(4415).unwrap(), ["qemu", "-id"]);
    fs::write(root.path().join("proc/4415/cmdline"), "").unwrap();
    assert!(processes.arguments(4415).unwrap().is_empty());
    fs::write(root.path().join("proc/4415/cmdline"), "a\0\0").unwrap();
    assert_eq!(processes.arguments(4415).unwrap(), ["a", ""]);
}

/// The real /proc: what a child of this test is, and that it is not found once it was waited for.
#[test]
fn a_real_process_comes_and_goes() {
    let processes = Processes::below(Path::new("/"));
    let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
    let process = processes.read(child.id()).unwrap();
    assert_eq!(process.run.pid, child.id());
    assert!(processes.age(process.run).unwrap() < 60.0);
    assert_eq!(processes.uid(child.id()).unwrap(), rustix::process::getuid().as_raw());
    assert!(processes.pids().unwrap().any(|pid| pid == child.id()));
    let mut kept = None;
    assert_eq!(processes.read_again(child.id(), &mut kept).unwrap().run, process.run);
    assert!(kept.is_some());
    assert_eq!(processes.read_again(child.id(), &mut kept).unwrap().run, process.run);
    // its open file answers with ESRCH once it is gone
    let mut open = fs::File::open(format!("/proc/{}/stat", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let error = open.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::SRCH.raw_os_error()));
    assert_eq!(processes.read(child.id()).unwrap_err().kind(), io::ErrorKind::NotFound);
    let error = processes.read_again(child.id(), &mut kept).unwrap_err();
    assert_eq!((error.kind(), kept.is_none()), (io::ErrorKind::NotFound, true));
}

/// The clock that stands for /proc/uptime is the same.
#[test]
fn the_age_by_the_clock_is_that_by_the_file() {
    let own = Processes::below(Path::new("/"));
    let by_file = Processes { real: false, ..own.clone() };
    let run = own.read(std::process::id()).unwrap().run;
    let before = by_file.age(run).unwrap();
    let age = own.age(run).unwrap();
    // the file tells hundredths
    assert!(before - 0.01 <= age && age <= by_file.age(run).unwrap() + 0.02, "{before} {age}");
}

#[test]
fn so_many_are_kept_and_no_more() {
    static OWN: Permits = Permits(AtomicUsize::new(0));
    let mut taken: Vec<Permit> = std::iter::from_fn(|| OWN.take()).take(MAX_KEPT + 1).collect();
    assert_eq!(taken.len(), MAX_KEPT);
    taken.truncate(MAX_KEPT - 1);
    assert!(OWN.take().is_some());
    drop(taken);
    assert_eq!(OWN.0.load(Ordering::Relaxed), 0);
}

/// A status that is no process's is not kept: what was removed could still be read.
#[test]
fn a_file_elsewhere_is_opened_each_time() {
    let (root, processes) = captured(STAT.as_bytes());
    let mut kept = None;
    assert!(processes.read_again(4415, &mut kept).is_ok() && kept.is_none());
    fs::remove_dir_all(root.path().join("proc/4415")).unwrap();
    assert_eq!(processes.read_again(4415, &mut kept).unwrap_err().kind(), io::ErrorKind::NotFound);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (_root, processes) = captured(&bytes);
        let _ = processes.parse(&bytes);
        if let Ok(process) = processes.read(4415) {
            prop_assert_eq!(process.run.pid, 4415);
        }
    }
}
