use super::*;
use proptest::prelude::*;

/// Encodes at both efforts, decodes, compares every bit; returns the lengths.
pub(super) fn round_trip(values: &[f64]) -> [usize; 2] {
    [Effort::Fast, Effort::Small].map(|effort| {
        let mut bytes = Vec::new();
        ColumnEncoder::default().encode(values, effort, &mut bytes);
        let mut read = vec![0.5];
        assert_eq!(decode_column(&bytes, values.len(), &mut read), Ok(()), "{effort:?}");
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read[1..]), bits(values), "{effort:?}");
        bytes.len()
    })
}

proptest! {
    #[test]
    fn any_values_come_back(values in prop::collection::vec(any::<f64>(), 0..300)) {
        round_trip(&values);
    }
}
