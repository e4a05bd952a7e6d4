//! Runs the real agent in directories of its own.

use crate::{
    artifacts::build,
    http::{Request, Response},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The user token of every agent of the tests.
pub const USER_TOKEN: &str = "user-token-of-the-tests";
/// How long the agent may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(5);
/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(20);

/// Where an agent lives: configuration, data, plugins, log. It stays when the agent ends, so that another one can start
/// there; it goes with the last of its handles.
#[derive(Clone, Debug)]
pub struct Home {
    dir: Arc<TempDir>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    user_token: bool,
}

impl Home {
    /// With this `agent.toml`.
    pub fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let home =
            Self { dir: Arc::new(dir), arguments: Vec::new(), environment: Vec::new(), user_token: true };
        for (directory, mode) in [(home.data(), 0o700), (home.plugins(), 0o755), (home.path("bin"), 0o755)] {
            done(DirBuilder::new().mode(mode).create(&directory), &directory);
            // whatever the umask is
            done(fs::set_permissions(&directory, Permissions::from_mode(mode)), &directory);
        }
        // the agent looks for plugins beside itself: not among all those that cargo built
        let (built, agent) = (build().agent(), home.agent());
        if fs::hard_link(built, &agent).is_err() {
            done(fs::copy(built, &agent), &agent); // another file system
        }
        home.write_config(config);
        home
    }

    /// Replaces `agent.toml`.
    pub fn write_config(&self, config: &str) {
        self.write("agent.toml", config);
    }

    /// Writes a file into the home and gives its path.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.path(name);
        done(fs::write(&file, content), &file);
        file
    }

    /// Puts the shared library of a plugin into the plugin directory: `host-cpu`, `faulty`.
    #[must_use]
    pub fn plugin(self, name: &str) -> Self {
        let library = build().library(name);
        let bytes = fs::read(library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
        let file = library.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        install(&self.plugins().join(file), &bytes);
        self
    }

    /// With more arguments after those of the harness.
    #[must_use]
    pub fn arguments<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(String::from));
        self
    }

    /// With a variable in the agent's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Without a user token: reading is open on loopback.
    #[must_use]
    pub fn without_user_token(mut self) -> Self {
        self.user_token = false;
        self
    }

    /// A path in the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The agent's binary, alone in its directory.
    pub fn agent(&self) -> PathBuf {
        self.path("bin/twarga-agent")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The plugin directory.
    pub fn plugins(&self) -> PathBuf {
        self.path("plugins")
    }

    /// What the agents that ran here wrote to standard error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("stderr.log")).unwrap_or_default()).into_owned()
    }

    /// A command line of the agent that knows of this home's configuration, data and plugins.
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(self.agent());
        command.arg(subcommand);
        command.arg("--config").arg(self.path("agent.toml"));
        command.arg("--data-dir").arg(self.data());
        command.arg("--plugin-dir").arg(self.plugins());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("TWARGA_") || text.starts_with("RUST_LOG") {
                command.env_remove(&name);
            }
        }
        if self.user_token {
            command.env("TWARGA_USER_TOKEN", USER_TOKEN);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Starts the agent and waits until it listens.
    ///
    /// # Panics
    /// Where it does not within 20 s, with its log.
    pub fn start(&self) -> Agent {
        let log = self.path("stderr.log");
        let stderr = File::options().create(true).append(true).open(&log);
        let mut command = self.command("run");
        command.args(["--listen", "127.0.0.1:0"]).args(&self.arguments);
        command.stdout(Stdio::piped()).stderr(done(stderr, &log));
        let mut child = done(command.spawn(), &self.agent());
        let lines = read_lines(child.stdout.take());
        let mut agent =
            Agent { home: self.clone(), child, lines, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        agent.address = agent.wait_for_address();
        agent
    }
}

/// Writes a plugin file as a careful operator does: to another name, then by rename. Its mode is 0755.
pub(crate) fn install(file: &Path, bytes: &[u8]) {
    let new = file.with_extension("new");
    done(fs::write(&new, bytes), &new);
    done(fs::set_permissions(&new, Permissions::from_mode(0o755)), &new);
    done(fs::rename(&new, file), file);
}

fn done<T>(result: std::io::Result<T>, what: &Path) -> T {
    result.unwrap_or_else(|error| panic!("{}: {error}", what.display()))
}

/// Reads on after the first line too: nobody must block because the pipe is full.
fn read_lines(stdout: Option<ChildStdout>) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(stdout) = stdout {
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line); // nobody listens any more: read on
            }
        });
    }
    lines
}

/// A running agent. Killed when it is dropped.
#[derive(Debug)]
pub struct Agent {
    home: Home,
    child: Child,
    lines: mpsc::Receiver<String>,
    address: SocketAddr,
}

impl Agent {
    fn wait_for_address(&mut self) -> SocketAddr {
        let Ok(line) = self.lines.recv_timeout(START) else {
            self.fail("it said nothing on standard output");
        };
        let address = line.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| self.fail(&format!("its first line on standard output is `{line}`")))
    }

    fn fail(&self, what: &str) -> ! {
        panic!("the agent: {what}\n--- its log:\n{}", self.home.log());
    }

    /// Where it lives.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output since the last call, the first line left out.
    pub fn output(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// The token that it made at its first start.
    ///
    /// # Panics
    /// Where it made none.
    pub fn admin_token(&self) -> String {
        let file = self.home.data().join("admin.token");
        done(fs::read_to_string(&file), &file).trim().into()
    }

    /// Sends a request.
    ///
    /// # Panics
    /// Where no answer comes.
    pub fn send(&self, request: &Request) -> Response {
        let answer = request.send(self.address);
        answer.unwrap_or_else(|error| self.fail(&format!("no answer to {request:?}: {error}")))
    }

    /// GET with the user token.
    pub fn get(&self, path: &str) -> Response {
        self.send(&Request::new("GET", path).token(Some(USER_TOKEN)))
    }

    /// GET with this token, or none.
    pub fn get_as(&self, token: Option<&str>, path: &str) -> Response {
        self.send(&Request::new("GET", path).token(token))
    }

    /// POST with this token, or none.
    pub fn post(&self, token: Option<&str>, path: &str, body: &str) -> Response {
        self.send(&Request::new("POST", path).token(token).body(body))
    }

    /// DELETE with this token, or none.
    pub fn delete(&self, token: Option<&str>, path: &str) -> Response {
        self.send(&Request::new("DELETE", path).token(token))
    }

    /// Looks again and again until there is something, and gives it.
    ///
    /// # Panics
    /// Where there is nothing within the limit, or the agent ends before.
    pub fn until<T>(&mut self, limit: Duration, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let end = Instant::now() + limit;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                self.fail(&format!("ended ({status}) while the test waited for {what}"));
            }
            if Instant::now() > end {
                self.fail(&format!("{what}: not within {limit:?}"));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits until `/-/ready` says so.
    pub fn until_ready(&mut self) {
        self.until(START, "readiness", |agent| (agent.get("/-/ready").status == 200).then_some(()));
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let sent = kill_process(Pid::from_child(&self.child), signal);
        sent.unwrap_or_else(|error| self.fail(&format!("can't be sent {signal:?}: {error}")));
    }

    /// Ends it with SIGTERM.
    ///
    /// # Panics
    /// Where it has not ended with status 0 within 5 s.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait(STOP);
        if !status.success() {
            self.fail(&format!("{status} after SIGTERM"));
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it has not ended within the limit.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status,
                Err(error) => self.fail(&format!("can't be waited for: {error}")),
                Ok(None) if Instant::now() > end => self.fail(&format!("has not ended within {limit:?}")),
                Ok(None) => std::thread::sleep(POLL),
            }
        }
    }

    /// Ends it with SIGKILL: as a crash or a power cut of the agent alone.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
