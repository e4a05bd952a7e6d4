//! The tables of segments and blocks: the same for each tier, under other names.

use super::types::Tier;

/// The statements on the tables of a tier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    /// The smallest key of a segment below a key.
    pub(super) first_segment: &'static str,
    /// Key and data of the segments from one key to another.
    pub(super) segments: &'static str,
    /// Key and data of the blocks from one key to another.
    pub(super) block: &'static str,
    /// The length of a block.
    pub(super) block_length: &'static str,
    /// The largest key of a segment, and of a block, below a key.
    pub(super) newest: [&'static str; 2],
    /// The smallest key of a segment, and of a block, from a key on.
    pub(super) oldest: [&'static str; 2],
    pub(super) put_block: &'static str,
    pub(super) put_segment: &'static str,
    pub(super) delete_blocks: &'static str,
    pub(super) delete_segments: &'static str,
    /// The names: of segments, of blocks.
    pub(super) names: [&'static str; 2],
}

macro_rules! tables {
    ($segment:literal, $block:literal) => {
        Tables {
            first_segment: concat!("SELECT key FROM ", $segment, " WHERE key < ?1 ORDER BY key LIMIT 1"),
            segments: concat!(
                "SELECT key, data FROM ",
                $segment,
                " WHERE key BETWEEN ?1 AND ?2 ORDER BY key"
            ),
            block: concat!("SELECT key, data FROM ", $block, " WHERE key BETWEEN ?1 AND ?2 ORDER BY key"),
            block_length: concat!("SELECT length(data) FROM ", $block, " WHERE key = ?1"),
            newest: [
                concat!("SELECT max(key) FROM ", $segment, " WHERE key < ?1"),
                concat!("SELECT max(key) FROM ", $block, " WHERE key < ?1"),
            ],
            oldest: [
                concat!("SELECT min(key) FROM ", $segment, " WHERE key >= ?1"),
                concat!("SELECT min(key) FROM ", $block, " WHERE key >= ?1"),
            ],
            put_block: concat!("INSERT OR REPLACE INTO ", $block, "(key, n, data) VALUES (?1, ?2, ?3)"),
            put_segment: concat!("INSERT OR REPLACE INTO ", $segment, "(key, n, data) VALUES (?1, ?2, ?3)"),
            delete_blocks: concat!("DELETE FROM ", $block, " WHERE key BETWEEN ?1 AND ?2"),
            delete_segments: concat!("DELETE FROM ", $segment, " WHERE key BETWEEN ?1 AND ?2"),
            names: [$segment, $block],
        }
    };
}

impl Tables {
    /// Of a tier.
    pub(super) const fn of(tier: Tier) -> &'static Tables {
        match tier {
            Tier::Raw => &const { tables!("segment", "block") },
            Tier::Minute => &const { tables!("segment_1m", "block_1m") },
            Tier::Hour => &const { tables!("segment_1h", "block_1h") },
        }
    }
}
