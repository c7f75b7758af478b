//! Paths of members: from bytes that anybody may have written to names that are safe.

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::name::FileName;

/// Longest path that is written or taken, in bytes: far over what a system can open at once, and
/// short enough to be kept for every level of a deep tree.
pub const PATH_BYTES_MAX: usize = 256 << 10;

/// The names that a path consists of; `.` and empty ones fall away, so none at all is the root.
///
/// # Errors
/// `Invalid` for an absolute path, one with `..`, and one that no file can have.
pub fn components(path: &[u8]) -> Result<Vec<FileName>> {
    let refused = |why: &str| Err(Error::new(ErrorKind::Invalid, format!("{}: {why}", show(path))));
    if path.starts_with(b"/") {
        return refused("the name is absolute; nothing is written outside of the target");
    }
    if path.len() > PATH_BYTES_MAX {
        return refused("the name is too long");
    }
    let mut names = Vec::new();
    for part in path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
        if part == b".." {
            return refused("the name has `..` in it; nothing is written outside of the target");
        }
        match FileName::new(part.to_vec()) {
            Ok(name) => names.push(name),
            Err(error) => return refused(&error.to_string()),
        }
    }
    Ok(names)
}

/// A path for people: control characters and what is not UTF-8 are escaped, and long ones are cut.
#[must_use]
pub fn show(path: &[u8]) -> String {
    const SHOWN_MAX: usize = 1024;
    let (part, cut) = if path.len() > SHOWN_MAX { (&path[..SHOWN_MAX], "...") } else { (path, "") };
    let mut text = String::with_capacity(part.len());
    for piece in part.utf8_chunks() {
        for c in piece.valid().chars() {
            if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
        }
        for byte in piece.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text + cut
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_the_target_pass() {
        let names =
            |path: &[u8]| components(path).map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names(b"a/./b//c/").unwrap(), ["a", "b", "c"]);
        assert!(names(b"./").unwrap().is_empty() && names(b"").unwrap().is_empty());
        assert_eq!(names(b"..a/b..").unwrap(), ["..a", "b.."]);
        for bad in [&b"/etc/passwd"[..], b"../x", b"a/../b", b"a/..", b"a\0b", &[b'n'; 256]] {
            assert!(names(bad).is_err(), "{}", show(bad));
        }
    }

    #[test]
    fn shown_paths_stay_on_their_line() {
        assert_eq!(show(b"a\nb\x1b[K\xff\xc3\xa9"), "a\\nb\\u{1b}[K\\xff\u{e9}");
        assert!(show(&[b'x'; 5000]).len() < 1100);
    }
}
