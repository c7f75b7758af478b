//! POSIX access control lists (acl(5)): the xattr form of Linux, and what lists do to modes.
//!
//! A list says more than nine permission bits: rights of further users and groups, under a mask.
//! A file has an *access* list or none; a directory may also have a *default* list, which new
//! entries inherit. The kernel of each client checks rights against lists; this module keeps lists
//! and modes in step, the same way on every host.
//!
//! Invariant of [`Acl`]: it is valid by acl(5) (one entry each for owner, group and others, a mask
//! where further users or groups are named) and sorted by whom entries are about; among users, and
//! among groups, the order stays as it was given.

use bytes::Bytes;

use crate::attr::{Attr, Mode};

/// The xattr that holds an access list.
pub const ACCESS_XATTR: &[u8] = b"system.posix_acl_access";
/// The xattr that holds a default list.
pub const DEFAULT_XATTR: &[u8] = b"system.posix_acl_default";

/// `POSIX_ACL_XATTR_VERSION` of `linux/posix_acl_xattr.h`.
const VERSION: u32 = 2;
/// `ACL_UNDEFINED_ID`: the id of entries that name nobody.
const NO_ID: u32 = u32::MAX;
const HEADER_LEN: usize = 4;
const ENTRY_LEN: usize = 8;

/// Whom an entry is about; in the order in which a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// `ACL_USER_OBJ`
    Owner,
    /// `ACL_USER`
    User(u32),
    /// `ACL_GROUP_OBJ`
    Group,
    /// `ACL_GROUP`
    NamedGroup(u32),
    /// `ACL_MASK`
    Mask,
    /// `ACL_OTHER`
    Other,
}

/// What somebody may do: read 4, write 2, execute 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    rights: u16,
}

/// A valid list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(Vec<Entry>);

/// The bytes are not a valid list (`EINVAL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid access control list")]
pub struct InvalidAcl;

/// What a list and a mode are after one changed the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The mode that stat(2) shows.
    pub mode: Mode,
    /// The list, where the mode does not say all of it.
    pub acl: Option<Acl>,
}

/// Somebody who wants to do something to a file.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The user.
    pub uid: u32,
    /// All groups.
    pub groups: &'a [u32],
}

impl Subject<'_> {
    /// Whether rights (read 4, write 2, execute 1; all of `wanted`) are given by a file's mode and access list
    /// (acl(5), "access check algorithm"), without a look at capabilities.
    #[must_use]
    pub fn may(&self, wanted: u16, file: &Attr, list: Option<&Acl>) -> bool {
        let bits = file.mode.bits();
        let gives = |rights: u16| rights & wanted == wanted;
        if self.uid == file.uid {
            return gives(bits >> 6);
        }
        // Linux looks at no list where the mask gives nothing.
        let list = list.filter(|_| bits & 0o070 != 0);
        let mask = list.map_or(7, Acl::group_class);
        let entries = list.map_or(&[][..], |list| &list.0);
        if let Some(named) = entries.iter().find(|entry| entry.tag == Tag::User(self.uid)) {
            return gives(named.rights & mask);
        }
        let owning = list.map_or(bits >> 3, |list| list.rights(Tag::Group));
        let owning = self.groups.contains(&file.gid).then_some(owning);
        let named = entries.iter().filter_map(|entry| match entry.tag {
            Tag::NamedGroup(gid) if self.groups.contains(&gid) => Some(entry.rights),
            _ => None,
        });
        let mut groups = owning.into_iter().chain(named).peekable();
        if groups.peek().is_none() { gives(bits) } else { groups.any(|rights| gives(rights & mask)) }
    }
}

impl Acl {
    /// Reads the value of an ACL xattr. An empty list (header only) is `None`: it removes.
    ///
    /// # Errors
    /// [`InvalidAcl`], for any value that acl_valid(3) would refuse.
    pub fn from_xattr(value: &[u8]) -> Result<Option<Self>, InvalidAcl> {
        let (header, entries) = value.split_at_checked(HEADER_LEN).ok_or(InvalidAcl)?;
        if header != VERSION.to_le_bytes() || entries.len() % ENTRY_LEN != 0 {
            return Err(InvalidAcl);
        }
        let entries = entries.chunks_exact(ENTRY_LEN).map(decode_entry).collect::<Result<Vec<_>, _>>()?;
        if entries.is_empty() { Ok(None) } else { Self::checked(entries).map(Some) }
    }

    /// The value of an ACL xattr.
    #[must_use]
    pub fn to_xattr(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEADER_LEN + self.0.len() * ENTRY_LEN);
        out.extend_from_slice(&VERSION.to_le_bytes());
        for entry in &self.0 {
            let (tag, id) = entry.tag.to_wire();
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&entry.rights.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        out.into()
    }

    /// Sets this list as the access list of a file with that mode: the mode's nine bits follow the
    /// list (its group bits the mask), and a list that says no more than the mode is not kept.
    #[must_use]
    pub fn set_on(self, mode: Mode) -> Access {
        let bits = self.rights(Tag::Owner) << 6 | self.group_class() << 3 | self.rights(Tag::Other);
        let mode = Mode::from_bits(u32::from(mode.bits() & 0o7000 | bits));
        Access { mode, acl: (!self.is_minimal()).then_some(self) }
    }

    /// chmod(2) of a file with this access list.
    #[must_use]
    pub fn after_chmod(mut self, mode: Mode) -> Self {
        let bits = mode.bits();
        let class = if self.has_mask() { Tag::Mask } else { Tag::Group };
        for (tag, rights) in [(Tag::Owner, bits >> 6), (class, bits >> 3), (Tag::Other, bits)] {
            self.set(tag, rights & 7);
        }
        self
    }

    /// What a new entry of a directory with this default list gets: `mode` is what was asked for,
    /// to which the umask does not apply then.
    #[must_use]
    pub fn inherited(&self, mode: Mode) -> Access {
        let mut acl = self.clone();
        let bits = mode.bits();
        let class = if acl.has_mask() { Tag::Mask } else { Tag::Group };
        for (tag, asked) in [(Tag::Owner, bits >> 6), (class, bits >> 3), (Tag::Other, bits)] {
            acl.set(tag, acl.rights(tag) & asked & 7);
        }
        acl.set_on(mode)
    }

    fn checked(mut entries: Vec<Entry>) -> Result<Self, InvalidAcl> {
        entries.sort_by_key(|entry| entry.tag.to_wire().0);
        let count = |tag: Tag| entries.iter().filter(|entry| entry.tag == tag).count();
        let names = entries.iter().any(|entry| matches!(entry.tag, Tag::User(_) | Tag::NamedGroup(_)));
        let whole = [Tag::Owner, Tag::Group, Tag::Other].into_iter().all(|tag| count(tag) == 1);
        let masks = count(Tag::Mask);
        if whole && masks <= 1 && (!names || masks == 1) { Ok(Self(entries)) } else { Err(InvalidAcl) }
    }

    /// Whether nine permission bits say the same.
    fn is_minimal(&self) -> bool {
        self.0.len() == 3
    }

    fn has_mask(&self) -> bool {
        self.0.iter().any(|entry| entry.tag == Tag::Mask)
    }

    fn group_class(&self) -> u16 {
        self.rights(if self.has_mask() { Tag::Mask } else { Tag::Group })
    }

    fn rights(&self, tag: Tag) -> u16 {
        self.0.iter().find(|entry| entry.tag == tag).map_or(0, |entry| entry.rights)
    }

    fn set(&mut self, tag: Tag, rights: u16) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.tag == tag) {
            entry.rights = rights;
        }
    }
}

impl Tag {
    /// Tag and id of `struct posix_acl_xattr_entry`.
    const fn to_wire(self) -> (u16, u32) {
        match self {
            Self::Owner => (0x01, NO_ID),
            Self::User(id) => (0x02, id),
            Self::Group => (0x04, NO_ID),
            Self::NamedGroup(id) => (0x08, id),
            Self::Mask => (0x10, NO_ID),
            Self::Other => (0x20, NO_ID),
        }
    }

    const fn from_wire(tag: u16, id: u32) -> Option<Self> {
        match tag {
            0x01 => Some(Self::Owner),
            0x02 if id != NO_ID => Some(Self::User(id)),
            0x04 => Some(Self::Group),
            0x08 if id != NO_ID => Some(Self::NamedGroup(id)),
            0x10 => Some(Self::Mask),
            0x20 => Some(Self::Other),
            _ => None,
        }
    }
}

fn decode_entry(bytes: &[u8]) -> Result<Entry, InvalidAcl> {
    let &[tag0, tag1, rights0, rights1, ref id @ ..] = bytes else { return Err(InvalidAcl) };
    let id = u32::from_le_bytes(id.try_into().map_err(|_| InvalidAcl)?);
    let rights = u16::from_le_bytes([rights0, rights1]);
    let tag = Tag::from_wire(u16::from_le_bytes([tag0, tag1]), id).ok_or(InvalidAcl)?;
    if rights > 7 { Err(InvalidAcl) } else { Ok(Entry { tag, rights }) }
}

#[cfg(test)]
pub(crate) mod tests;
