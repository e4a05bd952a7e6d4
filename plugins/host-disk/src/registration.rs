//! Series that come and go together.

use twarga_plugin_api::{Host, Metric, Result, Series};

/// Registers one series of each metric with the same labels: all of them or none.
///
/// # Errors
/// As [`Host::series`].
pub(crate) fn register_all<const N: usize>(
    host: &mut Host<'_>,
    metrics: &[Metric<'static>; N],
    labels: &[&str],
) -> Result<[Series; N]> {
    let mut registered = Vec::with_capacity(N);
    for metric in metrics {
        match host.series(metric, labels) {
            Ok(series) => registered.push(series),
            Err(error) => {
                retire_all(host, &registered);
                return Err(error);
            }
        }
    }
    let mut next = registered.into_iter();
    Ok([(); N].map(|()| next.next().expect("one was registered for each of the N metrics")))
}

/// Ends series.
pub(crate) fn retire_all(host: &mut Host<'_>, series: &[Series]) {
    for series in series {
        host.retire(*series);
    }
}
