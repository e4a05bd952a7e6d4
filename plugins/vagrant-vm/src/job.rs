//! What the plugin's threads do: all that may hang.

use crate::{
    provider::{Ahead, Desk},
    vagrant::{Home, UsersFile},
};
use twarga_plugin_api::crew::{Rank, Task};

/// A task of the crew.
pub(crate) enum Job {
    /// Work for a provider, before it is asked.
    Ahead(Ahead),
    /// A provider.
    Desk(Desk),
    /// /etc/passwd.
    Users(UsersFile),
    /// A machine index and its projects.
    Home(Box<Home>),
}

impl Task for Job {
    fn work(&mut self) {
        match self {
            Self::Ahead(ahead) => ahead.work(),
            Self::Desk(desk) => desk.work(),
            Self::Users(users) => users.work(),
            Self::Home(home) => home.work(),
        }
    }

    fn rank(&self, _slow: bool) -> Rank {
        match self {
            Self::Ahead(_) => Rank::First,
            Self::Desk(_) => Rank::Long,
            Self::Users(_) | Self::Home(_) => Rank::Usual,
        }
    }

    fn is_due(&self) -> bool {
        match self {
            Self::Ahead(ahead) => ahead.is_due(),
            Self::Desk(desk) => desk.is_asked(),
            Self::Users(_) | Self::Home(_) => true,
        }
    }
}
