//! Pure decoders: bytes of a file in, numbers or absence out.

pub(crate) mod cpuinfo;
pub(crate) mod os_release;
pub(crate) mod stat;

use twarga_plugin_api::pseudo_file::{fields, number};

/// `/proc/loadavg`: the averages over 1, 5 and 15 minutes (proc_loadavg(5)).
pub(crate) fn loadavg(content: &[u8]) -> [Option<f64>; 3] {
    let mut fields = fields(content);
    [(); 3].map(|()| fields.next().and_then(not_negative))
}

/// `/proc/uptime`: seconds since boot (proc_uptime(5)).
pub(crate) fn uptime(content: &[u8]) -> Option<f64> {
    fields(content).next().and_then(not_negative)
}

/// A file of sysfs with one number, such as `core_id`. It may be negative (-1: unknown).
pub(crate) fn lone_number(content: &[u8]) -> Option<i64> {
    fields(content).next().and_then(number)
}

/// The words `inf` and `nan` are numbers to Rust, but none of the kernel's.
fn not_negative(field: &[u8]) -> Option<f64> {
    number::<f64>(field).filter(|value| value.is_finite() && *value >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn load_averages() {
        assert_eq!(loadavg(b"0.32 0.24 0.13 1/85 8174\n"), [Some(0.32), Some(0.24), Some(0.13)]);
        assert_eq!(loadavg(b"0.32 nan"), [Some(0.32), None, None]);
        assert_eq!(loadavg(b""), [None; 3]);
    }

    #[test]
    fn uptimes() {
        assert_eq!(uptime(b"350735.47 234388.90\n"), Some(350_735.47));
        assert_eq!(uptime(b"-1 0\n"), None);
        assert_eq!(uptime(b"inf\n"), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(content: Vec<u8>) {
            let values = loadavg(&content).into_iter().flatten().chain(uptime(&content));
            for value in values {
                prop_assert!(value.is_finite() && value >= 0.0);
            }
            lone_number(&content);
        }
    }
}
