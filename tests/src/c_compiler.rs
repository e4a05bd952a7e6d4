//! Compiles C with the machine's own compiler (`CC`, else `cc`; `CXX`, else `c++`), as strictly as an author should.

use std::{ffi::OsString, io::Write, path::Path, process::Command};

/// The flags of every C plugin of the tests, and of `docs/c-plugins.md`.
pub const STRICT: [&str; 4] = ["-std=c11", "-Wall", "-Wextra", "-Werror"];

/// A compiler that this machine has.
#[derive(Clone, Debug)]
pub struct Compiler {
    command: OsString,
    flags: &'static [&'static str],
}

impl Compiler {
    /// For C11. Nothing where there is none: the reason is printed, and the caller ends its test.
    pub fn c() -> Option<Self> {
        Self::find("CC", "cc", &STRICT)
    }

    /// For C++11, in the same way.
    pub fn cpp() -> Option<Self> {
        Self::find("CXX", "c++", &["-std=c++11", "-Wall", "-Wextra", "-Werror", "-x", "c++"])
    }

    fn find(variable: &str, usual: &str, flags: &'static [&'static str]) -> Option<Self> {
        let command = std::env::var_os(variable).unwrap_or_else(|| usual.into());
        let there = Command::new(&command).arg("--version").output().is_ok_and(|out| out.status.success());
        if !there {
            let _ = writeln!(std::io::stderr(), "skipped: there is no compiler `{}`", command.display());
        }
        there.then_some(Self { command, flags })
    }

    /// Makes a shared library with the plugins' header in reach; what the compiler says where it can't.
    ///
    /// # Errors
    /// The compiler's messages.
    pub fn library(&self, source: &Path, library: &Path, flags: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.command);
        command.args(self.flags).args(["-shared", "-fPIC", "-pthread"]).args(flags);
        command.arg("-I").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-api/include"));
        command.arg(source).arg("-o").arg(library);
        let output = command.output().map_err(|error| format!("{}: {error}", self.command.display()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{command:?}:\n{}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}
