//! The one-line files of `/sys/class/net/<interface>/` (sysfs-class-net of the kernel's ABI documentation).

use crate::metrics::LINK_NUMBERS;
use std::io;
use twarga_plugin_api::pseudo_file::number;

/// Speeds in Mbit/s by which drivers say that they don't know: -1 through an unsigned format of 16 or 32 bits.
const UNKNOWN_SPEEDS: [u64; 2] = [u16::MAX as u64, u32::MAX as u64];
/// Bytes per second of one Mbit/s.
const BYTES_PER_MEGABIT: u64 = 1_000_000 / 8;
const IFF_UP: u64 = 0x1;
const IFF_LOOPBACK: u64 = 0x8;

/// A number that may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fact {
    /// There is no such file: this kernel or platform never tells.
    #[default]
    Missing,
    /// Not now, and why.
    Without(&'static str),
    /// In the metric's unit.
    Is(u64),
}

/// Why a file gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No such file.
    Missing,
    /// EINVAL: the question makes no sense in the interface's state, or to its driver.
    Invalid,
    /// ENODEV: the interface to which the file belonged is gone.
    Gone,
    /// Anything else.
    Unreadable,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        const ENODEV: i32 = 19;
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::InvalidInput => Self::Invalid,
            _ if error.raw_os_error() == Some(ENODEV) => Self::Gone,
            _ => Self::Unreadable,
        }
    }
}

/// The content of a file, without the line's end.
pub(crate) type Reading<'a> = Result<&'a [u8], Failure>;

/// What is shown of a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// Carrier, up, speed in bytes per second, MTU, carrier changes: in the order of [`crate::metrics::LINK`].
    pub(crate) numbers: [Fact; LINK_NUMBERS],
    /// Address, broadcast, duplex, operstate, adminstate, ifalias: the labels of [`crate::metrics::INFO`]
    /// after `device`. Empty where unknown.
    pub(crate) labels: [String; 6],
    /// Whether any of the labels is known.
    pub(crate) has_labels: bool,
}

/// The interface flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(Option<u64>);

impl Flags {
    pub(crate) fn parse(reading: Reading<'_>) -> Self {
        let digits = reading.ok().and_then(|text| text.strip_prefix(b"0x"));
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        // from_str_radix would take a sign
        let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Self(text.and_then(|text| u64::from_str_radix(text, 16).ok()))
    }

    /// Whether an administrator switched the interface on.
    pub(crate) fn up(self) -> Option<bool> {
        self.0.map(|flags| flags & IFF_UP != 0)
    }

    pub(crate) fn loopback(self) -> Option<bool> {
        self.0.map(|flags| flags & IFF_LOOPBACK != 0)
    }

    /// As a label.
    pub(crate) fn adminstate(self) -> &'static str {
        match self.up() {
            Some(true) => "up",
            Some(false) => "down",
            None => "unknown",
        }
    }
}

/// A plain number: MTU, carrier changes.
pub(crate) fn plain(reading: Reading<'_>) -> Fact {
    match reading {
        Ok(text) => number(text).map_or(Fact::Without("not a number"), Fact::Is),
        Err(Failure::Missing) => Fact::Missing,
        Err(Failure::Gone) => Fact::Without("interface is gone"),
        Err(Failure::Invalid | Failure::Unreadable) => Fact::Without("not readable"),
    }
}

/// The carrier: the kernel refuses to tell while the interface is switched off.
pub(crate) fn carrier(reading: Reading<'_>) -> Fact {
    match reading {
        Err(Failure::Invalid) => Fact::Without("interface is down"),
        other => plain(other),
    }
}

/// The speed in bytes per second; drivers without one refuse, or say -1.
pub(crate) fn speed(reading: Reading<'_>, flags: Flags) -> Fact {
    match (reading, plain(reading)) {
        (Err(Failure::Invalid), _) if flags.up() == Some(false) => Fact::Without("interface is down"),
        (Err(Failure::Invalid), _) => Fact::Without("the driver tells no speed"),
        (Ok(b"-1"), _) => Fact::Without("speed unknown"),
        (_, Fact::Is(speed)) if UNKNOWN_SPEEDS.contains(&speed) => Fact::Without("speed unknown"),
        (_, Fact::Is(speed)) => {
            speed.checked_mul(BYTES_PER_MEGABIT).map_or(Fact::Without("speed unknown"), Fact::Is)
        }
        (_, other) => other,
    }
}

/// Whether the operational state is `up`.
pub(crate) fn up(reading: Reading<'_>) -> Fact {
    match reading {
        Ok(text) => Fact::Is(u64::from(text == b"up")),
        other => plain(other),
    }
}

/// A text as a label: the last line's end off, bytes that no label can carry replaced. Empty where there is none.
pub(crate) fn text(reading: Reading<'_>, label: &mut String) {
    label.clear();
    let text = String::from_utf8_lossy(reading.unwrap_or_default());
    label.extend(text.chars().map(|char| if char.is_control() { ' ' } else { char }));
}

/// An interface's name as a label. Names are bytes; those that are no UTF-8 are written `\xff`, so that two
/// such names stay two.
pub(crate) fn name_label(name: &[u8]) -> String {
    let mut label = String::new();
    for chunk in name.utf8_chunks() {
        label.push_str(chunk.valid());
        for byte in chunk.invalid() {
            label.push_str(&format!("\\x{byte:02x}"));
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn speeds_are_bytes_per_second_or_say_why_not() {
        let (on, off) = (Flags::parse(Ok(b"0x1003")), Flags::parse(Ok(b"0x1002")));
        assert_eq!(speed(Ok(b"1000"), on), Fact::Is(125_000_000));
        assert_eq!(speed(Ok(b"10"), on), Fact::Is(1_250_000));
        for unknown in ["-1", "65535", "4294967295", "18446744073709551615"] {
            assert_eq!(speed(Ok(unknown.as_bytes()), on), Fact::Without("speed unknown"));
        }
        assert_eq!(speed(Err(Failure::Invalid), on), Fact::Without("the driver tells no speed"));
        assert_eq!(speed(Err(Failure::Invalid), off), Fact::Without("interface is down"));
        assert_eq!(speed(Err(Failure::Missing), on), Fact::Missing);
        assert_eq!(speed(Ok(b""), on), Fact::Without("not a number"));
    }

    #[test]
    fn states_and_flags() {
        assert_eq!((up(Ok(b"up")), up(Ok(b"unknown"))), (Fact::Is(1), Fact::Is(0)));
        assert_eq!(carrier(Err(Failure::Invalid)), Fact::Without("interface is down"));
        assert_eq!(Flags::parse(Ok(b"0x9")).adminstate(), "up");
        assert_eq!(Flags::parse(Ok(b"0x8")).adminstate(), "down");
        assert_eq!(Flags::parse(Ok(b"0x9")).loopback(), Some(true));
        for bad in [b"".as_slice(), b"9", b"0x", b"0x+9", b"0xg", b"\xff"] {
            assert_eq!(Flags::parse(Ok(bad)).adminstate(), "unknown", "{bad:?}");
        }
    }

    #[test]
    fn errors_keep_their_meaning() {
        for (code, failure) in
            [(2, Failure::Missing), (19, Failure::Gone), (22, Failure::Invalid), (5, Failure::Unreadable)]
        {
            assert_eq!(Failure::from(io::Error::from_raw_os_error(code)), failure, "{code}");
        }
    }

    #[test]
    fn labels_carry_any_bytes() {
        assert_eq!(name_label(b"eth0"), "eth0");
        assert_eq!(name_label("größe".as_bytes()), "größe");
        assert_ne!(name_label(b"a\xff"), name_label(b"a\xfe"));
        let mut label = "old".to_owned();
        text(Ok(b"to the\nlab \xff"), &mut label);
        assert_eq!(label, "to the lab \u{fffd}");
        text(Err(Failure::Invalid), &mut label);
        assert_eq!(label, "");
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(content: Vec<u8>) {
            let flags = Flags::parse(Ok(&content));
            let _ = (speed(Ok(&content), flags), carrier(Ok(&content)), up(Ok(&content)), flags.adminstate());
            let mut label = String::new();
            text(Ok(&content), &mut label);
            prop_assert!(!label.contains(char::is_control));
            let _ = name_label(&content);
        }
    }
}
