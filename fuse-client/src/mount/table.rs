//! The kernel's list of mounts (`/proc/self/mountinfo`, proc_pid_mountinfo(5)). Reading it touches
//! no file system, so it works while one hangs.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The type that the kernel shows for our mounts.
pub const FILE_SYSTEM: &str = "fuse.holdfast";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// Major number of the device; 0 for ours.
    pub major: u32,
    /// Minor number of the device; for FUSE also the number of the connection.
    pub minor: u32,
    /// Where it is.
    pub point: PathBuf,
    /// Its type, such as `fuse.holdfast`.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Options of the mount, then those of its file system, at commas.
    pub options: String,
}

impl MountEntry {
    /// Whether it is one of ours.
    #[must_use]
    pub fn is_holdfast(&self) -> bool {
        self.kind == FILE_SYSTEM
    }
}

/// All mounts of this mount namespace, in the order in which they were made.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn read() -> io::Result<Vec<MountEntry>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// The mount that one sees at a path: the last one made there.
///
/// # Errors
/// As [`read`].
pub fn at(path: &Path) -> io::Result<Option<MountEntry>> {
    Ok(read()?.into_iter().rfind(|mount| mount.point == path))
}

fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|byte| *byte == b'\n').filter_map(entry).collect()
}

/// `36 35 0:40 / /mnt rw,nosuid shared:1 - fuse.holdfast SOURCE rw,user_id=0`
fn entry(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = std::str::from_utf8(fields.nth(2)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let point = unescape(fields.nth(1)?);
    let options = fields.next()?;
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let text = |field| String::from_utf8_lossy(&unescape(field)).into_owned();
    Some(MountEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        point: PathBuf::from(OsString::from_vec(point)),
        kind: text(rest.next()?),
        source: text(rest.next()?),
        options: format!("{},{}", text(options), text(rest.next()?)),
    })
}

/// Space, tab, newline, backslash and `#` are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_and_without_optional_fields() {
        let text = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            36 22 0:48 / /mnt/a\\040b rw,nosuid shared:1 master:2 - fuse.holdfast s1:7440:/vol rw,user_id=0\nnonsense\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert!(!mounts[0].is_holdfast());
        let ours = MountEntry {
            major: 0,
            minor: 48,
            point: "/mnt/a b".into(),
            kind: FILE_SYSTEM.to_owned(),
            source: "s1:7440:/vol".to_owned(),
            options: "rw,nosuid,rw,user_id=0".to_owned(),
        };
        assert_eq!(mounts[1], ours);
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape(b"a\\134b\\9\\"), b"a\\b\\9\\");
    }
}
