//! The system's clocks other than the wall clock.

pub use rustix::time::ClockId;
use std::time::Duration;

/// Time since the boot, sleeps of the machine included.
pub const SINCE_BOOT: ClockId =
    if cfg!(target_os = "linux") { ClockId::Boottime } else { ClockId::Monotonic };

/// What a clock shows.
pub fn clock_time(clock: ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
