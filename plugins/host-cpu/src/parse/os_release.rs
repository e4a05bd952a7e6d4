//! `os-release`: the operating system's name for itself (os-release(5)).

/// The keys in the order of the labels of `host_os_info`.
pub(crate) const KEYS: [&str; 12] = [
    "BUILD_ID",
    "ID",
    "ID_LIKE",
    "IMAGE_ID",
    "IMAGE_VERSION",
    "NAME",
    "PRETTY_NAME",
    "VARIANT",
    "VARIANT_ID",
    "VERSION",
    "VERSION_CODENAME",
    "VERSION_ID",
];

/// The values of [`KEYS`]; empty where the file has none.
pub(crate) fn parse(content: &[u8]) -> [String; KEYS.len()] {
    let mut values = [const { String::new() }; KEYS.len()];
    for line in String::from_utf8_lossy(content).lines() {
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        if let Some(index) = KEYS.iter().position(|known| *known == key) {
            values[index] = unquote(value); // of two assignments the last counts, as in a shell
        }
    }
    values
}

/// Takes a shell's quotes and backslashes off; control characters are dropped, for the value becomes a label.
fn unquote(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let (mut quote, mut chars) = (None, value.chars());
    while let Some(char) = chars.next() {
        match (char, quote) {
            ('\\', None | Some('"')) => out.extend(chars.next()),
            ('"' | '\'', None) => quote = Some(char),
            (_, Some(open)) if open == char => quote = None,
            _ => out.push(char),
        }
    }
    out.retain(|char| !char.is_control());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_are_taken_off() {
        let values = parse(
            b"# comment\nNAME='Twarga \"Host\"'\nID=twarga\nVERSION=\"1 \\$x\"\nVERSION_ID=1\nVERSION_ID=2\nUNKNOWN=3\n",
        );
        let named: Vec<_> = KEYS.iter().zip(&values).filter(|(_, value)| !value.is_empty()).collect();
        let want = [("ID", "twarga"), ("NAME", "Twarga \"Host\""), ("VERSION", "1 $x"), ("VERSION_ID", "2")];
        assert_eq!(named.len(), want.len());
        for ((key, value), wanted) in named.into_iter().zip(want) {
            assert_eq!((*key, value.as_str()), wanted);
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(content: Vec<u8>) {
            parse(&content);
        }

        #[test]
        fn labels_have_no_control_characters(value: String) {
            let values = parse(format!("NAME={value}\n").as_bytes());
            prop_assert!(values.iter().all(|value| !value.chars().any(char::is_control)));
        }
    }
}
