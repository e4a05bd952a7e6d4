//! `/proc/self/auxv`: pairs of machine words (getauxval(3)).

const AT_PAGESZ: usize = 6;
const WORD: usize = size_of::<usize>();

/// The size of a page in bytes, where the vector tells a plausible one.
pub(crate) fn page_size(content: &[u8]) -> Option<u64> {
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).ok();
    let pair = content.chunks_exact(2 * WORD).find(|pair| word(&pair[..WORD]) == Some(AT_PAGESZ))?;
    let size = word(&pair[WORD..])?;
    (size.is_power_of_two() && size >= 1024).then_some(size as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(pairs: &[(usize, usize)]) -> Vec<u8> {
        pairs.iter().flat_map(|(key, value)| [key.to_ne_bytes(), value.to_ne_bytes()]).flatten().collect()
    }

    #[test]
    fn the_page_size_is_found() {
        assert_eq!(page_size(&vector(&[(33, 6), (6, 16384), (0, 0)])), Some(16384));
        assert_eq!(page_size(&vector(&[(33, 6), (0, 0)])), None);
        assert_eq!(page_size(&vector(&[(6, 4097)])), None);
        assert_eq!(page_size(&vector(&[(6, 4096)])[..12]), None);
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(content: Vec<u8>) {
            let _ = page_size(&content);
        }
    }
}
