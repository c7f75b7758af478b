//! The `Namespace` service: reads of names and attributes.

use bytes::Bytes;
use holdfast_core::error::PosixError;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::limits::{DIR_PAGE_ENTRIES_MAX, NAME_BYTES_MAX};
use holdfast_core::name::{FileName, NameError};
use holdfast_core::volume::{Quota, Usage};
use holdfast_proto::attr::inode;
use holdfast_proto::namespace::{FsStat, xattr_name};
use holdfast_proto::v1;
use holdfast_proto::v1::namespace_server::Namespace;
use holdfast_proto::v1::{
    DirEntry, GetAttrRequest, GetAttrResponse, GetXattrRequest, GetXattrResponse, ListXattrRequest, ListXattrResponse,
    LookupRequest, LookupResponse, ReadDirRequest, ReadDirResponse, ReadLinkRequest, ReadLinkResponse, StatFsRequest,
    StatFsResponse,
};
use tonic::{Request, Response, Status};

use super::{Service, status};
use crate::store;
use crate::volume::{Thing, attributes};

/// Entries on a page of a listing unless asked for another number.
const ENTRIES_DEFAULT: usize = 1024;
/// Bytes that a page takes at most: under the largest message, whatever the names.
const PAGE_BYTES_MAX: usize = 768 << 10;
/// Bytes of an entry with attributes on the wire, at most, beside its name.
const ENTRY_BYTES_MAX: usize = 256;
/// Bytes of the server's disk that an inode takes at least, for the count of free ones.
const INODE_BYTES: u64 = 512;

#[tonic::async_trait]
impl Namespace for Service {
    async fn lookup(&self, request: Request<LookupRequest>) -> Result<Response<LookupResponse>, Status> {
        let owner = self.reader(&request).await?;
        let LookupRequest { parent, name } = request.into_inner();
        let parent = inode(parent).map_err(status)?;
        let mut things = attributes(parent).to_vec();
        let attr = match &name[..] {
            b"." => owner.store().getattr(parent),
            b".." => owner.store().lookup_parent(parent),
            _ => {
                let name = looked_up(name).map_err(|error| status(error.into()))?;
                let attr = owner.store().lookup(parent, &name);
                things.push(Thing::Name(parent, name));
                attr
            }
        };
        things.extend(attr.iter().flat_map(|attr| attributes(attr.ino)));
        owner.settled(&things).await?;
        let attr = attr.map_err(status)?;
        Ok(Response::new(LookupResponse { attr: Some((&attr).into()) }))
    }

    async fn get_attr(&self, request: Request<GetAttrRequest>) -> Result<Response<GetAttrResponse>, Status> {
        let owner = self.reader(&request).await?;
        let ino = inode(request.into_inner().ino).map_err(status)?;
        let attr = owner.store().getattr(ino).map_err(status)?;
        owner.settled(&attributes(ino)).await?;
        Ok(Response::new(GetAttrResponse { attr: Some((&attr).into()) }))
    }

    async fn read_dir(&self, request: Request<ReadDirRequest>) -> Result<Response<ReadDirResponse>, Status> {
        let owner = self.reader(&request).await?;
        let ReadDirRequest { ino, after, entries_max, with_attributes } = request.into_inner();
        let ino = inode(ino).map_err(status)?;
        let asked = usize::try_from(entries_max).unwrap_or(usize::MAX);
        let asked = if asked == 0 { ENTRIES_DEFAULT } else { asked.min(DIR_PAGE_ENTRIES_MAX) };
        let page = owner.store().readdir(ino, DirCookie(after), asked, with_attributes).map_err(status)?;
        let told = page.entries.iter().filter(|entry| entry.attr.is_some());
        let things: Vec<Thing> =
            attributes(ino).into_iter().chain(told.flat_map(|entry| attributes(entry.ino))).collect();
        owner.settled(&things).await?;
        Ok(Response::new(page_to_wire(page)))
    }

    async fn read_link(&self, request: Request<ReadLinkRequest>) -> Result<Response<ReadLinkResponse>, Status> {
        let owner = self.reader(&request).await?;
        let ino = inode(request.into_inner().ino).map_err(status)?;
        let target = owner.store().readlink(ino).map_err(status)?;
        owner.settled(&[Thing::Inode(ino)]).await?;
        Ok(Response::new(ReadLinkResponse { target }))
    }

    async fn get_xattr(&self, request: Request<GetXattrRequest>) -> Result<Response<GetXattrResponse>, Status> {
        let owner = self.reader(&request).await?;
        let GetXattrRequest { ino, name } = request.into_inner();
        let (ino, name) = (inode(ino).map_err(status)?, xattr_name(name).map_err(status)?);
        let value = owner.store().getxattr(ino, &name);
        owner.settled(&[Thing::Inode(ino)]).await?;
        let value = value.map_err(status)?;
        Ok(Response::new(GetXattrResponse { value }))
    }

    async fn list_xattr(&self, request: Request<ListXattrRequest>) -> Result<Response<ListXattrResponse>, Status> {
        let owner = self.reader(&request).await?;
        let ino: InodeId = inode(request.into_inner().ino).map_err(status)?;
        let names = owner.store().listxattr(ino).map_err(status)?;
        owner.settled(&[Thing::Inode(ino)]).await?;
        Ok(Response::new(ListXattrResponse { names: names.into_iter().map(|name| name.into_bytes()).collect() }))
    }

    async fn stat_fs(&self, request: Request<StatFsRequest>) -> Result<Response<StatFsResponse>, Status> {
        let owner = self.reader(&request).await?;
        let free = owner.store().disk_free_bytes().map_err(status)?;
        Ok(Response::new(fs_stat(owner.quota(), owner.usage(), free).into()))
    }
}

/// A name that somebody looks up. One that no entry can have is the file system's business.
fn looked_up(name: Bytes) -> Result<FileName, PosixError> {
    FileName::new(name).map_err(|error| match error {
        NameError::TooLong => PosixError::NameTooLong,
        NameError::Empty => PosixError::NoEntry,
        NameError::Forbidden => PosixError::Invalid,
    })
}

/// A page, cut off where it would be too long for a message.
fn page_to_wire(page: store::DirPage) -> ReadDirResponse {
    let mut bytes = 0;
    let total = page.entries.len();
    let fits = |entry: &store::DirEntry| {
        bytes += entry.name.as_bytes().len().min(NAME_BYTES_MAX) + ENTRY_BYTES_MAX;
        bytes <= PAGE_BYTES_MAX
    };
    let entries: Vec<DirEntry> = page.entries.into_iter().take_while(fits).map(entry_to_wire).collect();
    ReadDirResponse { end: page.end && entries.len() == total, entries, parent: page.parent.0 }
}

fn entry_to_wire(entry: store::DirEntry) -> DirEntry {
    DirEntry {
        name: entry.name.into_bytes(),
        ino: entry.ino.0,
        kind: v1::FileKind::from(entry.kind).into(),
        cookie: entry.cookie.0,
        attr: entry.attr.as_ref().map(Into::into),
    }
}

/// Space as statvfs(3) tells it: what the quota leaves, or the disk if that is less.
fn fs_stat(quota: Quota, usage: Usage, disk_free: u64) -> FsStat {
    let free =
        |limit: Option<u64>, used: u64, disk: u64| limit.map_or(disk, |limit| limit.saturating_sub(used).min(disk));
    let bytes_free = free(quota.bytes, usage.bytes, disk_free);
    let inodes_free = free(quota.inodes, usage.inodes, disk_free / INODE_BYTES);
    FsStat {
        bytes_total: quota.bytes.unwrap_or_else(|| usage.bytes.saturating_add(bytes_free)),
        bytes_free,
        inodes_total: quota.inodes.unwrap_or_else(|| usage.inodes.saturating_add(inodes_free)),
        inodes_free,
    }
}

#[cfg(test)]
mod tests;
