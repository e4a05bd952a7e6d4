//! `run`: the agent itself.

use crate::{
    app::{
        self, Unusable,
        check::{Loading, problems},
    },
    config::{self, Flags, Level},
};
use anyhow::Result;
use std::process::ExitCode;

pub(super) fn run(flags: &Flags, unusable: Unusable) -> Result<ExitCode> {
    let examined = config::examine(flags);
    // one bad plugin costs only itself, so these are told and nothing else
    let told = if examined.has_errors() { Vec::new() } else { problems(&examined, Loading::Follows) };
    let loaded = examined.finish()?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    for (level, problem) in told {
        match level {
            Level::Error => tracing::error!("{problem}"),
            Level::Warning => tracing::warn!("{problem}"),
        }
    }
    app::run(loaded.config, flags.clone(), unusable)?;
    Ok(ExitCode::SUCCESS)
}
