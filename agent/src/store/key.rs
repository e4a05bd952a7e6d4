//! The keys of blocks and segments: which part of time, which group of series, which of several.

use super::types::Tier;
use crate::model::Timestamp;

const DAY: i64 = 24 * 3_600_000;
const GROUP_BITS: u32 = 16;
const NUMBER_BITS: u32 = 12;
/// Groups are numbered below this.
pub(super) const GROUPS: u32 = 1 << GROUP_BITS;
/// The segments of a group in a part are numbered below this.
pub(super) const SEGMENTS: i64 = 1 << NUMBER_BITS;

/// How much time a part of a tier covers, in milliseconds.
pub(super) const fn part_width(tier: Tier) -> i64 {
    match tier {
        Tier::Raw => 2 * 3_600_000,
        Tier::Minute => DAY,
        Tier::Hour => 32 * DAY,
    }
}

/// The part that a time is in.
pub(super) const fn part(tier: Tier, millis: i64) -> i64 {
    millis.div_euclid(part_width(tier))
}

/// The first millisecond of a part.
pub(super) const fn part_start(tier: Tier, part: i64) -> i64 {
    part * part_width(tier)
}

/// The key of a group's block; that of its first segment, too.
pub(super) const fn block(part: i64, group: u32) -> i64 {
    part << (GROUP_BITS + NUMBER_BITS) | (group as i64) << NUMBER_BITS
}

/// The key of one of a group's segments.
pub(super) const fn segment(part: i64, group: u32, number: i64) -> i64 {
    block(part, group) | number
}

/// The last key that a segment of a group can have.
pub(super) const fn last_segment(part: i64, group: u32) -> i64 {
    segment(part, group, SEGMENTS - 1)
}

/// The part and the group of a key.
pub(super) const fn part_and_group(key: i64) -> (i64, u32) {
    (key >> (GROUP_BITS + NUMBER_BITS), (key >> NUMBER_BITS) as u32 & (GROUPS - 1))
}

/// Times beyond this many milliseconds before or after 1970 (half a million years) are stored as this.
pub(super) const FARTHEST: i64 = 1 << 54;

/// The nearest time that can be stored, in milliseconds.
pub(super) fn storable(time: Timestamp) -> i64 {
    time.as_millis().clamp(-FARTHEST, FARTHEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_of_time_on_both_sides_of_1970() {
        let width = part_width(Tier::Raw);
        for times in [-FARTHEST, -width - 1, -width, -1, 0, width - 1, width, FARTHEST].windows(2) {
            let [one, other] = [times[0], times[1]].map(|time| part(Tier::Raw, time));
            assert!(last_segment(one, GROUPS - 1) < block(other, 0) || one == other, "{times:?}");
            for part in [one, other] {
                assert_eq!(part_and_group(segment(part, GROUPS - 1, SEGMENTS - 1)), (part, GROUPS - 1));
                assert_eq!(super::part(Tier::Raw, part_start(Tier::Raw, part)), part);
            }
        }
    }
}
