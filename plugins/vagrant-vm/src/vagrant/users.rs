//! Whose machines are looked at: the users of /etc/passwd, and where their indexes are.

use crate::{config::Config, machine::Owner};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

/// The most bytes of /etc/passwd: some 100 000 users.
pub(crate) const MAX_BYTES: usize = 8 << 20;

/// Where the index lies in Vagrant's home.
const INDEX: &str = "data/machine-index/index";

/// Who the agent is.
#[derive(Clone, Debug)]
pub(crate) struct Oneself {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// `VAGRANT_HOME` of its environment.
    pub(crate) vagrant_home: Option<PathBuf>,
    /// `HOME`, for one that /etc/passwd does not know.
    pub(crate) home: Option<PathBuf>,
}

impl Oneself {
    pub(crate) fn of_process() -> Self {
        let path = |key| std::env::var_os(key).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            vagrant_home: path("VAGRANT_HOME"),
            home: path("HOME"),
        }
    }
}

/// /etc/passwd.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Users(Vec<Owner>);

/// An index that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// None where whose it is has to be seen at the file itself.
    pub(crate) owner: Option<Owner>,
    /// One of everybody's: where its home is closed to the agent, nobody expects it to be read.
    pub(crate) by_the_way: bool,
}

/// Whose indexes are to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) places: Vec<Place>,
    /// Names of the configuration that nobody has.
    pub(crate) unknown: Vec<String>,
}

impl Users {
    /// Reads passwd(5). Lines that are none are passed over. The homes are made to lie below `root`.
    pub(crate) fn parse(passwd: &[u8], root: &Path) -> Self {
        let lines = passwd.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        Self(lines.filter_map(|line| user(line, root)).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn by_name(&self, name: &str) -> Option<&Owner> {
        self.0.iter().find(|user| user.name == name)
    }

    /// The user of this uid. One that is not listed is called by the number.
    pub(crate) fn by_uid(&self, uid: u32, gid: u32) -> Owner {
        let unlisted = || Owner { name: uid.to_string(), uid, gid, home: "/nonexistent".into() };
        self.0.iter().find(|user| user.uid == uid).cloned().unwrap_or_else(unlisted)
    }

    fn oneself(&self, who: &Oneself, root: &Path) -> Owner {
        let mut owner = self.by_uid(who.uid, who.gid);
        if !self.0.iter().any(|user| user.uid == who.uid)
            && let Some(home) = &who.home
        {
            owner.home = below(root, home);
        }
        owner
    }

    /// Where to look, every place once.
    pub(crate) fn places(&self, config: &Config, who: &Oneself) -> Places {
        let oneself = self.oneself(who, &config.root);
        let mut owners = Vec::new();
        let mut unknown = Vec::new();
        match &config.users {
            None if who.uid != 0 => owners.push((oneself, false)),
            None => owners.extend(self.everybody(oneself)),
            Some(names) => {
                for name in names {
                    if name == "*" {
                        owners.extend(self.everybody(oneself.clone()));
                    } else if *name == oneself.name {
                        owners.push((oneself.clone(), false));
                    } else if let Some(user) = self.by_name(name) {
                        owners.push((user.clone(), false));
                    } else {
                        unknown.push(name.clone());
                    }
                }
            }
        }
        // who is named stands before everybody
        owners.sort_by_key(|(_, by_the_way)| *by_the_way);
        let mut places = Vec::new();
        for (owner, by_the_way) in owners {
            let vagrant_home = match &who.vagrant_home {
                Some(path) if owner.uid == who.uid => below(&config.root, path),
                _ => owner.home.join(".vagrant.d"),
            };
            places.push(Place { path: vagrant_home.join(INDEX), owner: Some(owner), by_the_way });
        }
        for path in &config.index {
            places.push(Place { path: path.clone(), owner: None, by_the_way: false });
        }
        let mut seen = HashSet::new();
        places.retain(|place| seen.insert(place.path.clone()));
        unknown.sort();
        unknown.dedup();
        Places { places, unknown }
    }

    /// All users, oneself first.
    fn everybody(&self, oneself: Owner) -> Vec<(Owner, bool)> {
        let others = self.0.iter().filter(|user| user.name != oneself.name);
        let others = others.map(|user| (user.clone(), true));
        let others: Vec<_> = others.collect();
        std::iter::once((oneself, false)).chain(others).collect()
    }
}

fn user(line: &str, root: &Path) -> Option<Owner> {
    let fields: Vec<&str> = line.trim_end_matches('\r').split(':').collect();
    let &[name, _, uid, gid, _, home, _] = fields.as_slice() else { return None };
    // `+` and `-` stand for another source of users
    let named = !name.is_empty() && !name.starts_with(['+', '-', '#']) && !name.contains(char::is_control);
    if !named || !home.starts_with('/') {
        return None;
    }
    let home = below(root, Path::new(home));
    Some(Owner { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
}

/// A path of the host as the agent can open it.
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix("/").map_or_else(|_| path.to_owned(), |path| root.join(path))
}

#[cfg(test)]
#[path = "users_tests.rs"]
mod tests;
