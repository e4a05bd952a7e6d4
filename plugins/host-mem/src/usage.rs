//! Used memory and swap, as bytes and as parts of the whole.

use crate::{
    metrics::{SWAP_USAGE, SWAP_USED, USAGE, USED},
    reading,
};
use twarga_plugin_api::{Host, Result, Series, Sink};

/// The four series.
pub(crate) struct Usage {
    used: Series,
    ratio: Series,
    swap_used: Series,
    swap_ratio: Series,
}

impl Usage {
    pub(crate) fn new(host: &mut Host<'_>) -> Result<Self> {
        Ok(Self {
            used: host.series(&USED, &[])?,
            ratio: host.series(&USAGE, &[])?,
            swap_used: host.series(&SWAP_USED, &[])?,
            swap_ratio: host.series(&SWAP_USAGE, &[])?,
        })
    }

    /// Total and available memory, total and free swap, in bytes.
    pub(crate) fn put(
        &self,
        memory: Result<(u64, u64), &'static str>,
        swap: Result<(u64, u64), &'static str>,
        sink: &mut Sink<'_>,
    ) {
        let (used, ratio) = used(memory);
        reading::put(sink, self.used, used);
        // a host without memory doesn't exist: its total is not a number to divide by
        reading::put(sink, self.ratio, ratio.and_then(|ratio| ratio.ok_or(reading::MISSING)));
        let (used, ratio) = self::used(swap);
        reading::put(sink, self.swap_used, used);
        reading::put(sink, self.swap_ratio, ratio.map(|ratio| ratio.unwrap_or(0.0)));
    }
}

/// The difference of a total and what is left of it, and its part of the total, which is nothing for a total of 0.
/// More left than there is happens while swap is switched off, and is nothing used.
fn used(
    of: Result<(u64, u64), &'static str>,
) -> (Result<f64, &'static str>, Result<Option<f64>, &'static str>) {
    let used = of.map(|(total, left)| total.saturating_sub(left) as f64);
    let ratio = of.and_then(|(total, _)| used.map(|used| (total > 0).then(|| used / total as f64)));
    (used, ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_whole() {
        assert_eq!(used(Ok((200, 50))), (Ok(150.0), Ok(Some(0.75))));
        assert_eq!(used(Ok((0, 0))), (Ok(0.0), Ok(None)));
        assert_eq!(used(Ok((10, 11))), (Ok(0.0), Ok(Some(0.0))));
        assert_eq!(used(Err("why")), (Err("why"), Err("why")));
    }
}
