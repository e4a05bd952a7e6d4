//! A plugin's file that was checked, and the collectors that are made of it: in this process, or each in one of its own.

use crate::{
    collect::{Factory, Source},
    config::{self, Limits, Mode, Place, Plugin},
    host::{
        Claims, Identity, Instance, InstanceOptions, Library, LoadError, Metadata, Refusal,
        isolated::{self, Confinement, Isolated, Keeper, Prepared, User},
        load_pinned, provenance, room_for,
        threads::Owner,
    },
    model::{Digest, LocalSeries, OwnThreads},
};
use std::{path::Path, sync::Arc, time::Duration};
use twarga_plugin_api::{Error, ErrorKind};

/// A file that collectors can be made of.
#[derive(Clone)]
pub(super) enum Loaded {
    /// It is in the agent's process, for ever.
    InProcess(Library),
    /// It is open, and loaded by each process of its own.
    Isolated(Prepared),
}

impl Loaded {
    /// What the file says of itself.
    pub(super) fn metadata(&self) -> &Metadata {
        match self {
            Self::InProcess(library) => &library.metadata,
            Self::Isolated(prepared) => &prepared.metadata,
        }
    }

    /// Its path, without symbolic links.
    pub(super) fn file(&self) -> &Path {
        match self {
            Self::InProcess(library) => &library.file,
            Self::Isolated(prepared) => &prepared.file,
        }
    }

    /// What tells its content from every other.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::InProcess(library) => library.digest,
            Self::Isolated(prepared) => prepared.digest,
        }
    }

    /// What lies at the path by now, beside this. May read all of the file.
    pub(super) fn compare(&self, path: &Path, found: &Identity) -> Found {
        let (seen, is_mapped) = match self {
            Self::InProcess(library) => (library.seen(), library.is_mapped(found)),
            Self::Isolated(prepared) => (prepared.identity, false),
        };
        if seen == *found {
            return Found::Same;
        }
        let same_content = provenance(path).is_ok_and(|found| match self {
            Self::InProcess(library) => library.has_content(found.digest),
            Self::Isolated(prepared) => prepared.digest == found.digest,
        });
        match (same_content, is_mapped) {
            (true, _) => Found::Touched,
            (false, true) => Found::Overwritten,
            (false, false) => Found::Other,
        }
    }

    /// A file with the same content lies there by now.
    pub(super) fn touched(&mut self, identity: Identity) {
        match self {
            Self::InProcess(library) => library.found(identity),
            Self::Isolated(prepared) => prepared.identity = identity,
        }
    }
}

/// What lies where a file was loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// That file, as it was.
    Same,
    /// That file with another mode or other times, or another file with the same content.
    Touched,
    /// The file that is mapped into this process, with another content.
    Overwritten,
    /// Another content, of another file or of one that was copied.
    Other,
}

/// How the collectors of a table are made, whatever version of the plugin makes them.
pub(super) struct Recipe {
    name: String,
    plugin: String,
    mode: Mode,
    deadline: Duration,
    limits: Limits,
    place: Place,
    options: InstanceOptions,
    keeper: Arc<Keeper>,
}

impl Recipe {
    /// Of the table with this key.
    pub(super) fn new(name: &str, table: &Plugin, options: InstanceOptions, keeper: Arc<Keeper>) -> Self {
        Self {
            name: name.into(),
            plugin: table.plugin.clone(),
            mode: table.mode,
            deadline: table.deadline,
            limits: table.limits.clone(),
            place: table.place.clone(),
            options,
            keeper,
        }
    }

    /// Checks a file, and loads it where it is to run in this process.
    ///
    /// # Errors
    /// The file, what is wrong with it or with the table, and what to do.
    pub(super) fn load(&self, file: &Path, claims: &Claims) -> Result<Loaded, LoadError> {
        let pinned = self.limits.sha256.map(Digest);
        let refused = |refusal| LoadError { file: file.into(), refusal };
        match self.mode {
            Mode::InProcess => {
                room_for(&self.plugin, file, pinned.is_some()).map_err(refused)?;
                // its initialisers may start threads
                let _call = self.options.owner.as_ref().map(Owner::call);
                load_pinned(file, &self.plugin, pinned, claims).map(Loaded::InProcess)
            }
            Mode::Isolated => {
                self.confinement().map_err(refused)?;
                isolated::prepare(file, &self.plugin, pinned, claims).map(Loaded::Isolated)
            }
        }
    }

    /// Has another process load a file that is to run in this one, and that may be anything.
    ///
    /// # Errors
    /// The file, what is wrong with it, and what to do.
    pub(super) fn rehearse(&self, file: &Path) -> Result<(), LoadError> {
        if !self.is_in_process() {
            return Ok(());
        }
        let pinned = self.limits.sha256.map(Digest);
        let refused = |refusal| LoadError { file: file.into(), refusal };
        room_for(&self.plugin, file, pinned.is_some()).map_err(refused)?;
        isolated::rehearse(file, &self.plugin, pinned, &self.keeper)
    }

    /// To which its threads belong, where it runs in the agent's process.
    pub(super) fn owner(&self) -> Option<Owner> {
        self.options.owner
    }

    /// Whether it runs in the agent's process.
    pub(super) fn is_in_process(&self) -> bool {
        self.mode == Mode::InProcess
    }

    /// Whether a library that is in the process already will do.
    pub(super) fn takes(&self, library: &Library) -> bool {
        self.is_in_process()
            && library.metadata.name == self.plugin
            && self.limits.sha256.is_none_or(|pinned| library.is_sealed() && Digest(pinned) == library.digest)
    }

    /// Makes the collectors of what was loaded.
    pub(super) fn factory(self, loaded: Loaded) -> Box<dyn Factory> {
        Box::new(Maker { loaded, recipe: self })
    }

    /// What the table says that a plugin's process may do.
    fn confinement(&self) -> Result<Confinement, Refusal> {
        let limits = &self.limits;
        Ok(Confinement {
            deadline: self.deadline,
            memory: limits.memory,
            processes: limits.processes as u64,
            files: limits.files as u64,
            user: limits.user.as_deref().map(User::find).transpose()?,
            environment: limits.environment.clone(),
            writable: limits.writable.clone(),
        })
    }

    /// The plugin knows the key, the configuration knows its line.
    fn placed(&self, error: &Error) -> Error {
        let key = match error.location() {
            "" => format!("plugins.{}.config", self.name),
            path => format!("plugins.{}.config.{path}", self.name),
        };
        match config::plugin_key_place(&self.place, error.location()) {
            Some((file, line)) => {
                Error::config(format_args!("{}:{line}: {key}", file.display()), error.message())
            }
            None => Error::config(key, error.message()),
        }
    }
}

/// Makes collectors of one plugin.
struct Maker {
    loaded: Loaded,
    recipe: Recipe,
}

impl Factory for Maker {
    fn make(&mut self, base: LocalSeries) -> Result<Box<dyn Source>, Error> {
        let Recipe { name, options, keeper, .. } = &self.recipe;
        let made: Result<Box<dyn Source>, Error> = match &self.loaded {
            Loaded::InProcess(library) => {
                Instance::new(library, options, base).map(|instance| Box::new(instance) as _)
            }
            Loaded::Isolated(prepared) => {
                let refused =
                    |refusal: Refusal| Error::fatal(format_args!("{refusal}; {}", refusal.advice()));
                let confinement = self.recipe.confinement().map_err(refused)?;
                Isolated::start(name, prepared, &confinement, options, keeper, base)
                    .map(|isolated| Box::new(isolated) as _)
            }
        };
        made.map_err(|error| match error.kind() {
            ErrorKind::Config => self.recipe.placed(&error),
            _ => error,
        })
    }

    fn threads(&mut self) -> Option<OwnThreads> {
        match self.loaded {
            Loaded::InProcess(_) => self.recipe.owner().as_ref().map(Owner::used),
            Loaded::Isolated(_) => None,
        }
    }
}
