//! What VBoxManage prints, read without asking anything.

use crate::machine::{Reason, State, Value};
use std::net::Ipv4Addr;

/// What `showvminfo --machinereadable` says of a machine.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Info {
    /// Or why it is not known.
    pub(super) state: Result<State, Reason>,
    pub(super) vcpus: Value,
    pub(super) memory_bytes: Value,
    /// The UUIDs of its disks.
    pub(super) disks: Vec<String>,
}

/// What `showmediuminfo` says of a disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Medium {
    pub(super) capacity_bytes: f64,
    pub(super) used_bytes: f64,
}

/// More disks than any machine has.
const MAX_DISKS: usize = 256;
const MIB: f64 = 1_048_576.0;

/// `VMState` in our words. Those that last but moments are counted to what they are nearest to.
fn state(word: &str) -> Result<State, Reason> {
    Ok(match word {
        "running"
        | "starting"
        | "stopping"
        | "livesnapshotting"
        | "onlinesnapshotting"
        | "teleporting"
        | "deletingsnapshotlive" => State::Running,
        // the guest does not run while its memory is written, read or moved
        "paused"
        | "saving"
        | "restoring"
        | "teleportingpausedvm"
        | "teleportingin"
        | "deletingsnapshotlivepaused" => State::Paused,
        "poweroff" | "teleported" | "settingup" => State::Shutoff,
        // of the latter the process died while it was restored; what was saved is still there
        "saved" | "aborted-saved" => State::Saved,
        // of the latter the process is there, and its guest will never run again
        "aborted" | "gurumeditation" => State::Crashed,
        "snapshotting" | "restoringsnapshot" | "deletingsnapshot" => {
            return Err("VirtualBox is at work on its snapshots".into());
        }
        other => {
            let other: String = other.chars().take(32).collect();
            return Err(format!("VirtualBox calls its state `{other}`").into());
        }
    })
}

/// Reads the answer to `showvminfo UUID --machinereadable`. What is there twice counts once, so that a description that
/// looks like a line of it changes nothing.
///
/// # Errors
/// Where it tells of no machine, or of another one than `id`.
pub(super) fn info(text: &str, id: &str) -> Result<Info, Reason> {
    let (mut name, mut uuid, mut word, mut cpus, mut memory) = (None, None, None, None, None);
    let mut attachments = Attachments::default();
    for (key, value) in text.lines().filter_map(pair) {
        let slot = match key {
            "name" => &mut name,
            "UUID" => &mut uuid,
            "VMState" => &mut word,
            "cpus" => &mut cpus,
            "memory" => &mut memory,
            _ => {
                attachments.line(key, &value);
                continue;
            }
        };
        slot.get_or_insert(value);
    }
    if name.as_deref() == Some("<inaccessible>") {
        return Err("VirtualBox can't access its files".into());
    }
    if uuid.is_some_and(|uuid| !uuid.eq_ignore_ascii_case(id)) {
        return Err("VBoxManage told of another machine".into());
    }
    let word = word.ok_or("VBoxManage told no state")?;
    let number = |text: Option<String>, scale: f64| {
        let number = text.and_then(|text| text.parse::<u32>().ok()).filter(|number| *number > 0);
        number.map(|number| f64::from(number) * scale).ok_or(Reason::from("VBoxManage does not tell"))
    };
    let (vcpus, memory_bytes) = (number(cpus, 1.0), number(memory, MIB));
    Ok(Info { state: state(&word), vcpus, memory_bytes, disks: attachments.disks() })
}

/// What is attached to the storage controllers.
#[derive(Default)]
struct Attachments {
    /// Controllers of floppy drives, and their numbers while only their names are known.
    names: Vec<(String, String)>,
    floppy: Vec<String>,
    /// By the controller's name, the UUID, and whether it is a disk.
    media: Vec<(String, String, bool)>,
}

impl Attachments {
    fn line(&mut self, key: &str, value: &str) {
        if let Some(number) = key.strip_prefix("storagecontrollername") {
            self.names.push((number.into(), value.into()));
        } else if let Some(number) = key.strip_prefix("storagecontrollertype") {
            let name = self.names.iter().find(|(of, _)| of == number);
            if let Some((_, name)) = name.filter(|_| value == "I82078") {
                self.floppy.push(name.clone());
            }
        } else if let Some((controller, _)) = key.split_once("-ImageUUID-") {
            if self.media.len() < MAX_DISKS && is_uuid(value) {
                self.media.push((controller.into(), value.into(), true));
            }
        } else if let Some((controller, _)) =
            key.split_once("-tempeject").or_else(|| key.split_once("-IsEjected"))
        {
            // follows the medium in a CD drive, and only that
            if let Some((of, _, is_disk)) = self.media.last_mut()
                && of == controller
            {
                *is_disk = false;
            }
        }
    }

    fn disks(self) -> Vec<String> {
        let Self { floppy, media, .. } = self;
        let mut disks: Vec<String> = Vec::new();
        for (controller, uuid, is_disk) in media {
            if is_disk && !floppy.contains(&controller) && !disks.contains(&uuid) {
                disks.push(uuid);
            }
        }
        disks
    }
}

/// `key=value`, `key="value"` or `"key"="value"`.
fn pair(line: &str) -> Option<(&str, String)> {
    let (key, value) = match line.strip_prefix('"') {
        Some(rest) => rest.split_once("\"=")?,
        None => line.split_once('=')?,
    };
    let Some(value) = value.strip_prefix('"') else {
        return (!value.is_empty()).then(|| (key, value.trim_end().into()));
    };
    // a value of more than one line has its end on another
    let value = value.strip_suffix('"')?;
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letters.next_if(|next| letter == '\\' && matches!(next, '"' | '\\'));
        text.push(escaped.unwrap_or(letter));
    }
    Some((key, text))
}

/// Whether this is a UUID, and so no option of VBoxManage, and no name.
pub(super) fn is_uuid(text: &str) -> bool {
    let dash = |at| matches!(at, 8 | 13 | 18 | 23);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match dash(at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

/// Reads the answer to `showmediuminfo disk UUID`.
///
/// # Errors
/// Where it does not have both sizes.
pub(super) fn medium(text: &str) -> Result<Medium, Reason> {
    let line =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    if line("State").is_some_and(|state| state == "inaccessible") {
        return Err("VirtualBox can't access a disk".into());
    }
    let bytes = |name: &str| {
        let (number, unit) = line(name)?.split_once(' ')?;
        let number = number.parse::<u64>().ok().filter(|number| *number < 1 << 40)?;
        (unit == "MBytes").then_some(number as f64 * MIB)
    };
    match (bytes("Capacity").filter(|capacity| *capacity > 0.0), bytes("Size on disk")) {
        (Some(capacity_bytes), Some(used_bytes)) => Ok(Medium { capacity_bytes, used_bytes }),
        _ => Err("VBoxManage does not tell the size of a disk".into()),
    }
}

/// Reads the answer to `guestproperty get`: the guest writes it, so that it may be anything.
pub(super) fn address(text: &str) -> Option<String> {
    let address: Ipv4Addr = text.lines().next()?.strip_prefix("Value:")?.trim().parse().ok()?;
    (!address.is_unspecified()).then(|| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RUNNING: &str = include_str!("../../tests/fixtures/virtualbox/running.txt");
    const OLD: &str = include_str!("../../tests/fixtures/virtualbox/poweroff-6.1.txt");
    const MEDIUM: &str = include_str!("../../tests/fixtures/virtualbox/medium.txt");
    const ID: &str = "6e0f3d3c-52f1-4bd5-9f35-5a1f7c2b9d10";

    #[test]
    fn a_running_machine() {
        let expected = Info {
            state: Ok(State::Running),
            vcpus: Ok(2.0),
            memory_bytes: Ok(1024.0 * MIB),
            disks: vec![
                "0d5a3a4e-7a1e-4e0c-8a55-51b0a52d6c01".into(),
                "0d5a3a4e-7a1e-4e0c-8a55-51b0a52d6c02".into(),
            ],
        };
        assert_eq!(info(RUNNING, ID).unwrap(), expected);
        assert_eq!(info(&RUNNING.replace('\n', "\r\n"), ID).unwrap(), expected);
        assert_eq!(info(RUNNING, &ID.to_uppercase()).unwrap(), expected);
    }

    #[test]
    fn a_machine_of_the_older_format() {
        let info = info(OLD, ID).unwrap();
        assert_eq!((info.state, info.memory_bytes), (Ok(State::Shutoff), Ok(512.0 * MIB)));
        assert_eq!(info.disks, ["0d5a3a4e-7a1e-4e0c-8a55-51b0a52d6c01"], "neither CDs nor floppies");
    }

    #[test]
    fn every_state_has_its_word() {
        for (word, expected) in [
            ("running", State::Running),
            ("starting", State::Running),
            ("stopping", State::Running),
            ("onlinesnapshotting", State::Running),
            ("paused", State::Paused),
            ("saving", State::Paused),
            ("restoring", State::Paused),
            ("poweroff", State::Shutoff),
            ("saved", State::Saved),
            ("aborted-saved", State::Saved),
            ("aborted", State::Crashed),
            ("gurumeditation", State::Crashed),
        ] {
            assert_eq!(info(&format!("VMState=\"{word}\"\n"), ID).unwrap().state, Ok(expected), "{word}");
        }
        for word in ["snapshotting", "RUNNING", "", "unheard-of"] {
            assert!(info(&format!("VMState=\"{word}\"\n"), ID).unwrap().state.is_err(), "{word}");
        }
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        for text in ["", "VMState=", "VMState=\"running", "x", "UUID=\"other\"\nVMState=\"running\"\n"] {
            let told = info(text, ID);
            assert!(told.as_ref().is_err() || told.unwrap().state.is_err(), "{text}");
        }
        let inaccessible = format!("name=\"<inaccessible>\"\nUUID=\"{ID}\"\n");
        assert_eq!(info(&inaccessible, ID).unwrap_err(), "VirtualBox can't access its files");
        let bare = info("VMState=\"running\"\ncpus=0\nmemory=x\n", ID).unwrap();
        assert!(bare.vcpus.is_err() && bare.memory_bytes.is_err() && bare.disks.is_empty());
    }

    #[test]
    fn a_description_can_t_pass_for_another_state() {
        let text = format!("{RUNNING}description=\"\nVMState=\"poweroff\"\n\"\n");
        assert_eq!(info(&text, ID).unwrap().state, Ok(State::Running));
    }

    #[test]
    fn quotes_and_escapes() {
        assert_eq!(pair(r#"name="a \"b\" \\c \d""#), Some(("name", r#"a "b" \c \d"#.into())));
        assert_eq!(pair(r#""SATA-0-0"="none""#), Some(("SATA-0-0", "none".into())));
        assert_eq!(pair("cpus=2"), Some(("cpus", "2".into())));
        assert_eq!(pair(r#"x="a"#), None);
        assert_eq!(pair(r#""x"#), None);
        assert_eq!(pair(""), None);
    }

    #[test]
    fn the_sizes_of_a_disk() {
        let expected = Medium { capacity_bytes: 40960.0 * MIB, used_bytes: 1437.0 * MIB };
        assert_eq!(medium(MEDIUM), Ok(expected));
        assert_eq!(medium(&MEDIUM.replace('\n', "\r\n")), Ok(expected));
        for (from, to) in [
            ("40960 MBytes", "0 MBytes"),
            ("40960 MBytes", "40 GBytes"),
            ("1437 MBytes", "-5 MBytes"),
            ("Size on disk", "Size"),
            ("locked write", "inaccessible"),
        ] {
            assert!(medium(&MEDIUM.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn an_address_is_one_or_none() {
        assert_eq!(address("Value: 10.0.2.15\n"), Some("10.0.2.15".into()));
        assert_eq!(address("Value: 10.0.2.15\r\n"), Some("10.0.2.15".into()));
        for text in ["", "No value set!\n", "Value: \n", "Value: 0.0.0.0", "Value: evil", "Value: 1.2.3"] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn uuids() {
        assert!(is_uuid(ID));
        for text in ["", "--help", "web", &ID[1..], &ID.replace('-', "x"), &format!("{ID}0")] {
            assert!(!is_uuid(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(\"|=|\\\\|VMState|-ImageUUID-|\n|\r|é|[a-z0-9 :]){0,80}") {
            let _ = (info(&text, ID), medium(&text), address(&text));
        }

        #[test]
        fn a_cut_answer_never_gives_another_state(end in 0..RUNNING.len()) {
            if RUNNING.is_char_boundary(end) && let Ok(info) = info(&RUNNING[..end], ID) {
                prop_assert!(matches!(info.state, Ok(State::Running)), "{:?}", info.state);
            }
        }
    }
}
