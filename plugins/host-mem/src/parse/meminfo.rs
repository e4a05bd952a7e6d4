//! `/proc/meminfo`: lines `Name:   value kB`, or without a unit for counts (proc_meminfo(5)).

use super::{digits, whole_lines};
use twarga_plugin_api::pseudo_file::fields;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) name: &'a [u8],
    /// Nothing where it is no number, or has a unit that we don't know.
    pub(crate) value: Option<Value>,
}

/// A value as the kernel writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) number: u64,
    /// In KiB (which the kernel calls kB), else a count.
    pub(crate) kib: bool,
}

/// The lines that have a name.
pub(crate) fn lines(content: &[u8]) -> impl Iterator<Item = Line<'_>> {
    whole_lines(content).filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = line[..colon].trim_ascii();
        (!name.is_empty()).then(|| Line { name, value: value(&line[colon + 1..]) })
    })
}

fn value(text: &[u8]) -> Option<Value> {
    let mut fields = fields(text);
    let number = digits(fields.next()?)?;
    let kib = match fields.next() {
        None => false,
        Some(b"kB") => true,
        Some(_) => return None,
    };
    fields.next().is_none().then_some(Value { number, kib })
}

/// What `free` and we compute with, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total: Option<u64>,
    pub(crate) free: Option<u64>,
    pub(crate) available: Option<u64>,
    pub(crate) active_file: Option<u64>,
    pub(crate) inactive_file: Option<u64>,
    pub(crate) reclaimable: Option<u64>,
    pub(crate) swap_total: Option<u64>,
    pub(crate) swap_free: Option<u64>,
}

impl Memory {
    /// The place of a line's value here, or nothing.
    pub(crate) fn place(&mut self, role: Role) -> &mut Option<u64> {
        match role {
            Role::Total => &mut self.total,
            Role::Free => &mut self.free,
            Role::Available => &mut self.available,
            Role::ActiveFile => &mut self.active_file,
            Role::InactiveFile => &mut self.inactive_file,
            Role::Reclaimable => &mut self.reclaimable,
            Role::SwapTotal => &mut self.swap_total,
            Role::SwapFree => &mut self.swap_free,
        }
    }

    /// The available memory as the kernel would estimate it, for kernels before 3.14, which don't. `min_free` is
    /// `vm.min_free_kbytes`. Taking memory is free of swapping down to the low watermark, a quarter above that; and
    /// of the caches of files and of slab, half or the watermark at least stay.
    pub(crate) fn estimate_available(&self, min_free: u64) -> Option<u64> {
        let low = min_free.saturating_add(min_free / 4);
        let takeable = |cache: u64| cache - low.min(cache / 2);
        let files = self.active_file?.saturating_add(self.inactive_file?);
        let caches = takeable(files).saturating_add(takeable(self.reclaimable?));
        Some(self.free?.saturating_add(caches).saturating_sub(low))
    }
}

/// The lines of [`Memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Total,
    Free,
    Available,
    ActiveFile,
    InactiveFile,
    Reclaimable,
    SwapTotal,
    SwapFree,
}

impl Role {
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"MemTotal" => Self::Total,
            b"MemFree" => Self::Free,
            b"MemAvailable" => Self::Available,
            b"Active(file)" => Self::ActiveFile,
            b"Inactive(file)" => Self::InactiveFile,
            b"SReclaimable" => Self::Reclaimable,
            b"SwapTotal" => Self::SwapTotal,
            b"SwapFree" => Self::SwapFree,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEMINFO: &[u8] =
        b"MemTotal:       24684084 kB\nActive(anon):       1520 kB\nHugePages_Total:       3\n";

    fn line(content: &str) -> Option<Value> {
        lines(content.as_bytes()).next().and_then(|line| line.value)
    }

    #[test]
    fn values_have_their_unit() {
        let found: Vec<_> = lines(MEMINFO).collect();
        let value = |number, kib| Some(Value { number, kib });
        assert_eq!(found[0], Line { name: b"MemTotal", value: value(24_684_084, true) });
        assert_eq!(found[1], Line { name: b"Active(anon)", value: value(1520, true) });
        assert_eq!(found[2], Line { name: b"HugePages_Total", value: value(3, false) });
    }

    #[test]
    fn nonsense_is_absent() {
        for text in
            ["A: x kB\n", "A: -1 kB\n", "A: 1 MB\n", "A: 1 kB more\n", "A:\n", "A: 18446744073709551616\n"]
        {
            assert_eq!(line(text), None, "{text}");
        }
        assert_eq!(lines(b": 5 kB\nno colon\n\nA: 5 k").count(), 0);
    }

    #[test]
    fn available_is_estimated_as_the_kernel_does() {
        let memory = Memory {
            free: Some(1000),
            active_file: Some(3000),
            inactive_file: Some(5000),
            reclaimable: Some(100),
            ..Memory::default()
        };
        // low watermark 250: 1000 - 250 + (8000 - 250) + (100 - 50)
        assert_eq!(memory.estimate_available(200), Some(8550));
        assert_eq!(Memory { reclaimable: None, ..memory }.estimate_available(200), None);
        assert_eq!(memory.estimate_available(u64::MAX), Some(0));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(content: Vec<u8>) {
            lines(&content).for_each(drop);
        }

        #[test]
        fn truncation_never_invents_a_number(end in 0..MEMINFO.len()) {
            let whole: Vec<_> = lines(MEMINFO).collect();
            let cut: Vec<_> = lines(&MEMINFO[..end]).collect();
            prop_assert_eq!(&cut[..], &whole[..cut.len()]);
        }

        #[test]
        fn written_values_come_back(name in "[A-Za-z_()0-9]{1,20}", number: u64, kib: bool) {
            let text = format!("{name}:  {number}{}\n", if kib { " kB" } else { "" });
            let want = Line { name: name.as_bytes(), value: Some(Value { number, kib }) };
            prop_assert_eq!(lines(text.as_bytes()).collect::<Vec<_>>(), vec![want]);
        }

        #[test]
        fn an_estimate_never_overflows(values: [u64; 4], min_free: u64) {
            let [free, active, inactive, reclaimable] = values.map(Some);
            let memory = Memory {
                free, active_file: active, inactive_file: inactive, reclaimable, ..Memory::default()
            };
            prop_assert!(memory.estimate_available(min_free).is_some());
        }
    }
}
