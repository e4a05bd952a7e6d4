//! The libraries that are in the agent's process. They stay there, so none is loaded twice.

use super::loaded::{Loaded, Recipe};
use crate::host::{Claims, Identity, Library, LoadError, provenance};
use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// All libraries that were ever loaded.
#[derive(Default)]
pub(super) struct Known {
    libraries: Mutex<Vec<Library>>,
    /// Held by who tries a version out, while it loads: tables of one plugin find what the first of them has loaded.
    turn: Mutex<()>,
}

impl Known {
    /// Checks a plugin's file, and loads it where it runs in this process and is not there.
    ///
    /// # Errors
    /// The file, what is wrong with it or with the table, and what to do.
    pub(super) fn load(&self, file: &Path, recipe: &Recipe, claims: &Claims) -> Result<Loaded, LoadError> {
        if let Some(library) = self.find(file, recipe) {
            self.keep(&library);
            library.claim(claims)?;
            return Ok(Loaded::InProcess(library));
        }
        let loaded = recipe.load(file, claims)?;
        if let Loaded::InProcess(library) = &loaded {
            self.keep(library);
        }
        Ok(loaded)
    }

    /// The same of a file that may be anything: another process loads it first. One after the other, for an initialiser may
    /// never come back all the same, so this is for threads that nobody waits for.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(super) fn load_in_turn(
        &self,
        file: &Path,
        recipe: &Recipe,
        claims: &Claims,
    ) -> Result<Loaded, LoadError> {
        self.rehearse(file, recipe)?;
        let _turn = recipe.is_in_process().then(|| lock(&self.turn));
        self.load(file, recipe, claims)
    }

    /// Has another process load a file first, unless it is in this one already.
    ///
    /// # Errors
    /// The file, and how that ended.
    pub(super) fn rehearse(&self, file: &Path, recipe: &Recipe) -> Result<(), LoadError> {
        if self.find(file, recipe).is_some() { Ok(()) } else { recipe.rehearse(file) }
    }

    /// The library of a file that is loaded already, and will do: that very file, or one with its content.
    fn find(&self, file: &Path, recipe: &Recipe) -> Option<Library> {
        let found = Identity::of(file).ok()?;
        let candidates: Vec<Library> =
            lock(&self.libraries).iter().filter(|library| recipe.takes(library)).cloned().collect();
        if let Some(library) = candidates.iter().find(|library| library.is_of(&found)) {
            return Some(library.clone());
        }
        if candidates.is_empty() {
            return None;
        }
        // who may have written it is asked of every file
        let content = provenance(file).ok().filter(|content| content.distrust.is_none())?;
        let mut library = candidates.into_iter().find(|library| library.has_content(content.digest))?;
        library.found(found);
        Some(library)
    }

    /// Notes that a library is in the process, by the file that it was found as last.
    fn keep(&self, library: &Library) {
        let mut libraries = lock(&self.libraries);
        libraries.retain(|known| !known.is(library));
        libraries.push(library.clone());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
