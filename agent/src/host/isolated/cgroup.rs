//! A control group for each isolated plugin, where systemd has delegated the agent's own (`Delegate=yes`): limits that
//! hold for root too, and a kill that nobody escapes. cgroups(7), version 2 alone.

use rustix::fs::getxattr;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const MOUNT: &str = "/sys/fs/cgroup";
/// Where the agent itself goes: a group with limited groups below it may have no processes of its own.
const OWN: &str = "agent";

/// A group that the agent may divide.
#[derive(Debug)]
pub(super) struct Delegated(PathBuf);

impl Delegated {
    /// The agent's own group, or the one above where systemd has put it into a group of its own (`DelegateSubgroup=`).
    /// Nothing where neither is delegated.
    pub(super) fn find() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let found = find_in(Path::new(MOUNT), &own, is_delegated)?;
        match found.prepare(std::process::id()) {
            Ok(()) => Some(found),
            Err(error) => {
                tracing::debug!("no control groups for plugins: {}: {error}", found.0.display());
                None
            }
        }
    }

    /// Moves the agent out of the way, and has the kernel count memory and processes of the groups below.
    fn prepare(&self, agent: u32) -> io::Result<()> {
        if fs::read_to_string(self.0.join("cgroup.procs"))?.lines().next().is_some() {
            make(&self.0.join(OWN))?;
            fs::write(self.0.join(OWN).join("cgroup.procs"), agent.to_string())?;
        }
        fs::write(self.0.join("cgroup.subtree_control"), "+memory +pids")
    }

    /// The group of one process of a plugin, with these limits. Not of the plugin: while a new version is tried out, or a
    /// process follows another, there are two, and the end of one must not be the other's.
    pub(super) fn group(&self, plugin: &str, pid: i32, memory: u64, processes: u64) -> io::Result<Group> {
        let group = Group(self.0.join(format!("plugin-{plugin}-{pid}")));
        make(&group.0)?;
        fs::write(group.0.join("memory.max"), memory.to_string())?;
        fs::write(group.0.join("pids.max"), processes.to_string())?;
        Ok(group)
    }
}

/// The group of one process of a plugin. It goes when it is dropped and nobody is in it.
#[derive(Debug)]
pub(super) struct Group(PathBuf);

impl Group {
    /// Puts a process into it, before it runs anything of the plugin.
    pub(super) fn add(&self, pid: i32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }

    /// Kills all that are in it; a kernel before 5.14 can't.
    pub(super) fn kill(&self) {
        if let Err(error) = fs::write(self.0.join("cgroup.kill"), "1") {
            tracing::debug!("{}: {error}", self.0.display());
        }
    }

    /// How often the kernel has ended somebody in it for want of memory.
    pub(super) fn out_of_memory(&self) -> u64 {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
        count.unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0); // somebody may be dying in it: an empty group costs nothing
    }
}

fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn find_in(mount: &Path, own: &str, delegated: impl Fn(&Path) -> bool) -> Option<Delegated> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = mount.join(path);
    let candidates = [Some(group.as_path()), group.parent()];
    let found = candidates.into_iter().flatten().find(|group| *group != mount && delegated(group))?;
    Some(Delegated(found.into()))
}

/// systemd says so by an extended attribute.
fn is_delegated(group: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].into_iter().any(|name| {
        let mut value = [0; 8];
        getxattr(group, name, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_group_or_the_one_above() {
        let mount = Path::new("/cg");
        let find =
            |own: &str, at: &str| find_in(mount, own, |group| group == Path::new(at)).map(|found| found.0);
        let own = "3:pids:/x\n0::/system.slice/agent.service\n";
        let group = PathBuf::from("/cg/system.slice/agent.service");
        assert_eq!(find(own, "/cg/system.slice/agent.service"), Some(group.clone()));
        assert_eq!(
            find("0::/system.slice/agent.service/main", "/cg/system.slice/agent.service"),
            Some(group)
        );
        assert_eq!(find(own, "/cg"), None);
        assert_eq!(find("0::/\n", "/cg"), None, "never the root");
        assert_eq!(find("3:pids:/x\n", "/cg/x"), None, "version 1");
    }

    #[test]
    fn a_plugin_gets_a_group_with_limits() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.procs"), "12\n").unwrap();
        let delegated = Delegated(dir.path().into());
        delegated.prepare(12).unwrap();
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).unwrap();
        assert_eq!(
            (read("agent/cgroup.procs").as_str(), read("cgroup.subtree_control").as_str()),
            ("12", "+memory +pids")
        );
        let group = delegated.group("thermal", 77, 1 << 20, 5).unwrap();
        group.add(77).unwrap();
        group.kill();
        for (file, text) in
            [("memory.max", "1048576"), ("pids.max", "5"), ("cgroup.procs", "77"), ("cgroup.kill", "1")]
        {
            assert_eq!(read(&format!("plugin-thermal-77/{file}")), text, "{file}");
        }
        assert_eq!(group.out_of_memory(), 0);
        fs::write(dir.path().join("plugin-thermal-77/memory.events"), "oom 2\noom_kill 3\n").unwrap();
        assert_eq!(group.out_of_memory(), 3);
        delegated.group("thermal", 77, 1 << 20, 5).unwrap();
    }
}
