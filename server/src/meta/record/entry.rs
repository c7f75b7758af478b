//! A directory entry: by name, and once more by its place in the listing.

use bytes::Bytes;
use holdfast_core::attr::FileKind;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::name::FileName;

use super::codec::{Decoder, Encoder};
use super::inode::{kind_code, kind_of};
use super::{Malformed, Record};

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The inode.
    pub ino: InodeId,
    /// Its type.
    pub kind: FileKind,
    /// The entry's place in the listing.
    pub cookie: DirCookie,
}

/// What stands at a place in the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The inode.
    pub ino: InodeId,
    /// Its type.
    pub kind: FileKind,
    /// The name.
    pub name: FileName,
}

const VERSION: u8 = 1;

impl Record for Entry {
    fn encode(&self) -> Bytes {
        let mut to = Encoder::new(VERSION, 17);
        to.u64(self.ino.0);
        to.u8(kind_code(self.kind));
        to.u64(self.cookie.0);
        to.finish()
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes, VERSION)?;
        let ino = InodeId(from.u64()?);
        let kind = kind_of(from.u8()?)?;
        let cookie = DirCookie(from.u64()?);
        from.finish()?;
        Ok(Self { ino, kind, cookie })
    }
}

impl Record for Listed {
    fn encode(&self) -> Bytes {
        let name = self.name.as_bytes();
        let mut to = Encoder::new(VERSION, 9 + name.len());
        to.u64(self.ino.0);
        to.u8(kind_code(self.kind));
        to.raw(name);
        to.finish()
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes, VERSION)?;
        let ino = InodeId(from.u64()?);
        let kind = kind_of(from.u8()?)?;
        let name = FileName::new(from.rest()).map_err(|_| Malformed("its name is not one of a file"))?;
        Ok(Self { ino, kind, name })
    }
}
