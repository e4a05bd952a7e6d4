//! Which machines are defined in libvirt's folders, where no service tells it. They lie in users' homes, which may hang and
//! hold anything: each folder is read on a thread of its own, up to a size, and only now and then.

use crate::owned;
use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// How long it is believed what a folder held.
const KEPT: Duration = Duration::from_secs(30);
/// So long a folder is waited for, once; its answer counts in a later poll, too.
const PATIENCE: Duration = Duration::from_millis(50);
/// Folders that hang, each with a thread that waits for it. With so many, no more are read.
const MAX_HANGING: usize = 16;

/// What is read of a folder. What is beyond may define any machine.
const MAX_ENTRIES: usize = 10_000;
const MAX_DEFINITIONS: usize = 1000;
const MAX_BYTES: u64 = 16 << 20;

/// Where definitions may lie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// The user in whose home it lies, and whom all must belong to.
    pub(super) uid: Option<u32>,
    /// One of these shows that the user has a libvirt, which may have its definitions elsewhere.
    pub(super) traces: Vec<PathBuf>,
}

/// The UUIDs that stand in a folder's definitions; none where others may stand there, too.
type Found = Option<HashSet<[u8; 16]>>;

struct Look {
    began: Instant,
    answer: Receiver<Found>,
    found: Option<Found>,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Definitions(HashMap<Folder, Look>);

impl Definitions {
    /// Whether in this folder is, or may be, a definition of this machine.
    pub(super) fn may_have(&mut self, folder: &Folder, uuid: [u8; 16], until: Instant) -> bool {
        self.look(folder, until).is_none_or(|found| found.contains(&uuid))
    }

    fn look(&mut self, folder: &Folder, until: Instant) -> Found {
        self.0.retain(|_, look| !look.is_over() || look.began.elapsed() < KEPT);
        if !self.0.contains_key(folder) {
            if self.0.values_mut().map(Look::is_over).filter(|over| !over).count() >= MAX_HANGING {
                return None;
            }
            let mut look = Look::begin(folder.clone()).ok()?;
            let patience = until.saturating_duration_since(Instant::now()).min(PATIENCE);
            look.found = look.answer.recv_timeout(patience).ok();
            self.0.insert(folder.clone(), look);
        }
        let look = self.0.get_mut(folder)?;
        if look.is_over() { look.found.clone().flatten() } else { None }
    }
}

impl Look {
    fn begin(folder: Folder) -> io::Result<Self> {
        let (tell, answer) = sync_channel(1);
        let thread = thread::Builder::new().name("vm-definitions".to_owned()).stack_size(128 << 10);
        thread.spawn(move || tell.send(read(&folder)))?;
        Ok(Self { began: Instant::now(), answer, found: None })
    }

    fn is_over(&mut self) -> bool {
        if self.found.is_none() {
            self.found = match self.answer.try_recv() {
                Ok(found) => Some(found),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(None),
            };
        }
        self.found.is_some()
    }
}

fn read(folder: &Folder) -> Found {
    let belongs = |found: &fs::Metadata| folder.uid.is_none_or(|uid| found.uid() == uid);
    match fs::metadata(&folder.path) {
        // what lies in others' folders nobody learns here
        Ok(found) if !belongs(&found) => return None,
        Ok(_) => {}
        Err(error) if is_absence(&error) => {
            let traces = folder.traces.iter().any(|trace| may_be_there(trace, folder.uid));
            return (!traces).then(HashSet::new);
        }
        Err(_) => return None,
    }
    let mut found = HashSet::new();
    let (mut definitions, mut left) = (0, MAX_BYTES);
    for (number, entry) in fs::read_dir(&folder.path).ok()?.enumerate() {
        if number == MAX_ENTRIES {
            return None;
        }
        let path = entry.ok()?.path();
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        definitions += 1;
        let mut text = Vec::new();
        let file = match owned::open(&path, folder.uid) {
            Ok(file) => file,
            Err(error) if is_absence(&error) => continue,
            // what can't be read may be the one
            Err(_) => return None,
        };
        file.take(left + 1).read_to_end(&mut text).ok()?;
        left = left.checked_sub(text.len() as u64)?;
        if definitions > MAX_DEFINITIONS {
            return None;
        }
        let uuids = text.windows(36).filter(|window| window[8] == b'-');
        found
            .extend(uuids.filter_map(|window| super::subject::parse_uuid(std::str::from_utf8(window).ok()?)));
    }
    Some(found)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether there is something of this name; also where a link or another's folder stands on the way to it, behind which
/// nobody may look.
fn may_be_there(path: &Path, uid: Option<u32>) -> bool {
    if let Some(folder) = path.parent() {
        match fs::symlink_metadata(folder) {
            Ok(found) if !found.is_dir() || uid.is_some_and(|uid| found.uid() != uid) => return true,
            Ok(_) => {}
            Err(error) => return !is_absence(&error),
        }
    }
    fs::symlink_metadata(path).map_or_else(|error| !is_absence(&error), |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const UUID: &str = "3cd62cad-25af-45d2-90a8-171a56a7ff12";

    fn uuid() -> [u8; 16] {
        super::super::subject::parse_uuid(UUID).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// A home with a folder of definitions.
    fn home() -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".config/libvirt/qemu");
        fs::create_dir_all(&path).unwrap();
        let uid = Some(rustix::process::getuid().as_raw());
        let traces = vec![home.path().join(".cache/libvirt")];
        (home, Folder { path, uid, traces })
    }

    #[test]
    fn a_uuid_in_a_definition_is_found() {
        let (_home, folder) = home();
        assert_eq!(read(&folder), Some(HashSet::new()));
        fs::write(folder.path.join("a.txt"), UUID).unwrap();
        assert_eq!(read(&folder), Some(HashSet::new()));
        let text = format!("<domain><uuid>{}</uuid></domain>", UUID.to_ascii_uppercase());
        fs::write(folder.path.join("a.xml"), text).unwrap();
        assert_eq!(read(&folder), Some([uuid()].into()));
    }

    #[test]
    fn what_can_t_be_read_may_define_anything() {
        for link in ["/dev/zero", "/etc/hostname", "nowhere"] {
            let (_home, folder) = home();
            symlink(link, folder.path.join("a.xml")).unwrap();
            assert_eq!(read(&folder), None, "{link}");
        }
        let (_home, mut folder) = home();
        fs::write(folder.path.join("a.xml"), vec![b'x'; usize::try_from(MAX_BYTES).unwrap() + 1]).unwrap();
        assert_eq!(read(&folder), None, "too much");
        fs::write(folder.path.join("a.xml"), "x").unwrap();
        assert!(read(&folder).is_some());
        folder.uid = folder.uid.map(|uid| uid + 1);
        assert_eq!(read(&folder), None, "another's");
        let (_home, folder) = home();
        for number in 0..=MAX_DEFINITIONS {
            fs::write(folder.path.join(format!("{number}.xml")), "").unwrap();
        }
        assert_eq!(read(&folder), None, "too many");
    }

    /// With a folder of configuration elsewhere, its definitions can't be found.
    #[test]
    fn who_has_a_libvirt_without_that_folder_may_define_anything() {
        let (home, folder) = home();
        fs::remove_dir_all(&folder.path).unwrap();
        assert_eq!(read(&folder), Some(HashSet::new()));
        fs::create_dir_all(home.path().join(".cache/libvirt")).unwrap();
        assert_eq!(read(&folder), None);
        // what is behind a link is nobody's business
        fs::remove_dir_all(home.path().join(".cache")).unwrap();
        symlink("/root", home.path().join(".cache")).unwrap();
        assert_eq!(read(&folder), None);
    }

    #[test]
    fn a_folder_is_read_once_in_a_while_and_one_that_hangs_is_waited_for_once() {
        let (_home, folder) = home();
        let mut definitions = Definitions::default();
        assert!(!definitions.may_have(&folder, uuid(), soon()));
        fs::write(folder.path.join("a.xml"), UUID).unwrap();
        assert!(!definitions.may_have(&folder, uuid(), soon()), "not read again");
        let (never, answer) = sync_channel(1);
        let hangs = Look { began: Instant::now() - KEPT * 2, answer, found: None };
        definitions.0.insert(folder.clone(), hangs);
        let began = Instant::now();
        for _ in 0..100 {
            assert!(definitions.may_have(&folder, uuid(), soon()));
        }
        assert!(began.elapsed() < PATIENCE * 100);
        // it comes back, and is too old to be believed
        never.send(Some(HashSet::new())).unwrap();
        assert!(definitions.may_have(&folder, uuid(), soon()), "read anew");
    }

    #[test]
    fn many_that_hang_take_few_threads() {
        let mut definitions = Definitions::default();
        let mut held = Vec::new();
        for number in 0..MAX_HANGING {
            let (never, answer) = sync_channel(1);
            held.push(never);
            let folder = Folder { path: number.to_string().into(), uid: None, traces: Vec::new() };
            definitions.0.insert(folder, Look { began: Instant::now(), answer, found: None });
        }
        let (_home, folder) = home();
        assert!(definitions.may_have(&folder, uuid(), soon()));
        held.clear();
        assert!(!definitions.may_have(&folder, uuid(), soon()));
    }
}
