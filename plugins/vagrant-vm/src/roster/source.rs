//! The kinds of hypervisors that are asked.

use crate::{config::Config, libvirt::Libvirt, provider::Provider, qemu::Qemu, virtualbox::VirtualBox};

/// Which source reads a provider's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    Libvirt,
    VirtualBox,
    Qemu,
}

impl Source {
    pub(super) fn of(provider: &str) -> Self {
        match provider {
            "libvirt" => Self::Libvirt,
            "virtualbox" => Self::VirtualBox,
            _ => Self::Qemu,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::VirtualBox => "virtualbox",
            Self::Qemu => "qemu",
        }
    }

    pub(super) fn is_enabled(self, config: &Config) -> bool {
        match self {
            Self::Libvirt => config.libvirt.enabled,
            Self::VirtualBox => config.virtualbox.enabled,
            Self::Qemu => config.qemu.enabled,
        }
    }

    pub(super) fn open(self, config: &Config) -> Box<dyn Provider> {
        match self {
            Self::Libvirt => Box::new(Libvirt::new(config)),
            Self::VirtualBox => Box::new(VirtualBox::new(config)),
            Self::Qemu => Box::new(Qemu::new(config)),
        }
    }
}
