//! Numbers in as many bits as their frequency asks for: the `pco` crate's bins, without its deltas and modes, of which
//! ours know more. Only the plainest of what pco reads is accepted, so that hostile bytes reach little of it.

use super::super::{
    Damage,
    varint::{Cursor, put, unzigzag, zigzag},
};
use pco::{
    ChunkConfig, DeltaSpec, ModeSpec,
    data_types::Number,
    errors::PcoResult,
    metadata::{ChunkMeta, DeltaEncoding, Mode},
    wrapped::{ChunkCompressor, FileCompressor, FileDecompressor},
};

/// The header of pco's format that is written and read. It isn't stored: a pco that writes another one needs another
/// shape of column here.
const FORMAT: [u8; 2] = [4, 1];

/// Appends the numbers (at least one): which of pco's types they fit once the smallest is taken away, the smallest,
/// and pco's bytes.
pub(super) fn write(numbers: &[i64], out: &mut Vec<u8>) -> PcoResult<()> {
    let (low, high) = numbers.iter().fold((i64::MAX, i64::MIN), |(low, high), &n| (low.min(n), high.max(n)));
    let above = |number: &i64| number.wrapping_sub(low) as u64;
    let kind = match above(&high) {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        0x1_0000..=0xffff_ffff => 2,
        _ => 3,
    };
    out.push(kind);
    put(out, zigzag(low));
    let numbers = numbers.iter();
    match kind {
        0 => compress_integers(&numbers.map(|n| above(n) as u8).collect::<Vec<_>>(), out),
        1 => compress_integers(&numbers.map(|n| above(n) as u16).collect::<Vec<_>>(), out),
        2 => compress_integers(&numbers.map(|n| above(n) as u32).collect::<Vec<_>>(), out),
        _ => compress_integers(&numbers.map(above).collect::<Vec<_>>(), out),
    }
}

/// Appends exactly `count` (at least one) numbers; every byte must be used.
pub(super) fn read(mut cursor: Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Damage> {
    let kind = cursor.byte()?;
    let low = unzigzag(cursor.number()?);
    let add = |above: u64| low.wrapping_add(above as i64);
    match kind {
        0 => out.extend(decompress::<u8>(cursor.0, count, is_plain)?.into_iter().map(|n| add(n.into()))),
        1 => out.extend(decompress::<u16>(cursor.0, count, is_plain)?.into_iter().map(|n| add(n.into()))),
        2 => out.extend(decompress::<u32>(cursor.0, count, is_plain)?.into_iter().map(|n| add(n.into()))),
        3 => out.extend(decompress::<u64>(cursor.0, count, is_plain)?.into_iter().map(add)),
        _ => return Err(Damage::Malformed("a type of compressed numbers")),
    }
    Ok(())
}

/// Appends floats (at least one), if pco can do it in a way that [`read_floats`] accepts.
pub(super) fn write_floats(values: &[f64], out: &mut Vec<u8>) -> PcoResult<bool> {
    for mode in [ModeSpec::Auto, ModeSpec::Classic] {
        let config =
            ChunkConfig::default().with_mode_spec(mode).with_delta_spec(DeltaSpec::TryConsecutive(1));
        let chunk = FileCompressor::default().chunk_compressor(values, &config)?;
        if is_simple(chunk.meta()) {
            append(chunk, out)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Exactly `count` (at least one) floats; every byte must be used.
pub(super) fn read_floats(bytes: &[u8], count: usize) -> Result<Vec<f64>, Damage> {
    decompress(bytes, count, is_simple)
}

/// Numbers of which most lie on a wide grid take pco's mode of multiples and rests.
fn compress_integers<T: Number>(numbers: &[T], out: &mut Vec<u8>) -> PcoResult<()> {
    let config = ChunkConfig::default().with_delta_spec(DeltaSpec::NoOp).with_enable_8_bit(true);
    let mut chunk = FileCompressor::default().chunk_compressor(numbers, &config)?;
    if !is_plain(chunk.meta()) {
        let config = config.with_mode_spec(ModeSpec::Classic);
        chunk = FileCompressor::default().chunk_compressor(numbers, &config)?;
    }
    append(chunk, out)
}

fn is_plain(meta: &ChunkMeta) -> bool {
    matches!(meta.mode, Mode::Classic | Mode::IntMult(_))
        && matches!(meta.delta_encoding, DeltaEncoding::NoOp)
}

/// Without dictionaries and windows, whose memory hostile bytes could ask for.
fn is_simple(meta: &ChunkMeta) -> bool {
    matches!(meta.mode, Mode::Classic | Mode::FloatMult(_) | Mode::FloatQuant(_))
        && matches!(meta.delta_encoding, DeltaEncoding::NoOp | DeltaEncoding::Consecutive { .. })
}

fn append(mut chunk: ChunkCompressor, out: &mut Vec<u8>) -> PcoResult<()> {
    chunk.write_meta(&mut *out)?;
    chunk.write_page(0, out)?;
    Ok(())
}

fn decompress<T: Number + Default>(
    bytes: &[u8],
    count: usize,
    accepted: impl Fn(&ChunkMeta) -> bool,
) -> Result<Vec<T>, Damage> {
    let damage = |_| Damage::Malformed("compressed numbers");
    let (file, _) = FileDecompressor::new(FORMAT.as_slice()).map_err(damage)?;
    let (mut chunk, page) = file.chunk_decompressor::<T, _>(bytes).map_err(damage)?;
    if !accepted(chunk.meta()) {
        return Err(Damage::Malformed("numbers compressed in a way that is not ours"));
    }
    let mut page = chunk.page_decompressor(page, count).map_err(damage)?;
    let mut numbers = vec![T::default(); count];
    let progress = page.read(&mut numbers).map_err(damage)?;
    if !progress.finished || progress.n_processed != count {
        return Err(Damage::Malformed("compressed numbers"));
    }
    Cursor(page.into_src()).end()?;
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pco_still_writes_the_format_that_is_read() {
        assert_eq!(FileCompressor::default().write_header(Vec::new()).unwrap(), FORMAT);
    }
}
