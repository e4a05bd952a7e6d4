//! A machine: what Vagrant knows of it, and what its hypervisor says.

use std::{
    borrow::Cow,
    ops::{Index, IndexMut},
    path::PathBuf,
    time::Instant,
};

/// Why a value can't be had, in few words for people: `"shut off"`.
pub(crate) type Reason = Cow<'static, str>;

/// A value in its metric's unit, or why there is none.
pub(crate) type Value = Result<f64, Reason>;

/// The states of `vm_state`, in the order of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Running,
    Paused,
    Shutoff,
    Saved,
    Crashed,
    NotCreated,
    Destroyed,
    Unknown,
}

impl State {
    pub(crate) const ALL: [Self; 8] = [
        Self::Running,
        Self::Paused,
        Self::Shutoff,
        Self::Saved,
        Self::Crashed,
        Self::NotCreated,
        Self::Destroyed,
        Self::Unknown,
    ];

    /// The label value.
    pub(crate) const fn word(self) -> &'static str {
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

    /// Why a machine in this state has no values of a running one; none where it has.
    pub(crate) const fn absence(self) -> Option<&'static str> {
        match self {
            Self::Running | Self::Paused => None,
            Self::Shutoff => Some("shut off"),
            Self::Saved => Some("saved"),
            Self::Crashed => Some("crashed"),
            Self::NotCreated => Some("not created"),
            Self::Destroyed => Some("destroyed"),
            Self::Unknown => Some("state unknown"),
        }
    }

    /// Whether the machine has a process.
    pub(crate) const fn lives(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// What `.vm_info` of the old system says of a machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct VmInfo {
    pub(crate) name: Option<String>,
    /// From the name of the project's folder: `user7` of `vms/user7-web`.
    pub(crate) owner: Option<String>,
    pub(crate) memory_bytes: Option<f64>,
    pub(crate) disk_bytes: Option<f64>,
    pub(crate) vcpus: Option<f64>,
}

/// The most machines of one owner: each has a score of series, and nobody's crowd shall cost the others theirs.
pub(crate) const MAX_OF_OWNER: usize = 500;

/// A machine of a machine index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Machine {
    /// The key in the index: 32 hexadecimal digits.
    pub(crate) index_id: String,
    /// What the provider calls it: for libvirt and VirtualBox its UUID. None where it was never created.
    pub(crate) id: Option<String>,
    /// Why nobody knows whether it has an [`id`](Self::id): its state is unknown then. None where that is known.
    pub(crate) unread: Option<Reason>,
    /// Its name in the Vagrantfile.
    pub(crate) name: String,
    /// Such as `libvirt`.
    pub(crate) provider: String,
    /// The folder of its Vagrantfile.
    pub(crate) project: String,
    /// The box it was made from; empty where nobody knows.
    pub(crate) box_name: String,
    /// Whose index it stands in.
    pub(crate) owner: Owner,
    pub(crate) vm_info: Option<VmInfo>,
}

impl Machine {
    /// The label `vm`.
    pub(crate) fn vm(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.index_id)
    }

    /// The label `name`. Vagrant calls the only machine of a project `default`, the old system knows its name.
    pub(crate) fn shown_name(&self) -> &str {
        let told = self.vm_info.as_ref().and_then(|info| info.name.as_deref());
        told.filter(|_| self.name == "default").unwrap_or(&self.name)
    }

    /// The label `owner`.
    pub(crate) fn owner_name(&self) -> &str {
        let told = self.vm_info.as_ref().and_then(|info| info.owner.as_deref());
        told.unwrap_or(&self.owner.name)
    }
}

/// A user who has machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// As it can be opened: below the root of the configuration.
    pub(crate) home: PathBuf,
}

/// What is measured of a machine, one series each; `vm_cpu_usage_ratio` is made of two readings of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Quantity {
    Vcpus,
    CpuSeconds,
    MemoryTotal,
    MemoryUsed,
    DiskCapacity,
    DiskUsed,
    DiskRead,
    DiskWritten,
    NetworkReceived,
    NetworkTransmitted,
    Uptime,
}

impl Quantity {
    pub(crate) const ALL: [Self; 11] = [
        Self::Vcpus,
        Self::CpuSeconds,
        Self::MemoryTotal,
        Self::MemoryUsed,
        Self::DiskCapacity,
        Self::DiskUsed,
        Self::DiskRead,
        Self::DiskWritten,
        Self::NetworkReceived,
        Self::NetworkTransmitted,
        Self::Uptime,
    ];

    /// Whether a machine that is off has it too, since it belongs to its definition or its disks.
    pub(crate) const fn outlives_a_run(self) -> bool {
        matches!(self, Self::Vcpus | Self::MemoryTotal | Self::DiskCapacity | Self::DiskUsed)
    }

    /// Whether it only grows during one run of the machine.
    pub(crate) const fn is_counter(self) -> bool {
        matches!(
            self,
            Self::CpuSeconds
                | Self::DiskRead
                | Self::DiskWritten
                | Self::NetworkReceived
                | Self::NetworkTransmitted
        )
    }
}

/// The values of one machine, each with its reason where there is none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Values([Value; Quantity::ALL.len()]);

impl Values {
    /// No value at all, for this reason.
    pub(crate) fn none(reason: impl Into<Reason>) -> Self {
        let reason = reason.into();
        Self(Quantity::ALL.map(|_| Err(reason.clone())))
    }
}

impl Index<Quantity> for Values {
    type Output = Value;
    fn index(&self, quantity: Quantity) -> &Value {
        &self.0[quantity as usize]
    }
}

impl IndexMut<Quantity> for Values {
    fn index_mut(&mut self, quantity: Quantity) -> &mut Value {
        &mut self.0[quantity as usize]
    }
}

/// One life of the machine's process: another pid or another start is another life, and its counters begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) pid: u32,
    /// Field 22 of /proc/PID/stat, in clock ticks since boot.
    pub(crate) start: u64,
}

/// What a hypervisor says of a machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) state: State,
    /// Why the state is [`State::Unknown`]; else none.
    pub(crate) doubt: Option<Reason>,
    /// None where it is off, or its process can't be found.
    pub(crate) run: Option<Run>,
    /// When [`Quantity::CpuSeconds`] was read.
    pub(crate) at: Instant,
    /// Its first address, if one is known.
    pub(crate) ip_address: Option<String>,
    pub(crate) values: Values,
}

impl Reading {
    /// Of a machine whose state nobody can tell.
    pub(crate) fn unknown(reason: impl Into<Reason>) -> Self {
        let reason = reason.into();
        let values = Values::none(reason.clone());
        Self {
            state: State::Unknown,
            doubt: Some(reason),
            run: None,
            at: Instant::now(),
            ip_address: None,
            values,
        }
    }
}
