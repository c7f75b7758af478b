//! Attributes of inodes, and of the volume.

use std::future::Future;
use std::sync::Arc;

use holdfast_client::FsStat;
use holdfast_core::attr::{Attr, Mode, SetAttr, SetTime};
use holdfast_core::derive;
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::op::{Caller, Op};

use super::credentials::{Credentials, Thread};
use super::handles::Owner;
use super::{Entry, FileSystem, Node, Outcome, Reply, Shared, attr_of};
use crate::{errno, process};

impl FileSystem {
    /// stat(2), statx(2) with the time of birth, fstat(2): also of a file without a name, as long
    /// as it is open somewhere.
    pub fn getattr(&self, node: Node) -> Reply<Entry> {
        let shared = Arc::clone(&self.shared);
        let ino = shared.ino(node);
        match shared.memory.attr(ino) {
            Some(attr) => Reply::Now(Ok(shared.entry(attr))),
            None => Reply::later(async move { Ok(shared.entry(shared.attr(ino).await?)) }),
        }
    }

    /// chmod(2), chown(2), truncate(2), ftruncate(2), utimensat(2). The server takes set-user-id and
    /// set-group-id away where chown(2) does.
    ///
    /// The kernel asks for no change at all on chown(2) for nothing, which is a change of its own,
    /// and before somebody without `CAP_FSETID` changes content. It does not tell which; without a
    /// handle that can change the file it was the first, and the call that the thread is in tells. Where
    /// rights count, the change has its place in the order only after a look at the file.
    ///
    /// Through an open file the kernel judges by the owner that it saw last, whom another host may have
    /// changed since; so what only an owner may is judged here once more.
    pub fn setattr(&self, caller: Caller, thread: Thread, node: Node, mut set: SetAttr) -> Reply<Entry> {
        if set.size.is_some_and(|size| size > FILE_BYTES_MAX) {
            return Reply::Now(Err(PosixError::FileTooLarge));
        }
        let shared = Arc::clone(&self.shared);
        let ino = shared.ino(node);
        let nothing = set.is_nothing();
        let mut judged_by = if is_for_owners(&set) || is_touch(&set) { shared.files.lock().owner(ino) } else { None };
        if let Some(owner) = judged_by
            && let Some(attr) = shared.memory.attr(ino)
            && (!is_touch(&set) || owner == Owner::of(&attr))
        {
            set = match judge(thread, owner, set, &attr) {
                Ok(set) => set,
                Err(error) => return Reply::Now(Err(error)),
            };
            judged_by = None;
        }
        if !nothing
            && judged_by.is_none()
            && let Some(entry) = shared.set_here(caller, ino, set)
        {
            return Reply::Now(Ok(entry));
        }
        let takes_privileges = nothing || set.kill_privileges || set.uid.is_some() || set.gid.is_some();
        if takes_privileges || judged_by.is_some() {
            return Reply::later(async move {
                let set = match judged_by {
                    Some(owner) if is_touch(&set) => {
                        shared.judge_touch(thread, owner, ino).await?;
                        set
                    }
                    Some(owner) => judge(thread, owner, set, &shared.attr(ino).await?)?,
                    None => set,
                };
                let set = if takes_privileges { shared.with_privileges(thread, ino, set).await? } else { Some(set) };
                match set {
                    Some(set) => shared.set(caller, ino, set).await,
                    None => Ok(shared.entry(shared.attr(ino).await?)),
                }
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

/// Whether only the owner may make this change, or who acts as one. Who may write may set both times to
/// now; one alone is for the owner (utimensat(2), with `UTIME_OMIT`), unless truncate(2) brings it along.
fn is_for_owners(set: &SetAttr) -> bool {
    let exact = |time| matches!(time, Some(SetTime::To(_)));
    let one_time = set.size.is_none() && set.atime.is_some() != set.mtime.is_some();
    set.mode.is_some() || set.uid.is_some() || set.gid.is_some() || one_time || exact(set.atime) || exact(set.mtime)
}

/// Whether both times are set to now, and nothing else, which is for the owner and for who may write.
fn is_touch(set: &SetAttr) -> bool {
    let now = Some(SetTime::Now);
    *set == SetAttr { atime: now, mtime: now, ..SetAttr::default() }
}

/// What is left of a change that only the owner may make, and that the kernel has allowed by this one:
/// others may not make it, and set-group-id stays within the groups of who sets it.
fn judge(thread: Thread, by: Owner, mut set: SetAttr, attr: &Attr) -> Outcome<SetAttr> {
    if by == Owner::of(attr) {
        return Ok(set);
    }
    let who = Credentials::of(thread);
    let gives = set.uid.is_some_and(|uid| uid != attr.uid)
        || set.gid.is_some_and(|gid| gid != attr.gid && !who.is_in_group(gid));
    let changes_owner = set.uid.is_some() || set.gid.is_some();
    let may = !gives && who.acts_as(attr.uid);
    let allowed = may || (changes_owner && who.changes_owners());
    if !allowed {
        return Err(PosixError::NotPermitted);
    }
    if !who.keeps_setgid(set.gid.unwrap_or(attr.gid)) {
        set.mode = set.mode.map(|mode| mode.without(Mode::SETGID));
    }
    Ok(set)
}

impl Shared {
    /// Changes attributes under a lease. Of a file without privileges nobody's rights take any away.
    fn set_here(&self, caller: Caller, ino: InodeId, set: SetAttr) -> Option<Entry> {
        let op = Op::SetAttr { ino, set };
        let (_unused, reply, open) = self.memory.change(caller, &op, || self.files.lock().is_open(ino))?;
        let attr = attr_of(reply).ok()?;
        Some(self.has_set(&set, attr, open))
    }

    /// Submits a change of attributes; it has its place in the session's order when this returns.
    fn set(
        self: Arc<Self>,
        caller: Caller,
        ino: InodeId,
        set: SetAttr,
    ) -> impl Future<Output = Outcome<Entry>> + Send + 'static {
        let op = Op::SetAttr { ino, set };
        let (open, changed) = self.submit_holding(caller, op, || self.files.lock().is_open(ino));
        async move {
            let attr: Attr = attr_of(changed.await?)?;
            Ok(self.has_set(&set, attr, open))
        }
    }

    /// Attributes were changed to these; `open`: the file was open here when that was submitted.
    fn has_set(&self, set: &SetAttr, attr: Attr, open: bool) -> Entry {
        if set.size.is_some() {
            self.versions.changed(attr.ino, attr.data_version, attr.size, open);
        }
        if set.uid.is_some() || set.gid.is_some() {
            self.files.lock().note_owner(attr.ino, Owner::of(&attr));
        }
        self.entry(attr)
    }

    /// After a change of content by somebody without `CAP_FSETID`: set-group-id that the group may
    /// not execute goes too, unless the caller is in the group. The server has done the rest.
    pub(super) async fn drop_foreign_setgid(
        self: &Arc<Self>,
        caller: Caller,
        thread: Thread,
        attr: Attr,
    ) -> Outcome<()> {
        let marker = attr.mode.has(Mode::SETGID) && !attr.mode.has(0o010);
        if marker && !Credentials::of(thread).keeps_setgid(attr.gid) {
            let set = SetAttr { kill_privileges: true, ..SetAttr::default() };
            Arc::clone(self).set(caller, attr.ino, set).await?;
        }
        Ok(())
    }

    /// After a change of content that the kernel sends without telling whether the caller has
    /// `CAP_FSETID`: who has not leaves no set-user-id and set-group-id behind.
    pub(super) async fn drop_privileges(self: &Arc<Self>, caller: Caller, thread: Thread, attr: Attr) -> Outcome<()> {
        if attr.mode.has(Mode::SETUID | Mode::SETGID) {
            let who = Credentials::of(thread);
            if !who.keeps_privileges() {
                let keep_setgid = who.keeps_setgid(attr.gid);
                let set = SetAttr { kill_privileges: true, keep_setgid, ..SetAttr::default() };
                Arc::clone(self).set(caller, attr.ino, set).await?;
            }
        }
        Ok(())
    }

    /// Both times are set to now, which the kernel has allowed by this owner, or because the caller may
    /// write.
    async fn judge_touch(&self, thread: Thread, by: Owner, ino: InodeId) -> Outcome<()> {
        let attr = self.attr(ino).await?;
        if by == Owner::of(&attr) {
            return Ok(());
        }
        let list = if attr.no_xattrs { None } else { self.access_list(ino).await? };
        let who = Credentials::of(thread);
        let may = who.acts_as(attr.uid) || who.may_write(&attr, list.as_ref());
        if may { Ok(()) } else { Err(PosixError::AccessDenied) }
    }

    /// Whether a chown(2), of which nothing is known but that it takes privileges, is allowed.
    pub(super) async fn may_take_privileges(&self, thread: Thread, ino: InodeId) -> Outcome<()> {
        let (attr, who) = (self.attr(ino).await?, Credentials::of(thread));
        let changes = derive::after_chown(attr.kind, attr.mode, who.keeps_setgid(attr.gid)) != attr.mode;
        let may = !changes || who.acts_as(attr.uid) || who.changes_owners();
        if may { Ok(()) } else { Err(PosixError::NotPermitted) }
    }

    /// Finds out what the caller's rights do to a change that may take privileges from the file.
    /// `None`: there is nothing to do.
    async fn with_privileges(&self, thread: Thread, ino: InodeId, mut set: SetAttr) -> Outcome<Option<SetAttr>> {
        let nothing = set.is_nothing();
        let dropped = self.capability_dropped.lock().take_if(|last| *last == (thread, ino)).is_some();
        let attr = self.attr(ino).await?;
        if !attr.mode.has(Mode::SETUID | Mode::SETGID) {
            return Ok(Some(set));
        }
        let who = Credentials::of(thread);
        set.keep_setgid = who.keeps_setgid(attr.gid);
        // Before a change of content: the change itself will do what is to be done.
        let prelude = nothing
            && (dropped || !who.keeps_privileges())
            && self.files.lock().is_written(ino)
            && process::is_in(thread.0, process::CHOWNS).await != Some(true);
        let changes = derive::after_chown(attr.kind, attr.mode, set.keep_setgid) != attr.mode;
        if nothing && !prelude && changes && !who.acts_as(attr.uid) {
            return Err(PosixError::NotPermitted);
        }
        Ok((!prelude).then_some(set))
    }
}
