//! Pure decoders: bytes of a file in, numbers or absence out.

pub(crate) mod cgroup;
pub(crate) mod meminfo;
pub(crate) mod vmstat;

/// A number in decimal digits, and nothing else.
fn digits(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// The lines that have their end: one without may lack digits.
fn whole_lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

/// `proc/sys/vm/min_free_kbytes` and other files of one number.
pub(crate) fn lone_number(content: &[u8]) -> Option<u64> {
    digits(content.trim_ascii())
}
