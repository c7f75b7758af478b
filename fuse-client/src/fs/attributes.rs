//! Attributes of inodes, and of the volume.

use std::future::Future;
use std::sync::Arc;

use holdfast_client::FsStat;
use holdfast_core::attr::{Attr, Mode, SetAttr};
use holdfast_core::derive;
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::op::{Caller, Op};

use super::credentials::{Credentials, Thread};
use super::{Entry, FileSystem, Node, Outcome, Reply, Shared, attr_of};
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
    /// handle that can change the file it was the first. Where rights count, the change has its place
    /// in the order only after a look at the file.
    pub fn setattr(&self, caller: Caller, thread: Thread, node: Node, set: SetAttr) -> Reply<Entry> {
        if set.size.is_some_and(|size| size > FILE_BYTES_MAX) {
            return Reply::Now(Err(PosixError::FileTooLarge));
        }
        let shared = Arc::clone(&self.shared);
        let ino = shared.ino(node);
        let nothing = set == SetAttr::default();
        if nothing || set.kill_privileges || set.uid.is_some() || set.gid.is_some() {
            return Reply::later(async move {
                let set = shared.with_privileges(thread, ino, set).await?;
                shared.set(caller, ino, set).await
            });
        }
        Reply::later(shared.set(caller, ino, set))
    }

    /// statfs(2).
    pub fn statfs(&self) -> Reply<FsStat> {
        let shared = Arc::clone(&self.shared);
        Reply::later(async move { shared.session.statfs().await.map_err(|error| errno::answer(&error)) })
    }
}

impl Shared {
    /// Submits a change of attributes; it has its place in the session's order when this returns.
    fn set(
        self: Arc<Self>,
        caller: Caller,
        ino: InodeId,
        set: SetAttr,
    ) -> impl Future<Output = Outcome<Entry>> + Send + 'static {
        let (open, changed) = {
            let files = self.files.lock();
            (files.is_open(ino), self.submit(caller, Op::SetAttr { ino, set }))
        };
        async move {
            let attr: Attr = attr_of(changed.await?)?;
            if set.size.is_some() {
                self.versions.changed(ino, attr.data_version, open);
            }
            Ok(self.entry(attr))
        }
    }

    /// Finds out what the caller's rights do to a change that may take privileges from the file.
    async fn with_privileges(&self, thread: Thread, ino: InodeId, mut set: SetAttr) -> Outcome<SetAttr> {
        let attr = self.session.getattr(ino).await.map_err(|error| errno::answer(&error))?;
        if !attr.mode.has(Mode::SETUID | Mode::SETGID) {
            return Ok(set);
        }
        let who = Credentials::of(thread);
        set.keep_setgid = who.keeps_setgid(attr.gid);
        if set == (SetAttr { keep_setgid: set.keep_setgid, ..SetAttr::default() }) {
            if self.files.lock().is_written(ino) && !who.keeps_privileges() {
                set.kill_privileges = true;
            } else if !who.acts_as(attr.uid) && derive::after_chown(attr.kind, attr.mode, set.keep_setgid) != attr.mode
            {
                // It would change the mode of another user's file.
                return Err(PosixError::NotPermitted);
            }
        }
        Ok(set)
    }
}
