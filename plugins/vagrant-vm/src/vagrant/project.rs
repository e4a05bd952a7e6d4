//! What Vagrant keeps of a machine in its project, `.vagrant/machines/<name>/<provider>/`, and what else lies there.

use super::{
    files::{Files, Reader, Refusal, Stamp, is_absence},
    index::{self, Entry},
    users::below,
    vm_info,
};
use crate::machine::{Machine, Owner, Reason, VmInfo};
use std::path::{Path, PathBuf};
use twarga_plugin_api::Level;

/// An id may be bad for so many scans before it counts: it is rewritten in place.
pub(crate) const PATIENCE: u32 = 2;

/// All that is said of it outside of the log: it names the folders of others, and why they can't be read is not its to know.
const NOT_KNOWN: &str = "its id is not known";

const MAX_ID_BYTES: usize = 256;
const MAX_BOX_META_BYTES: usize = 64 << 10;

/// The files of a machine, read again when they changed.
pub(crate) struct Project {
    entry: Entry,
    local_data: PathBuf,
    id_file: Watched,
    /// Read where the index names no box.
    box_meta: Option<Watched>,
    vm_info_file: Option<Watched>,
    id: Id,
    /// The last good one.
    last_id: Option<String>,
    /// It was there without an id: not created.
    met_without: bool,
    box_name: Option<String>,
    vm_info: Option<VmInfo>,
    /// What is wrong with `.vm_info`.
    odd: Option<String>,
}

/// What is known of the id now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Id {
    /// Never created, or destroyed.
    Absent,
    Known,
    /// Why not, and for how many scans.
    Unread(Reason, u32),
}

/// Why there is no machine of an entry.
pub(crate) struct Unmet {
    /// The id is being written, perhaps.
    pub(crate) early: bool,
    pub(crate) reason: &'static str,
}

/// A file and when it was read.
struct Watched {
    path: PathBuf,
    most: usize,
    read: Option<Stamp>,
    /// The last attempt failed: once more, though nothing changed.
    again: bool,
}

/// What became of a file since the last time.
enum News {
    Same,
    Gone,
    Content(Vec<u8>),
    Refused(Refusal),
}

impl Watched {
    fn new(path: PathBuf, most: usize) -> Self {
        Self { path, most, read: None, again: false }
    }

    fn look(&mut self, files: &dyn Files, reader: Reader) -> News {
        let stamp = match files.stat(&self.path) {
            Ok(stamp) => stamp,
            Err(error) => {
                self.read = None;
                return if is_absence(&error) { News::Gone } else { News::Refused(Refusal::Failed(error)) };
            }
        };
        if self.read == Some(stamp) && !self.again {
            return News::Same;
        }
        match files.read(&self.path, reader, self.most) {
            Ok(content) => {
                (self.read, self.again) = (Some(content.stamp), !content.settled);
                News::Content(content.bytes)
            }
            Err(refusal) if refusal.is_absence() => {
                self.read = None;
                News::Gone
            }
            // what is refused by its kind or owner changes with its stamp, anything else may pass
            Err(refusal) => {
                (self.read, self.again) = (Some(stamp), matches!(refusal, Refusal::Failed(_)));
                News::Refused(refusal)
            }
        }
    }
}

impl Project {
    pub(crate) fn new(entry: Entry, root: &Path) -> Self {
        let local_data = below(root, Path::new(&entry.local_data));
        let folder = local_data.join("machines").join(&entry.name).join(&entry.provider);
        let box_meta = entry.box_name.is_none().then(|| folder.join("box_meta"));
        let vm_info =
            (!entry.project.is_empty()).then(|| below(root, Path::new(&entry.project)).join(".vm_info"));
        Self {
            local_data,
            id_file: Watched::new(folder.join("id"), MAX_ID_BYTES),
            box_meta: box_meta.map(|path| Watched::new(path, MAX_BOX_META_BYTES)),
            vm_info_file: vm_info.map(|path| Watched::new(path, vm_info::MAX_BYTES)),
            id: Id::Absent,
            last_id: None,
            met_without: false,
            box_name: entry.box_name.clone(),
            vm_info: None,
            odd: None,
            entry,
        }
    }

    /// Whether it is of this entry.
    pub(crate) fn is_of(&self, entry: &Entry) -> bool {
        self.entry == *entry
    }

    pub(crate) fn index_id(&self) -> &str {
        &self.entry.index_id
    }

    /// Whether its files are read as they are, and nothing is amiss or has changed just now.
    pub(crate) fn is_settled(&self) -> bool {
        let files = [Some(&self.id_file), self.box_meta.as_ref(), self.vm_info_file.as_ref()];
        !matches!(self.id, Id::Unread(..))
            && self.odd.is_none()
            && files.into_iter().flatten().all(|file| !file.again)
    }

    /// Whether it has a machine, and nothing is amiss.
    pub(crate) fn may_rest(&self) -> bool {
        self.id == Id::Known && self.is_settled()
    }

    /// Another entry of the same machine came in its place: what is known of it stays known.
    pub(crate) fn succeeds(&mut self, before: Self) {
        if self.entry.provider == before.entry.provider {
            (self.last_id, self.met_without) = (before.last_id, before.met_without);
        }
    }

    /// Reads what changed. Tells whether anything is other than before.
    pub(crate) fn read(&mut self, files: &dyn Files, reader: Reader) -> bool {
        let id = self.read_id(files, reader);
        let box_name = self.read_box_name(files, reader);
        let vm_info = self.read_vm_info(files, reader);
        id || box_name || vm_info
    }

    fn read_id(&mut self, files: &dyn Files, reader: Reader) -> bool {
        let news = self.id_file.look(files, reader);
        if matches!((&news, &self.id), (News::Same, Id::Known | Id::Absent)) {
            return false;
        }
        let before = (self.id.clone(), self.last_id.clone());
        let bad_for = match self.id {
            Id::Unread(_, scans) => scans.saturating_add(1).min(PATIENCE + 1),
            Id::Absent | Id::Known => 1,
        };
        self.id = match news {
            News::Same => match &self.id {
                Id::Unread(reason, _) => Id::Unread(reason.clone(), bad_for),
                known => known.clone(),
            },
            // only where the project is there it says that there is no machine
            News::Gone => match self.look_at_folder(files, reader) {
                Ok(()) => {
                    (self.last_id, self.met_without) = (None, true);
                    Id::Absent
                }
                Err(reason) => Id::Unread(reason, bad_for),
            },
            News::Content(bytes) => match id(&bytes) {
                Ok(id) => {
                    self.last_id = Some(id);
                    Id::Known
                }
                Err(reason) => Id::Unread(reason.into(), bad_for),
            },
            News::Refused(refusal) => Id::Unread(refusal.reason().into(), bad_for),
        };
        before != (self.id.clone(), self.last_id.clone())
    }

    /// # Errors
    /// Where the project is not there, or is not one of that user's.
    fn look_at_folder(&self, files: &dyn Files, reader: Reader) -> Result<(), Reason> {
        let look = |path: &Path| files.stat(&path.join("."));
        let folder = look(&self.local_data).map_err(|error| match is_absence(&error) {
            true => "its project folder is gone".into(),
            false => Reason::from(Refusal::Failed(error).reason()),
        })?;
        if [0, folder.uid].contains(&reader.uid) {
            return Ok(());
        }
        // made by `sudo vagrant` in the user's own project, and no link to somewhere else
        let is_itself = files.stat(&self.local_data).is_ok_and(|itself| itself.place == folder.place);
        let project = self.local_data.parent().map(look);
        let is_in_own = project.is_some_and(|project| project.is_ok_and(|project| project.uid == reader.uid));
        if folder.uid == 0 && is_itself && is_in_own {
            return Ok(());
        }
        Err("its project folder belongs to another user".into())
    }

    fn read_box_name(&mut self, files: &dyn Files, reader: Reader) -> bool {
        let Some(file) = &mut self.box_meta else { return false };
        let told = match file.look(files, reader) {
            News::Content(bytes) => index::box_name(&bytes),
            // the box of a machine that was destroyed is none
            News::Gone => None,
            News::Same | News::Refused(_) => return false,
        };
        let changed = told != self.box_name;
        self.box_name = told;
        changed
    }

    fn read_vm_info(&mut self, files: &dyn Files, reader: Reader) -> bool {
        let Some(file) = &mut self.vm_info_file else { return false };
        let (told, odd) = match file.look(files, reader) {
            News::Same => return false,
            News::Gone => (None, None),
            News::Refused(refusal) => (self.vm_info.clone(), Some(refusal.reason())),
            News::Content(bytes) => match vm_info::parse(&bytes, &self.entry.project) {
                Ok((info, odd)) if odd.is_empty() => (Some(info), None),
                Ok((info, odd)) => {
                    (Some(info), Some(format!("no such value can be, it is ignored: {}", odd.join(", "))))
                }
                Err(why) => (self.vm_info.clone(), Some(why.into())),
            },
        };
        let changed = told != self.vm_info || odd != self.odd;
        (self.vm_info, self.odd) = (told, odd);
        changed
    }

    /// The machine as it is known now.
    ///
    /// # Errors
    /// Where nobody knows what it is called: it may be one that was known before the start, under its id. Tells whether it
    /// is too early to complain.
    pub(crate) fn machine(&self, owner: &Owner) -> Result<Machine, Unmet> {
        let unread = match &self.id {
            Id::Unread(_, scans) if self.last_id.is_none() => match (self.met_without, *scans <= PATIENCE) {
                (false, early) => return Err(Unmet { early, reason: NOT_KNOWN }),
                (true, early) => (!early).then(|| NOT_KNOWN.into()),
            },
            _ => None,
        };
        Ok(Machine {
            index_id: self.entry.index_id.clone(),
            id: self.last_id.clone(),
            unread,
            name: self.entry.name.clone(),
            provider: self.entry.provider.clone(),
            project: self.entry.project.clone(),
            box_name: self.box_name.clone().unwrap_or_default(),
            owner: owner.clone(),
            vm_info: self.vm_info.clone(),
        })
    }

    /// What is wrong here, with its subject.
    pub(crate) fn troubles(&self) -> Vec<(Level, String, String)> {
        let mut troubles = Vec::new();
        if let Id::Unread(reason, scans) = &self.id
            && *scans > PATIENCE
        {
            let kept = if self.last_id.is_some() { ", the one it had is used" } else { "" };
            let subject = format!("machine {} in {}", self.entry.name, self.entry.local_data);
            troubles.push((Level::Warn, subject, format!("{NOT_KNOWN}: {reason}{kept}")));
        }
        if let (Some(odd), Some(file)) = (&self.odd, &self.vm_info_file) {
            troubles.push((Level::Info, file.path.display().to_string(), odd.clone()));
        }
        troubles
    }
}

/// The id in its file. A UUID is the same in any case, and written small as hypervisors write it.
fn id(bytes: &[u8]) -> Result<String, &'static str> {
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Err("the file is empty");
    }
    let text = std::str::from_utf8(text).ok().filter(|text| index::is_plain(text));
    let text = text.ok_or("the file holds something else")?;
    let is_uuid = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    Ok(if is_uuid { text.to_ascii_lowercase() } else { text.to_owned() })
}
