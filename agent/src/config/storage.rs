//! `[storage]` and `[views]`.

use super::{
    Storage, Views,
    check::Check,
    suggest::other_section,
    table::{Field, Table},
    values::{Durations, hours},
};
use std::time::Duration;
use twarga_plugin_api::duration;

const RETENTION: Durations = Durations { least: hours(1), most: hours(100 * 365 * 24), example: "7d" };
const MAX_LOSS: Durations = Durations { least: Duration::ZERO, most: hours(1), example: "10s" };
const MIB: u64 = 1 << 20;
/// SQLite's largest file with pages of 4 KiB is a little under 16 TiB.
const SIZES: (u64, u64) = (16 * MIB, 8 * MIB * MIB);

/// Reads `[storage]`.
pub(super) fn read(field: Option<Field<'_>>, check: &mut Check<'_>) -> Storage {
    let mut table = Table::of(field, "[storage]", check);
    let retention = kept(&mut table, "retention", hours(7 * 24), None, check);
    let retention_1m = kept(&mut table, "retention_1m", hours(90 * 24), retention, check);
    let retention_1h = kept(&mut table, "retention_1h", hours(730 * 24), retention_1m, check);
    let max_loss = table.get("max_loss").and_then(|field| field.duration(&MAX_LOSS, check));
    let max_size = table.get("max_size").and_then(|field| field.size(SIZES, "16MiB to 8TiB", check));
    table.refuse_others(check, other_section);
    Storage {
        retention: retention.unwrap_or_default(),
        retention_1m: retention_1m.unwrap_or_default(),
        retention_1h: retention_1h.unwrap_or_default(),
        max_loss: max_loss.unwrap_or(Duration::from_secs(10)),
        max_size: max_size.unwrap_or(1024 * MIB),
    }
}

/// How long a tier is kept: not shorter than the finer one, where that is known. A default is as long as that at least.
/// Nothing where what is written is wrong.
fn kept(
    table: &mut Table<'_>,
    key: &'static str,
    default: Duration,
    finer: Option<Duration>,
    check: &mut Check<'_>,
) -> Option<Duration> {
    let finer = finer.unwrap_or_default();
    let Some(field) = table.get(key) else { return Some(default.max(finer)) };
    let kept = field.duration(&RETENTION, check)?;
    if kept < finer {
        let message = format!("shorter than finer data is kept, {}", duration::words(finer));
        field.error(message, "write a duration of that at least", check);
    }
    Some(kept)
}

/// Reads `[views]`.
pub(super) fn read_views(field: Option<Field<'_>>, check: &mut Check<'_>) -> Views {
    let mut table = Table::of(field, "[views]", check);
    let disk = table.get("disk").and_then(|field| mount_point(&field, check));
    table.refuse_others(check, other_section);
    Views { disk: disk.unwrap_or_else(|| "/".to_owned()) }
}

/// A mount point as the `mountpoint` label has it: absolute, without a slash at the end.
fn mount_point(field: &Field<'_>, check: &mut Check<'_>) -> Option<String> {
    let text = field.text("a mount point", "/", check)?;
    if !text.starts_with('/') {
        field.error("a mount point begins with /", "write one such as \"/\" or \"/home\"", check);
        return None;
    }
    let bare = text.trim_end_matches('/');
    Some(if bare.is_empty() { "/" } else { bare }.to_owned())
}
