//! Files of `/proc` and `/sys`: opened once, read again at every collection, parsed as bytes.
//!
//! Keeping the descriptor saves the path walk, which costs more than the read of most of these files.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// A pseudo file that is kept open and read from its beginning each time.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use twarga_plugin_api::pseudo_file::{PseudoFile, fields, number};
/// let mut loadavg = PseudoFile::open("/", "proc/loadavg")?;
/// let load1 = fields(loadavg.read()?).next().and_then(number::<f64>);
/// assert!(load1.is_some());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PseudoFile {
    path: PathBuf,
    file: File,
    content: Vec<u8>,
}

impl PseudoFile {
    /// Opens `root/path`. A test's `root` is a folder of fixtures.
    ///
    /// # Errors
    /// As [`File::open`], with the path in the message.
    pub fn open(root: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<Self> {
        let path = root.as_ref().join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()));
        let file = File::open(&path).map_err(|error| at(&path, &error))?;
        Ok(Self { path, file, content: Vec::with_capacity(1024) })
    }

    /// The whole content, as of now.
    ///
    /// # Errors
    /// As [`read`](FileExt::read_at), with the path in the message.
    pub fn read(&mut self) -> io::Result<&[u8]> {
        let mut length = 0;
        self.content.resize(self.content.capacity(), 0);
        loop {
            if length == self.content.len() {
                self.content.resize(self.content.len().max(512) * 2, 0);
            }
            match self.file.read_at(&mut self.content[length..], length as u64) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(at(&self.path, &error)),
            }
        }
        Ok(&self.content[..length])
    }

    /// Its path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The lines of a content, without their ends.
pub fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The fields of a line, separated by blanks and tabs.
pub fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// A field as a number; nothing where it is none.
pub fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The totals of a file of `/proc/pressure`, in seconds: how long some tasks waited, and how long all of them did.
/// The second is missing where the kernel doesn't tell it.
///
/// ```
/// use twarga_plugin_api::pseudo_file::pressure_seconds;
/// let content = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n";
/// assert_eq!(pressure_seconds(content), (Some(2.5), Some(1.0)));
/// ```
pub fn pressure_seconds(content: &[u8]) -> (Option<f64>, Option<f64>) {
    let total = |kind: &[u8]| {
        let line = lines(content).find(|line| fields(line).next() == Some(kind))?;
        let total = fields(line).find_map(|field| field.strip_prefix(b"total="))?;
        number::<u64>(total).map(|micros| micros as f64 / 1e6)
    };
    (total(b"some"), total(b"full"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "1 2\n").unwrap();
        let mut file = PseudoFile::open(dir.path(), "/a").unwrap();
        assert_eq!(file.read().unwrap(), b"1 2\n");
        let long = "x".repeat(100_000);
        std::fs::write(dir.path().join("a"), &long).unwrap();
        assert_eq!(file.read().unwrap(), long.as_bytes());
        std::fs::write(dir.path().join("a"), "").unwrap();
        assert_eq!(file.read().unwrap(), b"");
    }

    #[test]
    fn errors_name_the_path() {
        let error = PseudoFile::open("/nonexistent", "proc/stat").unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/proc/stat: "), "{error}");
    }

    #[test]
    fn fields_skip_blanks() {
        assert_eq!(fields(b" a\t b  c ").collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(number::<u64>(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number::<u64>(b"-1"), None);
    }
}
