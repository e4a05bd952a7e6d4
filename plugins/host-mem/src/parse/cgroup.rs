//! Files of cgroup version 2 (cgroups(7) and the kernel's admin-guide/cgroup-v2.rst).

use super::{digits, whole_lines};

/// The path in the version 2 hierarchy from `/proc/self/cgroup`: the line `0::/path`. Nothing where there is none,
/// or where it leads out of the hierarchy that this process can see.
pub(crate) fn own_path(content: &[u8]) -> Option<&str> {
    let line = whole_lines(content).find_map(|line| line.strip_prefix(b"0::"))?;
    let path = std::str::from_utf8(line).ok()?;
    (path.starts_with('/') && path.split('/').all(|part| part != "..")).then_some(path)
}

/// `memory.max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The word `max`.
    None,
    Bytes(u64),
}

/// `memory.max`; nothing where it is neither.
pub(crate) fn limit(content: &[u8]) -> Option<Limit> {
    match content.trim_ascii() {
        b"max" => Some(Limit::None),
        number => digits(number).map(Limit::Bytes),
    }
}

/// The line `inactive_file` of `memory.stat`, in bytes.
pub(crate) fn inactive_file(content: &[u8]) -> Option<u64> {
    whole_lines(content).find_map(|line| line.strip_prefix(b"inactive_file ")).and_then(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_own_path_is_that_of_version_2() {
        assert_eq!(own_path(b"4:memory:/old\n0::/system.slice/a.service\n"), Some("/system.slice/a.service"));
        assert_eq!(own_path(b"0::/\n"), Some("/"));
        for none in ["", "4:memory:/old\n", "0::/../other\n", "0::relative\n", "0::/cut"] {
            assert_eq!(own_path(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn limits_and_statistics() {
        assert_eq!(limit(b"max\n"), Some(Limit::None));
        assert_eq!(limit(b"1073741824\n"), Some(Limit::Bytes(1 << 30)));
        assert_eq!(limit(b"-1\n"), None);
        assert_eq!(inactive_file(b"anon 1\nfile 2\ninactive_file 3\n"), Some(3));
        assert_eq!(inactive_file(b"inactive_file x\n"), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(content: Vec<u8>) {
            limit(&content);
            inactive_file(&content);
            if let Some(path) = own_path(&content) {
                prop_assert!(path.starts_with('/'));
            }
        }
    }
}
