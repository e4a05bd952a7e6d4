//! A configuration that was read and may have errors: who knows more than the files say adds what it finds.

use super::{
    Config, ConfigErrors, Loaded, Problem,
    alerts::Places,
    check::{Check, Problems},
    document::Spot,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The configuration can't be meant so.
    Error,
    /// Allowed, but hardly meant.
    Warning,
}

/// A configuration that may have errors.
#[derive(Debug)]
pub struct Examined {
    /// What could be read of it; where there are errors, with gaps.
    pub config: Config,
    /// A part of a file could not be understood: what seems to be missing may stand there.
    pub incomplete: bool,
    /// Where the keys of the alert rules stand, by the rules' names.
    pub rules: BTreeMap<String, RulePlace>,
    problems: Problems,
    /// The files' paths, and as messages name them.
    files: Vec<(PathBuf, PathBuf)>,
    /// For each file, the lines whose errors were reported already, in order.
    broken_lines: Vec<Vec<usize>>,
}

/// Where keys of an alert rule stand, file and line; nothing for keys that stand in no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulePlace {
    /// `metric`
    pub metric: Option<(PathBuf, usize)>,
    /// `labels`
    pub labels: Option<(PathBuf, usize)>,
}

impl Examined {
    pub(super) fn new(config: Config, places: &BTreeMap<String, Places>, check: Check<'_>) -> Self {
        let place = |spot: Spot| {
            let source = &check.sources[spot.file];
            (source.path.clone(), source.line(spot.offset))
        };
        let rule = |at: &Places| RulePlace { metric: at.metric.map(place), labels: at.labels.map(place) };
        Self {
            config,
            incomplete: check.incomplete,
            rules: places.iter().map(|(name, at)| (name.clone(), rule(at))).collect(),
            files: check.sources.iter().map(|source| (source.path.clone(), source.shown.clone())).collect(),
            broken_lines: check.broken_lines,
            problems: check.problems,
        }
    }

    /// Whether an error was found so far.
    pub fn has_errors(&self) -> bool {
        self.problems.errors().next().is_some()
    }

    /// Whether an error of this key was found, or of one below it.
    pub fn is_wrong(&self, key: &str) -> bool {
        let below = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        self.problems.errors().any(|problem| problem.key.strip_prefix(key).is_some_and(below))
    }

    /// Whether an error of exactly this key was found.
    pub fn is_refused(&self, key: &str) -> bool {
        self.problems.errors().any(|problem| problem.key == key)
    }

    /// A problem at a file's line, or of what stands in no file; an empty hint is none.
    pub fn problem(&self, at: Option<(&Path, usize)>, key: String, message: String, hint: String) -> Problem {
        let (file, line) = at.map_or((None, 0), |(path, line)| {
            let known = self.files.iter().find(|(file, _)| file == path);
            (Some(known.map_or(path, |(_, shown)| shown).to_path_buf()), line)
        });
        Problem { file, line, column: 0, key, message, hint: (!hint.is_empty()).then_some(hint) }
    }

    /// Adds a problem; it gets its place among the others by file and line.
    pub fn add(&mut self, level: Level, problem: Problem) {
        let index = self.files.iter().position(|(_, shown)| problem.file.as_ref() == Some(shown));
        // what follows from a broken line is no news
        let broken = index.and_then(|index| self.broken_lines.get(index));
        if broken.is_none_or(|lines| lines.binary_search(&problem.line).is_err()) {
            self.problems.push(index, level, problem);
        }
    }

    /// The configuration, if there were no errors.
    ///
    /// # Errors
    /// All of them, in the order of the files and their lines.
    pub fn finish(self) -> Result<Loaded, ConfigErrors> {
        self.problems.finish(self.config)
    }
}
