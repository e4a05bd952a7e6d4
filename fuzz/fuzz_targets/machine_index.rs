//! Vagrant's machine index: whatever the bytes are, reading ends in order, every machine is there once, and nothing of it
//! leads out of the folders that it names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use vagrant_vm::fuzzing::machine_index;

fuzz_target!(|bytes: &[u8]| {
    let Ok(machines) = machine_index(bytes) else { return };
    let mut seen = HashSet::new();
    for [index_id, name, provider, local_data, project] in machines {
        assert!(index_id.len() == 32 && index_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        for part in [name, provider] {
            assert!(!part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\0']));
        }
        assert!(local_data.starts_with('/') && !local_data.contains('\0'));
        assert!(project.is_empty() || project.starts_with('/'));
        assert!(seen.insert(index_id), "twice");
    }
});
