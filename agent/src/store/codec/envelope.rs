//! What surrounds every stored blob: version, length, checksum. The checksum covers the key as well, so that a blob
//! under a wrong key is noticed.

use super::Damage;

/// The form that this program writes.
pub(super) const VERSION: u8 = 1;
/// Version (1 byte), length of the whole (4), checksum (4).
const HEADER: usize = 9;

/// Makes room for the header; the contents are appended after it.
pub(super) fn begin(buf: &mut Vec<u8>) {
    buf.clear();
    buf.resize(HEADER, 0);
}

/// Fills in the header.
pub(super) fn seal(buf: &mut [u8], key: i64) {
    buf[0] = VERSION;
    // a blob has at most 1 GB (SQLite's limit), and a wrong length is refused on reading
    let length = u32::try_from(buf.len()).unwrap_or(u32::MAX);
    buf[1..5].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(buf, key);
    buf[5..HEADER].copy_from_slice(&sum.to_le_bytes());
}

/// The first byte of the contents, not checked yet.
pub(super) fn first_byte(bytes: &[u8]) -> Result<u8, Damage> {
    bytes.get(HEADER).copied().ok_or(Damage::Truncated)
}

/// The contents, once the header agrees with them.
pub(super) fn open(bytes: &[u8], key: i64) -> Result<&[u8], Damage> {
    let (header, contents) = bytes.split_first_chunk::<HEADER>().ok_or(Damage::Truncated)?;
    let [version, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if bytes.len() < length {
        return Err(Damage::Truncated);
    }
    if bytes.len() > length {
        return Err(Damage::Malformed("bytes after the end"));
    }
    if checksum(bytes, key) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(Damage::Checksum);
    }
    if version == VERSION { Ok(contents) } else { Err(Damage::Version(version)) }
}

/// The blob without the zeros behind its end, which fill its place.
pub(super) fn unfilled(bytes: &[u8]) -> &[u8] {
    let length =
        bytes.get(1..5).and_then(|length| length.first_chunk()).map(|length| u32::from_le_bytes(*length));
    match length.and_then(|length| bytes.split_at_checked(length as usize)) {
        Some((blob, fill)) if fill.iter().all(|byte| *byte == 0) => blob,
        _ => bytes,
    }
}

/// CRC-32 (IEEE) of the key and all but the checksum itself.
fn checksum(bytes: &[u8], key: i64) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&key.to_le_bytes());
    sum.update(&bytes[..5]);
    sum.update(&bytes[HEADER..]);
    sum.finalize()
}
