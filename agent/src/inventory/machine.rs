//! Machines as readers see them.

use crate::model::{Labels, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// The state of a machine, as `vm_state` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Runs.
    Running,
    /// Stopped for a moment, in memory.
    Paused,
    /// Off.
    Shutoff,
    /// Off, its memory saved on disk.
    Saved,
    /// Off, through a fault.
    Crashed,
    /// Configured, not created yet.
    NotCreated,
    /// Gone for ever.
    Destroyed,
    /// Not to be had now, or a word that we don't know.
    #[default]
    Unknown,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Running,
        Self::Paused,
        Self::Shutoff,
        Self::Saved,
        Self::Crashed,
        Self::NotCreated,
        Self::Destroyed,
        Self::Unknown,
    ];

    /// The word of the label `state`, and of the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Shutoff => "shutoff",
            Self::Saved => "saved",
            Self::Crashed => "crashed",
            Self::NotCreated => "not_created",
            Self::Destroyed => "destroyed",
            Self::Unknown => "unknown",
        }
    }

    /// The state of a [`word`](State::word); unknown where it is none.
    pub fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.word() == word).unwrap_or_default()
    }

    /// The old system's word (`vm_status`).
    pub const fn status(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused | Self::Saved | Self::Shutoff | Self::Crashed => "stopped",
            Self::NotCreated => "pending",
            Self::Destroyed => "destroyed",
            Self::Unknown => "unknown",
        }
    }
}

/// What `vm_info` says of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// The provider's UUID, or the index's id of a machine that was never created.
    pub vm: String,
    /// Its name.
    pub name: Option<String>,
    /// Such as `libvirt`.
    pub provider: Option<String>,
    /// The project's directory.
    pub project: Option<String>,
    /// The box it was made from.
    #[serde(rename = "box")]
    pub box_name: Option<String>,
    /// Its address.
    pub ip_address: Option<String>,
    /// The owner of the project.
    pub owner: Option<String>,
}

impl Info {
    /// From the labels of `vm_info`.
    pub(super) fn of(labels: &Labels) -> Self {
        let text = |key: &str| Some(labels.get(key)).filter(|text| !text.is_empty()).map(String::from);
        Self {
            vm: labels.get("vm").into(),
            name: text("name"),
            provider: text("provider"),
            project: text("project"),
            box_name: text("box"),
            ip_address: text("ip_address"),
            owner: text("owner"),
        }
    }

    /// For messages: the name, else the UUID.
    pub(super) fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.vm)
    }
}

/// A machine that is, or was.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Its number, the same for ever.
    pub vm_id: i64,
    /// What is known of it.
    pub info: Arc<Info>,
    /// Its state.
    pub state: State,
    /// When a plugin last told of it.
    pub last_seen: Option<Timestamp>,
}

/// All known machines. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machines {
    pub(super) list: Vec<Machine>,
    pub(super) by_uuid: Arc<HashMap<String, usize>>,
}

impl Machines {
    /// Of these.
    pub fn new(mut list: Vec<Machine>) -> Self {
        list.sort_by_key(|machine| machine.vm_id);
        let by_uuid = list.iter().enumerate().map(|(at, machine)| (machine.info.vm.clone(), at)).collect();
        Self { list, by_uuid: Arc::new(by_uuid) }
    }

    /// For messages: the name; where others that are not destroyed have it too, with the project. Every project whose
    /// Vagrantfile defines one machine calls it `default`.
    pub fn title(&self, machine: &Machine) -> String {
        let (title, name) = (machine.info.title(), &machine.info.name);
        let others = self.list.iter().filter(|other| other.state != State::Destroyed);
        let is_shared =
            name.is_some() && others.filter(|other| other.info.name == *name).any(|other| other != machine);
        match &machine.info.project {
            Some(project) if is_shared => format!("{title} of {project}"),
            _ => title.into(),
        }
    }

    /// By rising [`Machine::vm_id`].
    pub fn all(&self) -> &[Machine] {
        &self.list
    }

    /// The machine of this number.
    pub fn by_id(&self, vm_id: i64) -> Option<&Machine> {
        let at = self.list.binary_search_by_key(&vm_id, |machine| machine.vm_id).ok()?;
        self.list.get(at)
    }

    /// The machine of this UUID.
    pub fn by_uuid(&self, vm: &str) -> Option<&Machine> {
        self.list.get(*self.by_uuid.get(vm)?)
    }

    /// Makes this the same as `other`, in its own memory.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.list.clone_from(&other.list);
        self.by_uuid = Arc::clone(&other.by_uuid);
    }
}
