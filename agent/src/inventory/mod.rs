//! The virtual machines, from `vm_info` and `vm_state` alone: knows no plugin by name. Each machine keeps its number for
//! ever; what was last known of it outlives a restart.

mod indexes;
mod machine;
mod track;
mod tracker;
mod transition;

pub use machine::{Info, Machine, Machines, State};
pub use tracker::{Inventory, Registry};

#[cfg(test)]
mod tests;
