//! `run`: the agent itself.

use crate::{
    app,
    config::{self, Flags},
};
use anyhow::Result;
use std::process::ExitCode;

pub(super) fn run(flags: &Flags) -> Result<ExitCode> {
    let loaded = config::load(flags)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    app::run(loaded.config)?;
    Ok(ExitCode::SUCCESS)
}
