//! /proc/diskstats, as described in Documentation/admin-guide/iostats.rst of the kernel.

use twarga_plugin_api::pseudo_file::number;

/// How many numbers the newest kernels give of a device.
pub(crate) const FIELDS: usize = 17;
/// How many all kernels since 2.6.25 give; 4.18 added the discards, 5.5 the flush requests.
const LEAST: usize = 11;

/// A line up to its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) name: &'a [u8],
    numbers: &'a [u8],
}

/// The numbers of a line, in the order of the file; one that is missing or none is nothing.
pub(crate) type Numbers = [Option<u64>; FIELDS];

/// Splits off the numbers and the name of the device; nothing where there are none.
pub(crate) fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    let (major, rest) = split_field(line);
    let (minor, rest) = split_field(rest);
    let (name, numbers) = split_field(rest);
    let line = Line { major: number(major)?, minor: number(minor)?, name, numbers };
    (!name.is_empty()).then_some(line)
}

impl Line<'_> {
    /// The numbers; nothing for a line with too few of them to tell which is which. More than are known are ignored.
    pub(crate) fn numbers(&self) -> Option<Numbers> {
        let mut numbers = [None; FIELDS];
        let mut rest = self.numbers;
        let mut count = 0;
        while count < FIELDS {
            let (field, after) = split_field(rest);
            if field.is_empty() {
                break;
            }
            numbers[count] = decimal(field);
            count += 1;
            rest = after;
        }
        (count >= LEAST).then_some(numbers)
    }
}

fn split_field(text: &[u8]) -> (&[u8], &[u8]) {
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let text = &text[start..];
    text.split_at(text.iter().position(is_blank).unwrap_or(text.len()))
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Digits as a number; nothing for anything else and for more than 64 bits.
fn decimal(field: &[u8]) -> Option<u64> {
    field.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        let more = number.checked_mul(10)?.checked_add(u64::from(digit))?;
        (digit <= 9).then_some(more)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_a_new_kernel() {
        let line = b" 259       0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17";
        let line = parse_line(line).unwrap();
        assert_eq!((line.major, line.minor, line.name), (259, 0, &b"nvme0n1"[..]));
        assert_eq!(line.numbers().unwrap(), std::array::from_fn(|index| Some(index as u64 + 1)));
    }

    #[test]
    fn older_kernels_give_fewer_and_newer_ones_may_give_more() {
        let numbers = |count: usize| {
            let line = format!("8 0 sda {}", "7 ".repeat(count));
            let numbers = parse_line(line.as_bytes()).unwrap().numbers();
            numbers.map(|numbers| numbers.iter().flatten().count())
        };
        assert_eq!(numbers(11), Some(11));
        assert_eq!(numbers(15), Some(15));
        assert_eq!(numbers(17), Some(17));
        assert_eq!(numbers(21), Some(17));
        assert_eq!(numbers(4), None); // partitions before 2.6.25
        assert_eq!(numbers(0), None);
    }

    #[test]
    fn what_is_no_number_is_nothing() {
        let line = b"8 0 sda 1 x 3 -4 18446744073709551615 18446744073709551616 7 8 9 1.0 11";
        let numbers = parse_line(line).unwrap().numbers().unwrap();
        let expected =
            [Some(1), None, Some(3), None, Some(u64::MAX), None, Some(7), Some(8), Some(9), None, Some(11)];
        assert_eq!(numbers[..11], expected);
        for garbage in [&b""[..], b"8", b"8 0", b"8 0 ", b"x 0 sda 1", b"8 -1 sda 1", b"4294967296 0 sda 1"] {
            assert_eq!(parse_line(garbage), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(line) = parse_line(&line) {
                line.numbers();
            }
        }

        #[test]
        fn every_number_comes_back(numbers in prop::array::uniform17(any::<u64>())) {
            let text: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            let line = format!("   8       0 sda {}", text.join(" "));
            prop_assert_eq!(parse_line(line.as_bytes()).unwrap().numbers().unwrap(), numbers.map(Some));
        }
    }
}
