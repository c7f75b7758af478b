//! The mounts of this host that are Holdfast's, as the kernel lists them
//! (`/proc/self/mountinfo`, proc(5)).

use serde::Serialize;

/// The file system type that the kernel shows for our mounts.
pub const FILE_SYSTEM: &str = "fuse.holdfast";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Where it is.
    pub directory: String,
    /// What is mounted, as the mount named it.
    pub source: String,
    /// Options of the mount point and of the file system, each once.
    pub options: Vec<String>,
}

/// Holdfast's mounts in a mountinfo text; lines that are not understood are skipped.
#[must_use]
pub fn holdfast_mounts(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(mount).collect()
}

/// `36 35 0:40 / /mnt rw,nosuid shared:1 - fuse.holdfast SOURCE rw,user_id=0`
fn mount(line: &str) -> Option<Mount> {
    let (point, system) = line.split_once(" - ")?;
    let mut point = point.split(' ').skip(4);
    let (directory, point_options) = (point.next()?, point.next()?);
    let mut system = system.split(' ');
    let (kind, source) = (system.next()?, system.next()?);
    if kind != FILE_SYSTEM {
        return None;
    }
    let mut options: Vec<String> = Vec::new();
    for option in point_options.split(',').chain(system.next().unwrap_or_default().split(',')) {
        if !option.is_empty() && !options.iter().any(|known| known == option) {
            options.push(option.to_owned());
        }
    }
    Some(Mount { directory: unescape(directory), source: unescape(source), options })
}

/// Undoes the kernel's `\040` for space, tab, line feed and backslash.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &tail[3..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_and_only_ours() {
        let text = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            36 22 0:40 / /mnt/a\\040b rw,nosuid,nodev shared:7 master:1 - fuse.holdfast 10.0.0.5:7440:/data rw,user_id=0\n\
            garbage\n\
            37 22 0:41 / /mnt/c ro - fuse.other x rw\n";
        let expected = Mount {
            directory: "/mnt/a b".into(),
            source: "10.0.0.5:7440:/data".into(),
            options: ["rw", "nosuid", "nodev", "user_id=0"].map(Into::into).to_vec(),
        };
        assert_eq!(holdfast_mounts(text), [expected]);
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("a\\134b\\011c\\"), "a\\b\tc\\");
        assert_eq!(unescape("\\9"), "\\9");
    }
}
