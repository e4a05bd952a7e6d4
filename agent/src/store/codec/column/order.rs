//! Numbers, their differences, and the differences of these: which of the three is smallest.

use super::{
    super::{
        Damage,
        varint::{Cursor, put, unzigzag, zigzag},
    },
    factor::Scale,
    packed,
};

/// How often differences are taken at most.
const HIGHEST: usize = 2;
/// Values are tried as they are up to so many times the estimate of differences: the same few values may come again
/// and again, which the estimate doesn't see, and differences hide.
const REPEATS: f64 = 1.7;
/// Differences are tried up to so many times the estimate of the values.
const WANDERS: f64 = 1.1;

/// Numbers, their differences, and the differences of these.
#[derive(Debug, Default)]
pub(super) struct Orders([Vec<i64>; HIGHEST + 1]);

impl Orders {
    /// Takes numbers (at least three).
    pub(super) fn fill(&mut self, numbers: &[i64], scale: Option<Scale>) {
        let [values, differences, bends] = &mut self.0;
        values.clear();
        match scale {
            Some(scale) => values.extend(numbers.iter().map(|number| scale.apply(*number))),
            None => values.extend_from_slice(numbers),
        }
        difference(values, differences);
        difference(differences, bends);
    }

    /// Appends what the differences begin from, and returns them.
    pub(super) fn begin(&self, order: usize, out: &mut Vec<u8>) -> &[i64] {
        for start in &self.0[..order] {
            put(out, zigzag(start[0]));
        }
        &self.0[order]
    }

    /// The order that takes the fewest bytes when packed, and how many these are.
    pub(super) fn smallest_packed(&self) -> (usize, usize) {
        let [values, differences, bends] = &self.0;
        let mut best = (0, packed::length(values));
        for (order, numbers) in [(1, differences), (2, bends)] {
            let length = packed::length(numbers) + order;
            if length < best.1 {
                best = (order, length);
            }
        }
        best
    }

    /// The orders that an entropy coder may make smallest, by an estimate.
    pub(super) fn likely_coded(&self) -> impl Iterator<Item = usize> + use<> {
        let [values, differences, bends] = &self.0;
        let once = estimate(differences, typical(differences));
        let twice = estimate(bends, 0);
        let (order, cost) = if twice < once { (2, twice) } else { (1, once) };
        let plain = estimate(values, typical(values));
        let candidates = [(0, plain <= cost * REPEATS), (order, cost <= plain * WANDERS)];
        candidates.into_iter().filter(|(_, likely)| *likely).map(|(order, _)| order)
    }
}

fn difference(numbers: &[i64], into: &mut Vec<i64>) {
    into.clear();
    into.extend(numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
}

/// The median of a few.
fn typical(numbers: &[i64]) -> i64 {
    let mut few = [0; 15];
    for (at, place) in few.iter_mut().enumerate() {
        *place = numbers[at * numbers.len() / 15];
    }
    few.sort_unstable();
    few[7]
}

/// About how many bits the numbers take: how many each needs beside the typical one, and which that count is.
fn estimate(numbers: &[i64], typical: i64) -> f64 {
    let mut frequencies = [0_u32; 65];
    for number in numbers {
        frequencies[packed::width(zigzag(number.wrapping_sub(typical))) as usize] += 1;
    }
    let all = (numbers.len() as f64).log2();
    let bits = |(width, count): (usize, &u32)| {
        let count = f64::from(*count);
        count * (all - count.log2() + width.saturating_sub(1) as f64)
    };
    frequencies.iter().enumerate().filter(|(_, count)| **count > 0).map(bits).sum()
}

/// Appends what differences begin from. Returns how many numbers that are, which is the order.
pub(super) fn open(
    cursor: &mut Cursor<'_>,
    order: usize,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<usize, Damage> {
    if order >= count {
        return Err(Damage::Malformed("more differences than values"));
    }
    for _ in 0..order {
        out.push(unzigzag(cursor.number()?));
    }
    Ok(order)
}

/// The numbers that the differences, behind what they begin from, are of.
pub(super) fn integrate(numbers: &mut [i64], order: usize) {
    for skipped in (0..order).rev() {
        let mut sum = 0_i64;
        for number in &mut numbers[skipped..] {
            sum = sum.wrapping_add(*number);
            *number = sum;
        }
    }
}
