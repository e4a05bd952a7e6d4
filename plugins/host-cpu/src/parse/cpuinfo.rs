//! `/proc/cpuinfo`: a block of `key : value` lines for each CPU that is online (proc_cpuinfo(5)). The keys differ
//! by architecture; those of x86, Arm, POWER and s390 are known here.

use std::collections::BTreeSet;

/// One block. Texts are empty where the kernel doesn't tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Processor {
    pub(crate) id: u32,
    pub(crate) package: String,
    pub(crate) core: String,
    pub(crate) vendor: String,
    pub(crate) family: String,
    pub(crate) model: String,
    pub(crate) model_name: String,
    pub(crate) microcode: String,
    pub(crate) stepping: String,
    pub(crate) cache_size: String,
}

/// The blocks that have a number, in the order of the file.
pub(crate) fn processors(content: &[u8]) -> Vec<Processor> {
    let mut found: Vec<Processor> = vec![];
    for (key, value) in pairs(content) {
        if let Some(id) = begins(key, value) {
            found.push(Processor { id, ..Processor::default() });
            continue;
        }
        let Some(current) = found.last_mut() else { continue };
        let place = match key {
            b"physical id" => &mut current.package,
            b"core id" => &mut current.core,
            b"vendor_id" | b"CPU implementer" => &mut current.vendor,
            b"cpu family" | b"CPU architecture" => &mut current.family,
            b"model" | b"CPU part" => &mut current.model,
            b"model name" | b"cpu" => &mut current.model_name,
            b"microcode" => &mut current.microcode,
            b"stepping" | b"CPU revision" | b"revision" => &mut current.stepping,
            b"cache size" => &mut current.cache_size,
            _ => continue,
        };
        *place = String::from_utf8_lossy(value).chars().filter(|char| !char.is_control()).collect();
    }
    found
}

/// Calls `on_cpu` with the number and the frequency in hertz of each block that has both. Allocates nothing.
pub(crate) fn frequencies(content: &[u8], mut on_cpu: impl FnMut(u32, f64)) {
    let mut id = None;
    for (key, value) in pairs(content) {
        if let Some(begun) = begins(key, value) {
            id = Some(begun);
        } else if matches!(key, b"cpu MHz" | b"cpu MHz dynamic" | b"clock")
            && let Some(cpu) = id
            && let Some(hertz) = megahertz(value)
        {
            on_cpu(cpu, hertz);
            id = None; // one frequency a block
        }
    }
}

/// The number of physical cores: the distinct pairs of package and core. Nothing where a block lacks them.
pub(crate) fn physical_cores(content: &[u8]) -> Option<usize> {
    let processors = processors(content);
    let cores: BTreeSet<_> = processors.iter().map(|one| (one.package.as_str(), one.core.as_str())).collect();
    let complete = cores.iter().all(|(package, core)| !package.is_empty() && !core.is_empty());
    (complete && !cores.is_empty()).then_some(cores.len())
}

fn begins(key: &[u8], value: &[u8]) -> Option<u32> {
    // s390 lists "cpu number" once a block; its "processor 0: …" summary has another shape and matches nothing
    if !matches!(key, b"processor" | b"cpu number") {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn pairs(content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    content.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
    })
}

fn megahertz(value: &[u8]) -> Option<f64> {
    let value = value.strip_suffix(b"MHz").unwrap_or(value);
    let value: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    // rounded: 2596.132 MHz times a million is not exactly a whole number
    (value.is_finite() && value > 0.0).then(|| (value * 1e6).round())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const X86: &[u8] = b"processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
        model name\t: AMD EPYC\nstepping\t: 1\nmicrocode\t: 0x1000065\ncpu MHz\t\t: 2596.132\n\
        cache size\t: 1024 KB\nphysical id\t: 0\ncore id\t\t: 3\npower management:\n\n\
        processor\t: 1\ncpu MHz\t\t: 1200.000\nphysical id\t: 0\ncore id\t\t: 3\n";
    const POWER: &[u8] = b"processor\t: 8\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 3800.000000MHz\n";
    const ARM: &[u8] = b"processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";

    fn hertz(content: &[u8]) -> Vec<(u32, f64)> {
        let mut found = vec![];
        frequencies(content, |cpu, hertz| found.push((cpu, hertz)));
        found
    }

    #[test]
    fn blocks_of_x86() {
        let found = processors(X86);
        assert_eq!(found.len(), 2);
        let first = &found[0];
        assert_eq!((first.vendor.as_str(), first.model_name.as_str()), ("AuthenticAMD", "AMD EPYC"));
        assert_eq!((first.core.as_str(), first.cache_size.as_str()), ("3", "1024 KB"));
        assert_eq!(hertz(X86), [(0, 2_596_132_000.0), (1, 1_200_000_000.0)]);
        assert_eq!(physical_cores(X86), Some(1)); // two threads of one core
    }

    #[test]
    fn blocks_of_others() {
        assert_eq!(processors(POWER)[0].model_name, "POWER9, altivec supported");
        assert_eq!(hertz(POWER), [(8, 3_800_000_000.0)]);
        assert_eq!(processors(ARM)[0].vendor, "0x41");
        assert_eq!((hertz(ARM), physical_cores(ARM)), (vec![], None));
    }

    #[test]
    fn nonsense_is_absent() {
        assert_eq!(hertz(b"cpu MHz : 5\nprocessor : x\ncpu MHz : 5\nprocessor : 1\ncpu MHz : nan\n"), []);
        assert_eq!(physical_cores(b""), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(content: Vec<u8>) {
            let (processors, hertz) = (processors(&content), hertz(&content));
            prop_assert!(hertz.len() <= processors.len());
            physical_cores(&content);
        }

        #[test]
        fn truncation_never_panics(end in 0..X86.len()) {
            prop_assert!(processors(&X86[..end]).len() <= 2);
            hertz(&X86[..end]);
        }
    }
}
