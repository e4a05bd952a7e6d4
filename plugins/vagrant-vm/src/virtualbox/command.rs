//! Runs VBoxManage as the user whose machines it is asked about.

use crate::machine::{Owner, Reason};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};
use std::{
    ffi::OsString,
    io::{self, Read},
    os::{
        fd::AsFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Where it is looked for without a `PATH`, and the `PATH` that it gets.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Between two looks along `PATH`.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// It prints some 10 KB.
const MAX_OUTPUT: usize = 256 << 10;
/// Of what it says when it fails.
const MAX_COMPLAINT: usize = 4 << 10;
/// Between two looks whether it has ended whose pipes are still open.
const LOOK: Duration = Duration::from_millis(20);
/// How long a killed program may take to vanish. The kernel is quick, but where it hangs in a system call.
const VANISH: Duration = Duration::from_millis(500);

/// Where VBoxManage lies.
pub(super) struct Program {
    command: PathBuf,
    path: OsString,
    found: Option<PathBuf>,
    looked: Option<Instant>,
}

impl Program {
    pub(super) fn new(command: &Path) -> Self {
        let path = std::env::var_os("PATH").filter(|path| !path.is_empty());
        Self { command: command.into(), path: path.unwrap_or_else(|| PATH.into()), found: None, looked: None }
    }

    /// The program, if it is there. It is looked for once a minute at most.
    pub(super) fn find(&mut self) -> Option<&Path> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
            self.looked = Some(Instant::now());
            let is_program = |path: &PathBuf| {
                path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
            };
            self.found = match self.command.components().count() {
                1 => std::env::split_paths(&self.path)
                    .filter(|folder| folder.is_absolute())
                    .map(|folder| folder.join(&self.command))
                    .find(is_program),
                _ => Some(self.command.clone()).filter(is_program),
            };
        }
        self.found.as_deref()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    /// VirtualBox is there, and knows no such machine, disk or property.
    NotFound,
    Told(Reason),
}

/// Asks, and waits for the answer for as long as `limit`. Setting `stop` ends it at once.
///
/// # Errors
/// Where it can't be started, does not end in time, or fails.
pub(super) fn ask(
    program: &Path,
    owner: &Owner,
    question: &[&str],
    limit: Duration,
    stop: &AtomicBool,
) -> Result<String, Failure> {
    let told = |text: String| Failure::Told(text.into());
    let mut command = command(program, owner)?;
    let child = command.args(question).spawn();
    let child = child.map_err(|error| told(format!("VBoxManage can't be started: {error}")))?;
    let mut running = Running { child, ended: None };
    let mut output = Pipe::new(running.child.stdout.take(), MAX_OUTPUT);
    let mut complaint = Pipe::new(running.child.stderr.take(), MAX_COMPLAINT);
    let until = Instant::now() + limit;
    loop {
        // it may have written its last words between the reading and the look
        let ended = running.has_ended();
        output.read();
        complaint.read();
        if output.over {
            return Err(Failure::Told("VBoxManage prints without end".into()));
        }
        if ended {
            break;
        }
        if Instant::now() >= until || stop.load(Ordering::Relaxed) {
            return Err(told(format!("VBoxManage did not answer within {} s", limit.as_secs_f64())));
        }
        wait_for_output((&output, &complaint), until);
    }
    let status = running.bury();
    if status.is_some_and(|status| status.success()) {
        return Ok(String::from_utf8_lossy(&output.bytes).into_owned());
    }
    let complaint = String::from_utf8_lossy(&complaint.bytes);
    if complaint.contains("VBOX_E_OBJECT_NOT_FOUND") {
        return Err(Failure::NotFound);
    }
    let line = complaint.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it says nothing");
    let line: String = line.strip_prefix("VBoxManage: error: ").unwrap_or(line).chars().take(160).collect();
    Err(told(format!("VBoxManage failed: {line}")))
}

/// The program as its owner would start it: root becomes that user, with none of root's groups and none of the agent's
/// variables.
fn command(program: &Path, owner: &Owner) -> Result<Command, Failure> {
    let mut command = Command::new(program);
    let user = rustix::process::geteuid();
    if user.is_root() {
        command.uid(owner.uid).gid(owner.gid);
    } else if user.as_raw() != owner.uid {
        return Err(Failure::Told("only root can ask VirtualBox about another user's machines".into()));
    }
    command.env_clear().env("HOME", &owner.home).env("USER", &owner.name).env("LOGNAME", &owner.name);
    command.env("PATH", PATH).env("LANG", "C").env("LC_ALL", "C");
    command.current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// One of the program's outputs, read without ever waiting for it.
struct Pipe<R> {
    pipe: Option<R>,
    bytes: Vec<u8>,
    most: usize,
    /// There was more.
    over: bool,
}

impl<R: Read + AsFd> Pipe<R> {
    fn new(pipe: Option<R>, most: usize) -> Self {
        let never_waits = |pipe: &R| {
            let flags = fcntl_getfl(pipe)?;
            fcntl_setfl(pipe, flags | OFlags::NONBLOCK)
        };
        Self { pipe: pipe.filter(|pipe| never_waits(pipe).is_ok()), bytes: Vec::new(), most, over: false }
    }

    /// Reads what there is, up to one pipe's content; what is beyond `most` is dropped.
    fn read(&mut self) {
        let mut buffer = [0; 16 << 10];
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    let room = self.most - self.bytes.len();
                    self.bytes.extend_from_slice(&buffer[..count.min(room)]);
                    self.over |= count > room;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}

fn wait_for_output<A: AsFd, B: AsFd>((output, complaint): (&Pipe<A>, &Pipe<B>), until: Instant) {
    let left = until.saturating_duration_since(Instant::now()).min(LOOK);
    let mut pipes = Vec::with_capacity(2);
    pipes.extend(output.pipe.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
    pipes.extend(complaint.pipe.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
    let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
    let _ = poll(&mut pipes, Some(&timeout)); // interrupted, or over: looked at anew either way
}

/// The program while it runs. Dropping it kills its process group. One that ended by itself leaves its group alone:
/// VBoxSVC, which other machines need, may be in it.
struct Running {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Whether it has ended. It stays a zombie until it is buried, so that its group's number can't be another one's.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), options), Ok(None))
    }

    fn bury(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + VANISH;
        while self.ended.is_none() && Instant::now() < until {
            self.ended = self.child.try_wait().ok().flatten();
            if self.ended.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL); // it may be empty
            self.bury();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{process::Processes, virtualbox::tests::script};
    use std::fs;

    fn own() -> Owner {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Owner { name: "lab".into(), uid, gid, home: "/home/lab".into() }
    }

    /// Asks a program with this text; `limit` in milliseconds.
    fn answer(text: &str, limit: u64) -> Result<String, Failure> {
        let (_folder, program) = script(text);
        ask(&program, &own(), &["showvminfo", "a b"], Duration::from_millis(limit), &AtomicBool::new(false))
    }

    fn reason(text: &str, limit: u64) -> String {
        match answer(text, limit) {
            Err(Failure::Told(reason)) => reason.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_gets_its_arguments_and_nothing_of_the_agents() {
        let text = r#"printf '%s|' "$@" "$HOME" "$USER" "$LOGNAME" "$LANG" "$PWD"; echo; env"#;
        let answer = answer(text, 10_000).unwrap();
        let (told, environment) = answer.split_once('\n').unwrap();
        assert_eq!(told, "showvminfo|a b|/home/lab|lab|lab|C|/|");
        // what a shell adds by itself, too
        let known = ["HOME", "USER", "LOGNAME", "PATH", "LANG", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"];
        let names = environment.lines().filter_map(|line| Some(line.split_once('=')?.0));
        let others: Vec<&str> = names.filter(|name| !known.contains(name)).collect();
        assert_eq!(others, [""; 0]);
        assert!(std::env::vars_os().any(|(name, _)| !known.iter().any(|known| name == *known)));
    }

    #[test]
    fn root_becomes_the_owner_and_others_can_t() {
        let (_folder, program) = script("id -u; id -g; id -G; echo $HOME");
        let is_root = rustix::process::geteuid().is_root();
        let uid = if is_root { 65_534 } else { own().uid + 1 };
        let owner = Owner { name: "other".into(), uid, gid: 65_533, home: "/nowhere".into() };
        let told = ask(&program, &owner, &[], Duration::from_secs(10), &AtomicBool::new(false));
        if is_root {
            assert_eq!(told.unwrap(), "65534\n65533\n65533\n/nowhere\n");
        } else {
            let Err(Failure::Told(reason)) = told else { panic!("{told:?}") };
            assert!(reason.contains("only root"), "{reason}");
        }
    }

    #[test]
    fn errors_are_told() {
        let text = "echo 'VBoxManage: error: The object is not ready' >&2; exit 1";
        assert_eq!(reason(text, 10_000), "VBoxManage failed: The object is not ready");
        assert_eq!(reason("exit 1", 10_000), "VBoxManage failed: it says nothing");
        assert_eq!(reason("kill -9 $$", 10_000), "VBoxManage failed: it says nothing");
        let text = "echo \"VBoxManage: error: Could not find a registered machine with UUID {x}\" >&2
            echo 'VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component VirtualBoxWrap' >&2
            exit 1";
        assert_eq!(answer(text, 10_000), Err(Failure::NotFound));
        // its words alone, of another error, don't make a machine gone
        let text = "echo 'VBoxManage: error: Could not find a registered machine with UUID {x}' >&2; exit 1";
        assert!(reason(text, 10_000).starts_with("VBoxManage failed: Could not find"));
        let missing =
            ask(Path::new("/no/such"), &own(), &[], Duration::from_secs(1), &AtomicBool::new(false));
        let Err(Failure::Told(missing)) = missing else { panic!("{missing:?}") };
        assert!(missing.starts_with("VBoxManage can't be started: "), "{missing}");
    }

    /// Waits until the file has a number, and answers it.
    fn number_in(file: &Path) -> u32 {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(number) = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
                return number;
            }
            assert!(Instant::now() < until, "nothing in {}", file.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_until_ended(pid: u32) {
        let processes = Processes::below(Path::new("/"));
        let until = Instant::now() + Duration::from_secs(10);
        while processes.read(pid).is_ok_and(|process| process.state != 'Z') {
            assert!(Instant::now() < until, "{pid} lives");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn who_hangs_is_killed_with_everything_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let text = format!("sleep 600 & echo $! > {}; wait", file.display());
        let began = Instant::now();
        assert_eq!(reason(&text, 1500), "VBoxManage did not answer within 1.5 s");
        assert!(began.elapsed() < Duration::from_secs(20));
        wait_until_ended(number_in(&file));
    }

    #[test]
    fn who_is_told_to_stop_is_killed_before_its_time() {
        let stop = AtomicBool::new(true);
        let (_folder, program) = script("sleep 600");
        let began = Instant::now();
        assert!(ask(&program, &own(), &[], Duration::from_secs(600), &stop).is_err());
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_child_that_stays_is_not_waited_for_and_not_killed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let text = format!("sleep 600 & echo $! > {}; echo answer", file.display());
        let began = Instant::now();
        assert_eq!(answer(&text, 60_000).unwrap(), "answer\n");
        assert!(began.elapsed() < Duration::from_secs(30));
        let pid = number_in(&file);
        assert!(Processes::below(Path::new("/")).read(pid).is_ok(), "it may be VBoxSVC");
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[test]
    fn who_floods_is_ended() {
        assert_eq!(
            reason("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", 60_000),
            "VBoxManage prints without end"
        );
        let began = Instant::now();
        let text = "head -c 1000000 /dev/zero >&2; exit 1";
        assert!(reason(text, 60_000).starts_with("VBoxManage failed: "), "what it says is bounded");
        assert!(began.elapsed() < Duration::from_secs(60));
        assert_eq!(
            answer("head -c 200000 /dev/zero", 60_000).unwrap().len(),
            200_000,
            "more than a pipe holds"
        );
    }

    #[test]
    fn the_program_is_looked_for_along_the_path() {
        let (folder, program) = script("");
        let find = |command: &str, path: &Path| {
            let mut looked = Program { path: path.into(), ..Program::new(Path::new(command)) };
            looked.find().map(Path::to_owned)
        };
        assert_eq!(find("VBoxManage", folder.path()), Some(program.clone()));
        assert_eq!(find("VBoxManage", Path::new("/no/such:relative")), None);
        assert_eq!(find(program.to_str().unwrap(), Path::new("/")), Some(program.clone()));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find("VBoxManage", folder.path()), None, "no program");
        assert_eq!(find(folder.path().to_str().unwrap(), Path::new("/")), None, "a folder");
    }

    #[test]
    fn it_is_not_looked_for_at_every_round() {
        let (folder, program) = script("");
        let mut looked = Program { path: folder.path().into(), ..Program::new(Path::new("VBoxManage")) };
        assert!(looked.find().is_some());
        fs::remove_file(program).unwrap();
        assert!(looked.find().is_some(), "for a minute it is taken to be there");
        looked.looked = Instant::now().checked_sub(LOOK_AGAIN);
        assert!(looked.find().is_none());
    }
}
