//! The readers of what others write, for fuzzing alone.

use crate::vagrant::index;

/// Reads a machine index: for each machine its id there, name, provider and folders.
///
/// # Errors
/// Why it is none.
pub fn machine_index(bytes: &[u8]) -> Result<Vec<[String; 5]>, String> {
    let index = index::parse(bytes).map_err(|problem| problem.to_string())?;
    let machines = index.entries.into_iter();
    Ok(machines
        .map(|entry| [entry.index_id, entry.name, entry.provider, entry.local_data, entry.project])
        .collect())
}
