//! A stand-in for libvirt's service. It listens at a local socket, answers the procedures that the plugin calls as libvirt
//! 9.0 was seen to answer them, misbehaves on demand, and keeps what it was asked.
//!
//! ```no_run
//! use twarga_fake_libvirt::{Domain, FakeLibvirt};
//! let fake = FakeLibvirt::start("/tmp/libvirt-sock-ro".as_ref())?;
//! fake.domains(|domains| domains.push(Domain::running(1)));
//! # Ok::<(), std::io::Error>(())
//! ```

mod domain;
mod serve;
mod xdr;

pub use domain::{Domain, Value};
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

/// How it behaves. What is about replies concerns those of [`GET_ALL_DOMAIN_STATS`] alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    Honest,
    /// Takes connections and calls, and answers nothing.
    Silent,
    /// The reply ends after so many bytes, and so does the connection.
    CutAt(usize),
    /// The reply's bytes from this place on are these.
    Overwrite(usize, Vec<u8>),
    /// Closes the connection instead of answering.
    Closes,
    WrongSerial,
    /// Answers with the procedure's number plus one.
    WrongProcedure,
    Refuses {
        code: i32,
        message: String,
    },
    /// Sends events and a ping before each reply.
    Chatty,
}

/// The procedure that tells the statistics.
pub const GET_ALL_DOMAIN_STATS: u32 = 344;

/// A call that it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub procedure: u32,
    /// Of [`GET_ALL_DOMAIN_STATS`].
    pub mask: u32,
    pub flags: u32,
    /// How many domains it was about.
    pub domains: usize,
}

pub(crate) struct Shared {
    pub(crate) domains: Vec<Domain>,
    pub(crate) behaviour: Behaviour,
    /// Whether it demands to log in, and what comes of it.
    pub(crate) polkit: Option<bool>,
    /// The URI that it serves.
    pub(crate) uri: String,
    pub(crate) asked: Vec<Asked>,
    pub(crate) pongs: usize,
    /// The machines whose locks are held by requests.
    pub(crate) held: HashSet<[u8; 16]>,
    /// The open connections, by their numbers.
    pub(crate) streams: HashMap<u64, UnixStream>,
    running: bool,
}

/// What is shared, and news about it.
pub(crate) struct Service {
    pub(crate) shared: Mutex<Shared>,
    pub(crate) changed: Condvar,
}

impl Service {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this holds, or the service ends: then false.
    pub(crate) fn wait(&self, mut until: impl FnMut(&Shared) -> bool) -> bool {
        let mut shared = self.lock();
        while shared.running && !until(&shared) {
            shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        shared.running
    }
}

/// See the [crate].
pub struct FakeLibvirt {
    path: PathBuf,
    service: Arc<Service>,
    listener: Option<JoinHandle<()>>,
}

impl FakeLibvirt {
    /// Listens at this path.
    ///
    /// # Errors
    /// Where that can't be.
    pub fn start(path: &Path) -> io::Result<Self> {
        let shared = Shared {
            domains: Vec::new(),
            behaviour: Behaviour::Honest,
            polkit: None,
            uri: "qemu:///system".into(),
            asked: Vec::new(),
            pongs: 0,
            held: HashSet::new(),
            streams: HashMap::new(),
            running: false,
        };
        let service = Arc::new(Service { shared: Mutex::new(shared), changed: Condvar::new() });
        let mut fake = Self { path: path.to_owned(), service, listener: None };
        fake.resume()?;
        Ok(fake)
    }

    /// Stops: the socket is gone, connections end.
    pub fn stop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let streams = {
            let mut shared = self.service.lock();
            shared.running = false;
            shared.held.clear();
            std::mem::take(&mut shared.streams)
        };
        self.service.changed.notify_all();
        for stream in streams.values() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }

    /// Listens again after [`FakeLibvirt::stop`].
    ///
    /// # Errors
    /// Where that can't be.
    pub fn resume(&mut self) -> io::Result<()> {
        let listener = UnixListener::bind(&self.path)?;
        listener.set_nonblocking(true)?;
        self.service.lock().running = true;
        let service = Arc::clone(&self.service);
        self.listener = Some(thread::spawn(move || listen(&listener, &service)));
        Ok(())
    }

    /// Stops and listens again.
    ///
    /// # Errors
    /// Where it can't listen again.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop();
        self.resume()
    }

    /// Changes the domains.
    pub fn domains<T>(&self, change: impl FnOnce(&mut Vec<Domain>) -> T) -> T {
        let outcome = change(&mut self.service.lock().domains);
        self.service.changed.notify_all();
        outcome
    }

    /// Behaves so from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.service.lock().behaviour = behaviour;
        self.service.changed.notify_all();
    }

    /// Demands to log in by polkit, which is granted or not; or demands nothing.
    pub fn demand_polkit(&self, granted: Option<bool>) {
        self.service.lock().polkit = granted;
    }

    /// Serves this URI and no other.
    pub fn serve(&self, uri: &str) {
        self.service.lock().uri = uri.to_owned();
    }

    /// What it was asked since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.service.lock().asked)
    }

    /// How many of its pings were answered.
    pub fn pongs(&self) -> usize {
        self.service.lock().pongs
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.service.lock().streams.len()
    }
}

impl Drop for FakeLibvirt {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(listener: &UnixListener, service: &Arc<Service>) {
    for number in 0.. {
        if !service.lock().running {
            return;
        }
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(std::time::Duration::from_millis(1));
            continue;
        };
        let _ = stream.set_nonblocking(false);
        if let Ok(kept) = stream.try_clone() {
            service.lock().streams.insert(number, kept);
        }
        let service = Arc::clone(service);
        thread::spawn(move || {
            serve::connection(&stream, &service);
            service.lock().streams.remove(&number);
        });
    }
}
