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

/// A batch lies at most this many milliseconds before its row's time.
pub(super) const SPREAD: i64 = 60_000;
/// How far a row may be moved into later milliseconds where its own is full (256 rows).
pub(super) const BUMP: i64 = 60_000;
/// Times beyond this many milliseconds before or after 1970 (half a million years) are stored as this.
pub(super) const FARTHEST: i64 = 1 << 54;

const HOUR: i64 = 3_600_000;
const ROW_BITS: u32 = 8;
const LAYOUT_BITS: u32 = 28;

/// The nearest time that can be stored, in milliseconds.
pub(super) fn storable(time: Timestamp) -> i64 {
    time.as_millis().clamp(-FARTHEST, FARTHEST)
}

/// The first key of a millisecond.
pub(super) const fn first(millis: i64) -> i64 {
    millis << ROW_BITS
}

/// The last key of a millisecond.
pub(super) const fn last(millis: i64) -> i64 {
    first(millis) | ((1 << ROW_BITS) - 1)
}

/// The time of a row, in milliseconds.
pub(super) const fn millis(key: i64) -> i64 {
    key >> ROW_BITS
}

/// The hour of a time: rows of an hour name the layouts of this hour.
pub(super) const fn hour(millis: i64) -> i64 {
    millis.div_euclid(HOUR)
}

/// The first millisecond of an hour.
pub(super) const fn hour_start(hour: i64) -> i64 {
    hour * HOUR
}

/// The key of an hour's layout.
pub(super) const fn layout(hour: i64, number: u32) -> i64 {
    hour << LAYOUT_BITS | number as i64
}

/// The hour and the number of a layout's key.
pub(super) const fn layout_parts(key: i64) -> (i64, u32) {
    (key >> LAYOUT_BITS, (key & ((1 << LAYOUT_BITS) - 1)) as u32)
}

/// The largest number that a layout can have.
pub(super) const LAST_LAYOUT: u32 = (1 << LAYOUT_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_of_time_on_both_sides_of_1970() {
        let times =
            [-FARTHEST, -HOUR - 1, -HOUR, -1, 0, 1, HOUR - 1, HOUR, 4_102_444_800_000, FARTHEST + BUMP];
        for pair in times.windows(2) {
            assert!(last(pair[0]) < first(pair[1]), "{pair:?}");
            assert!(hour(pair[0]) <= hour(pair[1]), "{pair:?}");
        }
        for time in times {
            assert_eq!((millis(first(time)), millis(last(time))), (time, time));
            assert!((0..HOUR).contains(&(time - hour_start(hour(time)))));
            assert_eq!(layout_parts(layout(hour(time), LAST_LAYOUT)), (hour(time), LAST_LAYOUT));
        }
    }
}
