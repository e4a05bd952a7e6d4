//! The keys of `[plugins.NAME]` that say what the plugin may cost and touch.

use super::{
    Limits,
    check::Check,
    problem::quoted,
    table::{Field, Table},
};
use std::path::PathBuf;

const MIB: u64 = 1024 * 1024;
const MEMORY: (u64, u64) = (32 * MIB, 8 << 40);

/// Reads them.
pub(super) fn read(table: &mut Table<'_>, check: &mut Check<'_>) -> Limits {
    let defaults = Limits::default();
    let mut count = |key, least, most| table.get(key).and_then(|field| field.count(least, most, check));
    let processes = count("max_processes", 1, 10_000);
    let files = count("max_files", 16, 1_000_000);
    let sha256 = table.get("sha256").and_then(|field| digest(&field, check));
    let cpu = table.get("max_cpu").and_then(|field| share(&field, check));
    let memory = table.get("max_memory").and_then(|field| field.size(MEMORY, "32MiB to 8TiB", check));
    let user = table.get("user").and_then(|field| user(&field, check));
    let environment = table.get("environment").and_then(|field| variables(&field, check));
    let writable = table.get("writable").and_then(|field| folders(&field, check));
    Limits {
        sha256,
        cpu,
        memory: memory.unwrap_or(defaults.memory),
        processes: processes.unwrap_or(defaults.processes),
        files: files.unwrap_or(defaults.files),
        user,
        environment: environment.unwrap_or_default(),
        writable: writable.unwrap_or_default(),
    }
}

fn digest(field: &Field<'_>, check: &mut Check<'_>) -> Option<[u8; 32]> {
    let hint = "write the 64 hexadecimal digits that `sha256sum FILE.so` prints";
    let text = field.text("a SHA-256 digest", "e3b0c442…", check)?;
    let mut digest = [0; 32];
    let digits = text.as_bytes();
    let good = digits.len() == 64
        && digits.iter().all(u8::is_ascii_hexdigit)
        && digest.iter_mut().enumerate().all(|(at, byte)| {
            let pair = text.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
            pair.map(|pair| *byte = pair).is_some()
        });
    if good {
        return Some(digest);
    }
    field.error(format!("{} is not a SHA-256 digest", quoted(text)), hint, check);
    None
}

/// A part of one processor: `"1%"` is 0.01.
fn share(field: &Field<'_>, check: &mut Check<'_>) -> Option<f64> {
    let hint = "write a share of one processor such as \"1%\": more than 0% and up to 100%";
    let text = field.text("a share of a processor", "1%", check)?;
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if percent > 0.0 && percent <= 100.0 => Some(percent / 100.0),
        _ => {
            field.error(format!("{} is not a share of a processor", quoted(text)), hint, check);
            None
        }
    }
}

fn user(field: &Field<'_>, check: &mut Check<'_>) -> Option<String> {
    let text = field.text("the name of a user", "nobody", check)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    if !text.is_empty() && text.len() <= 64 && text.chars().all(allowed) {
        return Some(text.to_owned());
    }
    let hint = "write a name or a number as in /etc/passwd, such as \"nobody\"";
    field.error(format!("{} is not the name of a user", quoted(text)), hint, check);
    None
}

fn variables(field: &Field<'_>, check: &mut Check<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for item in field.items("[\"LIBVIRT_DEFAULT_URI\"]", check)? {
        let Some(name) = item.text("the name of a variable", "LIBVIRT_DEFAULT_URI", check) else { continue };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.is_empty() && name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit()) {
            names.push(name.to_owned());
        } else {
            let hint = "write the name alone: the plugin gets the value that the agent has";
            item.error(format!("{} is not the name of a variable", quoted(name)), hint, check);
        }
    }
    Some(names)
}

fn folders(field: &Field<'_>, check: &mut Check<'_>) -> Option<Vec<PathBuf>> {
    let items = field.items("[\"/var/cache/thermal\"]", check)?;
    Some(items.iter().filter_map(|item| item.path("/var/cache/thermal", check)).collect())
}
