//! Attributes of inodes, and of the volume.

use std::sync::Arc;

use holdfast_client::FsStat;
use holdfast_core::attr::{Attr, SetAttr};
use holdfast_core::error::PosixError;
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::op::{Caller, Op};

use super::{Entry, FileSystem, Node, Reply, attr_of};
use crate::errno;

impl FileSystem {
    /// stat(2), statx(2) with the time of birth, fstat(2): also of a file without a name, as long
    /// as it is open somewhere.
    pub fn getattr(&self, node: Node) -> Reply<Entry> {
        let shared = Arc::clone(&self.shared);
        Reply::later(async move {
            let attr = shared.session.getattr(shared.ino(node)).await;
            attr.map(|attr| shared.entry(attr)).map_err(|error| errno::answer(&error))
        })
    }

    /// chmod(2), chown(2), truncate(2), ftruncate(2), utimensat(2). The server takes set-user-id and
    /// set-group-id away where chown(2) does.
    ///
    /// The kernel asks for no change at all on chown(2) for nothing, which is a change of its own,
    /// and before somebody without `CAP_FSETID` changes content. It does not tell which; without a
    /// handle that can change the file it was the first.
    pub fn setattr(&self, caller: Caller, node: Node, mut set: SetAttr) -> Reply<Entry> {
        if set.size.is_some_and(|size| size > FILE_BYTES_MAX) {
            return Reply::Now(Err(PosixError::FileTooLarge));
        }
        let shared = Arc::clone(&self.shared);
        let ino = shared.ino(node);
        let (open, changed) = {
            let files = shared.files.lock();
            let nothing = set == SetAttr::default();
            set.kill_privileges |= nothing && caller.uid != 0 && files.is_written(ino);
            (files.is_open(ino), shared.submit(caller, Op::SetAttr { ino, set }))
        };
        Reply::later(async move {
            let attr: Attr = attr_of(changed.await?)?;
            if set.size.is_some() {
                shared.versions.changed(ino, attr.data_version, open);
            }
            Ok(shared.entry(attr))
        })
    }

    /// statfs(2).
    pub fn statfs(&self) -> Reply<FsStat> {
        let shared = Arc::clone(&self.shared);
        Reply::later(async move { shared.session.statfs().await.map_err(|error| errno::answer(&error)) })
    }
}
