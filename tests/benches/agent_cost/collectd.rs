//! Debian's collectd with the plugins that read what the agent's read, and nothing that writes.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};
use tempfile::TempDir;

const PLUGINS: [&str; 8] = ["cpu", "memory", "swap", "df", "disk", "interface", "load", "uptime"];

/// Without a write plugin it would complain once for each value, and that complaint would cost more than the value.
const QUIET: &str = "PostCacheChain \"quiet\"\n<Chain \"quiet\">\n  Target \"stop\"\n</Chain>\n";

/// A running collectd. Killed when it is dropped.
pub(super) struct Collectd {
    child: Child,
    _home: TempDir,
}

impl Collectd {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Collectd {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Starts it; the error says why it can't be compared with.
pub(super) fn start() -> Result<Collectd, String> {
    let text = |error: std::io::Error| error.to_string();
    let home = tempfile::tempdir().map_err(text)?;
    let at = home.path().display();
    let plugins: String = PLUGINS.iter().map(|plugin| format!("LoadPlugin {plugin}\n")).collect();
    let config = format!(
        "Hostname \"bench\"\nFQDNLookup false\nBaseDir \"{at}\"\nPIDFile \"{at}/pid\"\nInterval 1\n{plugins}{QUIET}"
    );
    let file = home.path().join("collectd.conf");
    fs::write(&file, config).map_err(text)?;
    let log = home.path().join("log");
    let output = File::create(&log).map_err(text)?;
    let also = output.try_clone().map_err(text)?;
    // Debian keeps it where only root's path leads
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("collectd");
    command.arg("-f").arg("-C").arg(&file).env("PATH", path);
    command.stdin(Stdio::null()).stdout(output).stderr(also);
    let child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "not installed".into(),
        _ => text(error),
    })?;
    let mut collectd = Collectd { child, _home: home };
    sleep(Duration::from_secs(2));
    match collectd.child.try_wait().map_err(text)? {
        None => Ok(collectd),
        Some(status) => Err(format!("{status}: {}", fs::read_to_string(log).unwrap_or_default().trim())),
    }
}
