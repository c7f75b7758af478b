//! Access lists as tar programs write them in text (acl(5)), to the form of xattrs.

use bytes::Bytes;
use holdfast_core::acl::Acl;

/// `ACL_UNDEFINED_ID`: of entries that name nobody.
const NO_ID: u32 = u32::MAX;

/// A list in its xattr's form; `None`: it is none, or names users in words.
pub(crate) fn decode(text: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(text).ok()?;
    let mut value = vec![2, 0, 0, 0];
    for line in text.split([',', '\n']) {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let mut fields = line.split(':').map(str::trim);
        let (tag, name, rights) = (fields.next()?, fields.next()?, fields.next()?);
        // A fourth field is the number of a user whose name comes first.
        let number = fields.next().unwrap_or(name);
        let (code, id): (u16, u32) = match (tag, name.is_empty()) {
            ("user" | "u", true) => (0x01, NO_ID),
            ("user" | "u", false) => (0x02, number.parse().ok()?),
            ("group" | "g", true) => (0x04, NO_ID),
            ("group" | "g", false) => (0x08, number.parse().ok()?),
            ("mask" | "m", true) => (0x10, NO_ID),
            ("other" | "o", true) => (0x20, NO_ID),
            _ => return None,
        };
        let bits = rights.chars().map(|c| match c {
            'r' => Some(4_u16),
            'w' => Some(2),
            'x' => Some(1),
            '-' => Some(0),
            _ => None,
        });
        let bits = bits.sum::<Option<u16>>().filter(|bits| *bits <= 7)?;
        value.extend_from_slice(&code.to_le_bytes());
        value.extend_from_slice(&bits.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    Acl::from_xattr(&value).ok().flatten().map(|list| list.to_xattr())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]
mod tests {
    use super::*;

    #[test]
    fn lists_in_words() {
        let list = decode(b"user::rwx,user:1000:r-x,group::r--,group:daemon:rw-:1,mask::rwx,other::---").unwrap();
        let entry = |tag: u8, rights: u8, id: u32| [&[tag, 0, rights, 0][..], &id.to_le_bytes()].concat();
        let entries = [
            entry(1, 7, NO_ID),
            entry(2, 5, 1000),
            entry(4, 4, NO_ID),
            entry(8, 6, 1),
            entry(16, 7, NO_ID),
            entry(32, 0, NO_ID),
        ];
        assert_eq!(&list[..], [&[2, 0, 0, 0][..], &entries.concat()].concat());
        for bad in [&b"user::rwx"[..], b"user:daemon:rwx", b"x", b"user::rwx,group::r--,other::q--", b""] {
            assert_eq!(decode(bad), None, "{}", bad.escape_ascii());
        }
    }
}
