//! Columns that a few numbers describe: constant, a straight line, seldom changing.

use super::super::{
    Damage,
    varint::{Cursor, put, unzigzag, zigzag},
};

pub(super) fn write_constant(value: i64, out: &mut Vec<u8>) {
    put(out, zigzag(value));
}

pub(super) fn read_constant(mut cursor: Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Damage> {
    let value = unzigzag(cursor.number()?);
    cursor.end()?;
    out.resize(count, value);
    Ok(())
}

pub(super) fn write_linear(first: i64, step: i64, out: &mut Vec<u8>) {
    put(out, zigzag(first));
    put(out, zigzag(step));
}

pub(super) fn read_linear(mut cursor: Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Damage> {
    let first = unzigzag(cursor.number()?);
    let step = unzigzag(cursor.number()?);
    cursor.end()?;
    out.extend((0..count as i64).map(|at| first.wrapping_add(step.wrapping_mul(at))));
    Ok(())
}

/// Appends the first value, then of each change how many values it comes after the last one, and by how much.
pub(super) fn write_sparse(values: &[i64], out: &mut Vec<u8>) {
    let mut before = values.first().copied().unwrap_or(0);
    put(out, zigzag(before));
    let mut run = 0;
    for &value in values.iter().skip(1) {
        if value == before {
            run += 1;
            continue;
        }
        put(out, run);
        put(out, zigzag(value.wrapping_sub(before)));
        (before, run) = (value, 0);
    }
}

pub(super) fn read_sparse(mut cursor: Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Damage> {
    let mut value = unzigzag(cursor.number()?);
    let mut length = 1;
    while !cursor.0.is_empty() {
        let run = cursor.number()?;
        if run >= (count - length) as u64 {
            return Err(Damage::Malformed("a change after the end of the column"));
        }
        let change = unzigzag(cursor.number()?);
        if change == 0 {
            return Err(Damage::Malformed("a change by nothing"));
        }
        length += run as usize;
        out.resize(length, value);
        value = value.wrapping_add(change);
        length += 1;
    }
    out.resize(count, value);
    Ok(())
}
