//! What a section needs while it is checked, and the problems found so far.

use super::{Config, ConfigErrors, Environment, Level, Loaded, Problem, document::Source, document::Spot};
use std::path::Path;

/// The most errors that are worth showing at once.
const MOST: usize = 100;

/// Where flags are sorted: after every file.
const COMMAND_LINE: usize = usize::MAX;

/// The problems found so far, each with the number of its file.
#[derive(Debug, Default)]
pub(super) struct Problems {
    errors: Vec<(usize, Problem)>,
    more: usize,
    warnings: Vec<(usize, Problem)>,
}

impl Problems {
    fn add(&mut self, file: usize, problem: Problem) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.errors.push((file, problem));
        }
    }

    fn is_full(&self) -> bool {
        self.errors.len() >= MOST
    }

    /// An error of a whole file.
    pub(super) fn file(&mut self, index: usize, file: &Path, message: &str, hint: &str) {
        self.add(index, of_file(file, message, hint));
    }

    /// A warning about a whole file or folder.
    pub(super) fn warn_file(&mut self, index: usize, file: &Path, message: &str, hint: &str) {
        self.warnings.push((index, of_file(file, message, hint)));
    }

    /// An error of a line of a file that has no [`Source`] yet.
    pub(super) fn line(&mut self, index: usize, file: &Path, line: usize, message: &str, hint: &str) {
        self.add(index, Problem { line, ..of_file(file, message, hint) });
    }

    /// An error of the command line, or of a default that can't be had.
    pub(super) fn flag(&mut self, flag: &str, message: String, hint: &str) {
        let problem = Problem { key: flag.to_owned(), message, hint: some(hint), ..Problem::default() };
        self.add(COMMAND_LINE, problem);
    }

    /// Adds a problem of a file, or of the command line.
    pub(super) fn push(&mut self, file: Option<usize>, level: Level, problem: Problem) {
        let file = file.unwrap_or(COMMAND_LINE);
        match level {
            Level::Error => self.add(file, problem),
            Level::Warning => self.warnings.push((file, problem)),
        }
    }

    /// The errors so far, as many as are worth showing.
    pub(super) fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.errors.iter().map(|(_, problem)| problem)
    }

    /// The configuration, if there were no errors.
    pub(super) fn finish(mut self, config: Config) -> Result<Loaded, ConfigErrors> {
        let warnings = in_order(&mut self.warnings);
        if self.errors.is_empty() {
            return Ok(Loaded { config, warnings });
        }
        Err(ConfigErrors { errors: in_order(&mut self.errors), more: self.more, warnings })
    }
}

fn of_file(file: &Path, message: &str, hint: &str) -> Problem {
    Problem { file: Some(file.into()), message: message.to_owned(), hint: some(hint), ..Problem::default() }
}

fn some(hint: &str) -> Option<String> {
    (!hint.is_empty()).then(|| hint.to_owned())
}

fn in_order(problems: &mut Vec<(usize, Problem)>) -> Vec<Problem> {
    problems.sort_by_key(|(file, problem)| (*file, problem.line, problem.column));
    problems.drain(..).map(|(_, problem)| problem).collect()
}

/// What a section needs while it is checked.
pub(super) struct Check<'a> {
    /// The files, the main one first.
    pub(super) sources: &'a [Source],
    /// The process's surroundings.
    pub(super) environment: &'a Environment,
    /// What was found.
    pub(super) problems: Problems,
    /// Part of a file could not be understood: what seems to be missing may stand there.
    pub(super) incomplete: bool,
    /// For each file, the lines whose errors were reported already, in order.
    pub(super) broken_lines: Vec<Vec<usize>>,
}

impl<'a> Check<'a> {
    pub(super) fn new(sources: &'a [Source], environment: &'a Environment, problems: Problems) -> Self {
        let incomplete = sources.iter().any(|source| source.unreadable);
        let broken_lines = vec![Vec::new(); sources.len()];
        Self { sources, environment, problems, incomplete, broken_lines }
    }

    /// An error at a place of a file; an empty hint is none.
    pub(super) fn error(&mut self, at: Spot, key: &str, message: impl Into<String>, hint: impl AsRef<str>) {
        let source = &self.sources[at.file];
        // what follows from a broken line is no news
        if self.broken_lines[at.file].binary_search(&source.line(at.offset)).is_ok() {
            return;
        }
        // a column takes reading its line: too long for each of many errors that nobody is shown
        if self.problems.is_full() {
            self.problems.more += 1;
            return;
        }
        let (line, column) = source.position(at.offset);
        let (file, key, message) = (Some(source.shown.clone()), key.to_owned(), message.into());
        self.problems.add(at.file, Problem { file, line, column, key, message, hint: some(hint.as_ref()) });
    }

    /// A syntax error: once a line.
    pub(super) fn syntax_error(&mut self, at: Spot, message: &str, hint: &str) {
        let line = self.sources[at.file].line(at.offset);
        if let Err(place) = self.broken_lines[at.file].binary_search(&line) {
            self.error(at, "", message, hint);
            self.broken_lines[at.file].insert(place, line);
        }
    }

    /// `agent.d/10-disk.toml:3`, for messages that name a second place.
    pub(super) fn name(&self, at: Spot) -> String {
        let source = &self.sources[at.file];
        format!("{}:{}", source.shown.display(), source.line(at.offset))
    }
}
