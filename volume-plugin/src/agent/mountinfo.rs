//! What the kernel says is mounted where (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use holdfast_core::error::Result;

use super::layout::broken;

/// The mounts of the calling thread's mount namespace.
const MOUNTINFO: &str = "/proc/thread-self/mountinfo";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Device of its file system: major, minor.
    pub(super) device: (u32, u32),
    /// Where it is, without the kernel's escapes.
    pub(super) mount_point: PathBuf,
    /// Its own options: `rw`, `nosuid`...
    pub(super) options: Vec<String>,
    /// `fuse.holdfast`, `tmpfs`...
    pub(super) fs_type: String,
    /// What was mounted, without the kernel's escapes.
    pub(super) source: OsString,
}

impl Entry {
    /// Whether the mount has an option.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }
}

/// The uppermost mount at exactly this path, which must not contain symbolic links.
pub(super) fn at(path: &Path) -> Result<Option<Entry>> {
    let text = fs::read(MOUNTINFO).map_err(|error| broken("read", Path::new(MOUNTINFO), error))?;
    Ok(text.split(|byte| *byte == b'\n').rev().filter_map(parse).find(|entry| entry.mount_point == path))
}

/// One line; `None` for lines that are not understood, which cannot be about a path of ours.
fn parse(line: &[u8]) -> Option<Entry> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let text = |field: &[u8]| String::from_utf8(field.to_vec()).ok();
    let separator = fields.iter().skip(6).position(|field| field == b"-")? + 6;
    let (major, minor) = std::str::from_utf8(fields.get(2)?).ok()?.split_once(':')?;
    Some(Entry {
        device: (major.parse().ok()?, minor.parse().ok()?),
        mount_point: PathBuf::from(unescape(fields.get(4)?)),
        options: text(fields.get(5)?)?.split(',').map(str::to_owned).collect(),
        fs_type: text(fields.get(separator + 1)?)?,
        source: unescape(fields.get(separator + 2)?),
    })
}

/// Undoes `\040` and its like: a backslash and three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = |digit: u8| (b'0'..=b'7').contains(&digit).then(|| u32::from(digit - b'0'));
        let code = match after {
            [a, b, c, ..] if first == b'\\' => {
                octal(*a).zip(octal(*b)).zip(octal(*c)).and_then(|((a, b), c)| u8::try_from(a * 64 + b * 8 + c).ok())
            }
            _ => None,
        };
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests;
