//! Collectors in a process of their own: the same library, loaded by a child of the same executable.
//!
//! The agent examines the file without running it (`prepared`), starts itself again (`process`, on the thread of
//! `keeper`), hands the open file over a socket and asks for a collection at a time (`source`, `channel`, `frames`).
//! Where systemd has delegated the agent's control group, each child has one of its own (`cgroup`); what it starts is found
//! by its session (`session`). The child takes rights away from itself (`confine`), loads the library and answers (`child`). What the plugin says
//! to its host is answered in the child, recorded, and said again to the agent's own tables (`replay`), which believe nothing.

mod cgroup;
mod channel;
mod child;
mod confine;
mod descriptors;
mod frames;
mod keeper;
mod output;
mod prepared;
mod process;
mod rehearsal;
mod replay;
mod session;
mod source;

pub use child::{SUBCOMMAND, run};
pub use keeper::Keeper;
pub use prepared::{Confinement, Prepared, User, prepare};
pub use rehearsal::rehearse;
pub use source::Isolated;
