//! Files in folders of ordinary users, opened by an agent that may be root. Whoever owns the folder may put anything there:
//! a link to a device (some do something as soon as they are opened), a pipe (which holds up who opens it), a link to what
//! only root may read.

use rustix::fs::{Mode, OFlags};
use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// Opens a regular file, which is no link and, where `uid` tells a user, that user's own.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for what is no such file.
pub(crate) fn open(path: &Path, uid: Option<u32>) -> io::Result<File> {
    let suits = |found: &Metadata| found.is_file() && uid.is_none_or(|uid| found.uid() == uid);
    // looked at first, since opening may already do something
    if !suits(&fs::symlink_metadata(path)?) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    // another one may have come in its place
    if suits(&file.metadata()?) { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        os::unix::fs::symlink,
        time::{Duration, Instant},
    };

    #[test]
    fn only_a_plain_file_of_its_owner_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let own = rustix::process::getuid().as_raw();
        let file = folder.path().join("file");
        File::create(&file).unwrap().write_all(b"7").unwrap();
        let mut text = String::new();
        open(&file, Some(own)).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "7");
        assert!(open(&file, None).is_ok());
        assert_eq!(open(&file, Some(own + 1)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let refused = |name: &str| open(&folder.path().join(name), None).unwrap_err().kind();
        symlink(&file, folder.path().join("link")).unwrap();
        symlink("/dev/null", folder.path().join("device")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        for name in ["link", "device", "pipe", "."] {
            assert_eq!(refused(name), io::ErrorKind::InvalidInput, "{name}");
        }
        assert_eq!(refused("none"), io::ErrorKind::NotFound);
    }

    /// Who waits to write into a pipe goes on as soon as anybody opens it: that shows whether it was opened.
    #[test]
    fn what_is_behind_a_link_is_not_even_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("m.xml"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        symlink(&pipe, &link).unwrap();
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || drop(File::options().write(true).open(pipe).unwrap()))
        };
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            assert!(open(&link, None).is_err() && open(&pipe, None).is_err());
            assert!(!writer.is_finished(), "it was opened");
            std::thread::yield_now();
        }
        drop(File::open(&pipe).unwrap());
        writer.join().unwrap();
    }
}
