//! `.vm_info`, which the old system left in the folders of its projects, `vms/user<id>-<name>`.

use super::{
    index::is_label,
    lenient::{Lenient, wanted_object},
};
use crate::machine::VmInfo;
use serde::Deserialize;
use std::path::Path;
use twarga_plugin_api::serde_json;

/// The most bytes that are read.
pub(crate) const MAX_BYTES: usize = 64 << 10;

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1024.0 * MIB;

/// More than any machine has.
const MAX_MEMORY_MB: f64 = 1e9;
const MAX_DISK_GB: f64 = 1e8;
const MAX_CORES: f64 = 65_536.0;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    name: Lenient<String>,
    ram_mb: Lenient<f64>,
    disk_gb: Lenient<f64>,
    cpu_cores: Lenient<f64>,
}
wanted_object!(Raw);

/// What it says, and the keys that say nothing that can be.
///
/// # Errors
/// Where it is no JSON object, in few words.
pub(crate) fn parse(bytes: &[u8], project: &str) -> Result<(VmInfo, Vec<&'static str>), &'static str> {
    let read: Lenient<Raw> = serde_json::from_slice(bytes)
        .map_err(|error| if error.is_eof() { "it breaks off in the middle" } else { "it is no JSON" })?;
    let raw = read.good().ok_or("it is no JSON object")?;
    let mut odd = Vec::new();
    let mut within = |key, value: Lenient<f64>, most: f64, whole: bool| match value {
        Lenient::Good(value) if value > 0.0 && value <= most && (!whole || value.fract() == 0.0) => {
            Some(value)
        }
        Lenient::Missing => None,
        Lenient::Good(_) | Lenient::Odd => {
            odd.push(key);
            None
        }
    };
    let mut info = VmInfo {
        name: None,
        owner: owner(project),
        memory_bytes: within("ram_mb", raw.ram_mb, MAX_MEMORY_MB, false).map(|value| value * MIB),
        disk_bytes: within("disk_gb", raw.disk_gb, MAX_DISK_GB, false).map(|value| value * GIB),
        vcpus: within("cpu_cores", raw.cpu_cores, MAX_CORES, true),
    };
    match raw.name {
        Lenient::Good(name) if is_label(&name) => info.name = Some(name),
        Lenient::Missing => {}
        Lenient::Good(_) | Lenient::Odd => odd.push("name"),
    }
    Ok((info, odd))
}

/// `user7` of `/srv/vms/user7-web`.
fn owner(project: &str) -> Option<String> {
    let (owner, name) = Path::new(project).file_name()?.to_str()?.split_once('-')?;
    let number = owner.strip_prefix("user")?;
    let numbered = (1..=20).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit());
    (numbered && !name.is_empty()).then(|| owner.to_owned())
}

#[cfg(test)]
#[path = "vm_info_tests.rs"]
mod tests;
