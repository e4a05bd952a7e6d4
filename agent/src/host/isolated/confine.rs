//! What the child takes away from itself before it loads the plugin. None of it can be taken back.

use super::{frames::Hello, session};
use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, geteuid, setrlimit};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Sets the limits, and has the process end with the agent; whether the kernel can also hold it to the folders that it may write to.
///
/// # Errors
/// What could not be set.
pub(super) fn confine(hello: &Hello) -> Result<bool, String> {
    let told = |what: &'static str| move |error| format!("can't limit its {what}: {error}");
    rustix::thread::set_no_new_privs(true).map_err(told("rights"))?;
    without_core_files().map_err(told("core files"))?;
    limit(Resource::Nofile, hello.files).map_err(told("open files"))?;
    let confined = keep_from_writing(&hello.writable)?;
    // a thread: with the rights that the plugin has, and not at the cost of its limits
    session::end_with(hello.parent).map_err(|error| format!("it can't end with the agent: {error}"))?;
    let processes = hello.processes.saturating_add(tasks_of_user());
    limit(Resource::Nproc, processes).map_err(told("processes"))?;
    let memory = hello.memory.saturating_add(own_memory());
    limit(Resource::As, memory).map_err(told("memory"))?;
    Ok(confined)
}

/// A crash of the plugin leaves none behind.
pub(super) fn without_core_files() -> rustix::io::Result<()> {
    limit(Resource::Core, 0)
}

/// Both limits; a lower one that is there already stays.
fn limit(resource: Resource, most: u64) -> rustix::io::Result<()> {
    let present = rustix::process::getrlimit(resource);
    let most = present.maximum.map_or(most, |present| present.min(most));
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
}

/// The kernel counts the tasks of the whole user (and none of root), so the limit begins at those that are there.
fn tasks_of_user() -> u64 {
    let user = geteuid();
    if user.is_root() {
        return 0;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let tasks = processes.filter_map(|process| {
        let tasks = process.path().join("task").metadata().ok()?;
        // links of a directory: itself, its name, and one for each task
        (tasks.uid() == user.as_raw()).then(|| tasks.nlink().saturating_sub(2))
    });
    tasks.sum()
}

/// The address space that this process has already: the agent's own code.
fn own_memory() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Landlock: reading everywhere, writing only below these folders and to `/dev/null`. An older kernel does what it can.
fn keep_from_writing(writable: &[String]) -> Result<bool, String> {
    if let Some(missing) = writable.iter().find(|folder| !Path::new(folder).exists()) {
        return Err(format!("{missing}, which it may write to, is not there"));
    }
    let writing = AccessFs::from_write(ABI::V5);
    let folders = writable.iter().map(String::as_str).chain(["/dev/null"]);
    let restricted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(writing)
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(folders, writing)))
        .and_then(landlock::RulesetCreated::restrict_self);
    match restricted {
        Ok(status) => Ok(status.ruleset != RulesetStatus::NotEnforced),
        Err(error) => Err(format!("can't keep it from writing: {error}")),
    }
}
