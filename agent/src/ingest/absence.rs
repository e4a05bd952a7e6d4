//! Stretches in which a series has no value, each written as one gap: when it ends, and once a minute while it lasts.

use crate::model::{Gap, GapReason, GapScope, SeriesId, Timestamp};
use std::sync::Arc;

/// A change of the reason within this time is not told apart, so that a reason with a number in it ("stale for 5 s")
/// does not make a gap of each round.
const SHORTEST: i64 = 60_000;
/// The reason with which a plugin says that the time since the reading before is too short for a value, such as after a
/// collection on demand beside a scheduled one. The next collection makes up for it: no gap worth keeping.
const TOO_SHORT: &str = "interval_too_short";

/// A stretch in which a series has no value, still going on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OpenGap {
    from: Timestamp,
    to: Timestamp,
    reason: Arc<str>,
    written: Option<Timestamp>,
}

/// The series has no value at `time`: begins a gap, or lengthens the one that is open. A time too short for a value
/// does neither.
pub(super) fn extend(
    open: &mut Option<OpenGap>,
    id: SeriesId,
    time: Timestamp,
    reason: &Arc<str>,
    gaps: &mut Vec<Gap>,
) {
    if **reason == *TOO_SHORT {
        return;
    }
    match open {
        Some(gap) if gap.reason == *reason || gap.to.millis_since(gap.from) < SHORTEST => gap.to = time,
        _ => {
            close(open, id, gaps);
            *open = Some(OpenGap { from: time, to: time, reason: Arc::clone(reason), written: None });
        }
    }
}

/// Writes the gap as far as it goes, where it has grown.
pub(super) fn write(open: &mut Option<OpenGap>, id: SeriesId, gaps: &mut Vec<Gap>) {
    if let Some(gap) = open.as_mut().filter(|gap| gap.written != Some(gap.to)) {
        gap.written = Some(gap.to);
        gaps.push(Gap {
            scope: GapScope::Series(id),
            from: gap.from,
            to: gap.to,
            reason: GapReason::Unavailable(gap.reason.as_ref().into()),
        });
    }
}

/// The series has a value again, or ended: writes the gap and forgets it.
pub(super) fn close(open: &mut Option<OpenGap>, id: SeriesId, gaps: &mut Vec<Gap>) {
    write(open, id, gaps);
    *open = None;
}
