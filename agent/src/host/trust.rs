//! Who could have written a plugin file. What the agent runs must be as safe from others as the agent itself.

use super::error::Refusal;
use rustix::process::geteuid;
use std::{
    fs::{File, Metadata, read_to_string},
    os::unix::fs::MetadataExt,
    path::Path,
};

const WORLD_WRITABLE: u32 = 0o002;
const GROUP_WRITABLE: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// Checks an open file and every directory above it. `canonical` is its path without symbolic links.
///
/// # Errors
/// [`Refusal::Untrusted`], naming the file or directory, its owner and mode.
pub(super) fn check(canonical: &Path, file: &File) -> Result<(), Refusal> {
    let accounts = Accounts::read();
    let user = geteuid().as_raw();
    judge("it", &file.metadata()?, user, &accounts, false)?;
    for directory in canonical.ancestors().skip(1) {
        let meta = directory.metadata()?;
        judge(&format!("the directory {}", directory.display()), &meta, user, &accounts, true)?;
    }
    Ok(())
}

fn judge(
    what: &str,
    meta: &Metadata,
    user: u32,
    accounts: &Accounts,
    directory: bool,
) -> Result<(), Refusal> {
    let permissions = Permissions { owner: meta.uid(), group: meta.gid(), mode: meta.mode() };
    permissions.problem(user, accounts, directory).map_or(Ok(()), |problem| {
        Err(Refusal::Untrusted(format!("{what} {problem} (mode {:04o})", permissions.mode & 0o7777)))
    })
}

struct Permissions {
    owner: u32,
    group: u32,
    mode: u32,
}

impl Permissions {
    fn problem(&self, user: u32, accounts: &Accounts, directory: bool) -> Option<String> {
        if self.owner != 0 && self.owner != user {
            let allowed =
                if user == 0 { "root alone may own it" } else { "root or the agent's user must own it" };
            return Some(format!("belongs to user {}, and {allowed}", self.owner));
        }
        // in a sticky directory only the owner of an entry may replace it
        let sticky = directory && self.mode & STICKY != 0;
        if self.mode & WORLD_WRITABLE != 0 && !sticky {
            return Some("is writable for everyone".into());
        }
        if self.mode & GROUP_WRITABLE != 0 && !sticky && !accounts.private_group(self.owner, self.group) {
            return Some(format!(
                "is writable for group {}, which is not its owner's private group",
                self.group
            ));
        }
        None
    }
}

/// Users and groups of this machine, as far as a private group needs them.
#[derive(Debug, Default)]
struct Accounts {
    /// name, uid, primary gid
    users: Vec<(String, u32, u32)>,
    /// name, gid, members
    groups: Vec<(String, u32, Vec<String>)>,
}

impl Accounts {
    fn read() -> Self {
        let text = |path| read_to_string(path).unwrap_or_default();
        Self::parse(&text("/etc/passwd"), &text("/etc/group"))
    }

    fn parse(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?.into(), fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        let groups = group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, gid) = (fields.next()?.into(), fields.nth(1)?.parse().ok()?);
            let members = fields.next()?.split(',').filter(|name| !name.is_empty()).map(Into::into);
            Some((name, gid, members.collect()))
        });
        Self { users: users.collect(), groups: groups.collect() }
    }

    /// A private group has the name of its user, is its primary group, and has nobody else in it. Accounts that are
    /// not in the local files (a directory service) can't be judged, so their groups are not private.
    fn private_group(&self, owner: u32, group: u32) -> bool {
        let Some((user, _, primary)) = self.users.iter().find(|(_, uid, _)| *uid == owner) else {
            return false;
        };
        let Some((name, _, members)) = self.groups.iter().find(|(_, gid, _)| *gid == group) else {
            return false;
        };
        let others = self.users.iter().any(|(_, uid, gid)| *gid == group && *uid != owner);
        *primary == group && name == user && !others && members.iter().all(|member| member == user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n\
                          bob:x:1001:1001::/:\ncid:x:1002:1001::/:\nbroken\n";
    const GROUP: &str = "root:x:0:\nann:x:1000:\nbob:x:1001:\nstaff:x:50:ann\nshared:x:1003:ann,bob\n";

    fn problem(owner: u32, group: u32, mode: u32, user: u32, directory: bool) -> Option<String> {
        Permissions { owner, group, mode }.problem(user, &Accounts::parse(PASSWD, GROUP), directory)
    }

    #[test]
    fn owners() {
        assert_eq!(problem(0, 0, 0o755, 1000, false), None);
        assert_eq!(problem(1000, 1000, 0o755, 1000, false), None);
        assert!(problem(1001, 1001, 0o755, 1000, false).unwrap().contains("belongs to user 1001"));
        assert!(problem(1000, 1000, 0o755, 0, false).unwrap().contains("root alone"));
    }

    #[test]
    fn a_private_group_may_write_and_no_other() {
        assert_eq!(problem(1000, 1000, 0o775, 1000, false), None);
        assert_eq!(problem(0, 0, 0o775, 1000, false), None);
        for group in [50, 1001, 1003, 4711] {
            assert!(problem(1000, group, 0o775, 1000, false).is_some(), "{group}");
        }
        assert!(problem(1001, 1001, 0o775, 1001, false).is_some(), "cid has bob's group too");
    }

    #[test]
    fn nobody_else_may_write() {
        assert!(problem(1000, 1000, 0o757, 1000, false).unwrap().contains("everyone"));
        assert_eq!(problem(0, 0, 0o1777, 1000, true), None);
        assert!(problem(0, 0, 0o1777, 1000, false).is_some(), "sticky means nothing on a file");
        assert!(problem(0, 0, 0o777, 1000, true).is_some());
    }
}
