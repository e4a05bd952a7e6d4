//! `plugins new`.

use crate::scaffold::{Api, create};
use anyhow::Result;
use clap::Args;
use std::{io::Write, path::PathBuf, process::ExitCode};

const AFTER: &str = "\
Examples:
  twarga-agent plugins new disk-temperature
  cd disk-temperature && cargo test && cargo build --release
  twarga-agent plugins run target/release/libdisk_temperature.so --count 3
  twarga-agent plugins certify target/release/libdisk_temperature.so

The guide is docs/plugin-guide.md.";

#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(in crate::cli) struct NewArgs {
    /// The plugin's name: small letters, digits and `-`; it begins the names of its metrics
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the folder NAME is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The plugin API from a checkout's folder, or by its version; without it, the copy in this program is
    /// unpacked into the crate
    #[arg(long, value_name = "PATH|VERSION")]
    api: Option<String>,
}

pub(super) fn run(args: &NewArgs) -> Result<ExitCode> {
    let api = args.api.as_deref().map_or(Api::Packed, api);
    let folder = create(&args.dir, &args.name, &api)?;
    let library = format!("target/release/lib{}.so", args.name.replace('-', "_"));
    let mut out = std::io::stdout().lock();
    writeln!(out, "made {}\n\nnext:", folder.display())?;
    writeln!(out, "  cd {}", folder.display())?;
    writeln!(out, "  cargo test\n  cargo build --release")?;
    writeln!(out, "  twarga-agent plugins run {library} --count 3")?;
    writeln!(out, "  twarga-agent plugins certify {library}")?;
    Ok(ExitCode::SUCCESS)
}

/// A version begins with a digit and has nothing of a path.
fn api(given: &str) -> Api {
    let version = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    let is_version = given.starts_with(|c: char| c.is_ascii_digit()) && given.chars().all(version);
    if is_version { Api::Version(given.into()) } else { Api::Folder(given.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_folders() {
        for version in ["1", "1.0.0", "1.0.0-rc.1"] {
            assert_eq!(api(version), Api::Version(version.into()));
        }
        for folder in ["../plugin-api", "./1.0.0", "plugin-api", "/x", "1/0"] {
            assert_eq!(api(folder), Api::Folder(folder.into()), "{folder}");
        }
    }
}
