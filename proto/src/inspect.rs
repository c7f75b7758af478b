//! Who uses a volume: what a mount tells of its processes, and what the server tells people.

use std::time::Duration;

use holdfast_core::error::{Error, Result};
use holdfast_core::id::InodeId;
use holdfast_core::lock::{HeldLock, LockAsk, LockMode, LockRange, LockSpace};
use holdfast_core::time::Timestamp;

use crate::attr::inode;
use crate::error::invalid;
use crate::lock::held_to_wire;
use crate::v1;

/// Open files and processes in one description.
pub const DESCRIPTION_ITEMS_MAX: usize = 4096;
/// Longest name of a process, and longest container id, in bytes.
pub const PROCESS_TEXT_BYTES_MAX: usize = 128;

/// How a file is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Writes go to the end.
    pub append: bool,
}

/// One open(2) of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// The file.
    pub ino: InodeId,
    /// Who opened it, as its host numbers it; 0: not known.
    pub pid: u32,
    /// How.
    pub access: Access,
    /// For how long it has been open.
    pub open_for: Duration,
}

/// A process, as its own host knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number there; 0: not known.
    pub pid: u32,
    /// Its name; empty: not known.
    pub name: String,
    /// Its container's id.
    pub container: Option<String>,
    /// It has ended, or its number is another's by now.
    pub gone: bool,
}

/// What a mount knows of its open files and processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Every open file.
    pub opens: Vec<OpenFile>,
    /// The processes of these and of its locks, each once.
    pub processes: Vec<Process>,
    /// There are more.
    pub cut: bool,
}

/// A session as people see it: a mount, or another client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientView {
    /// Its host.
    pub host: String,
    /// Its own process.
    pub pid: u32,
    /// Its program.
    pub program: String,
    /// It said what it knows of its processes.
    pub answered: bool,
}

/// A lock that is held or awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockView {
    /// By which client.
    pub client: ClientView,
    /// By which of its processes.
    pub process: Process,
    /// The file.
    pub ino: InodeId,
    /// Its path from the volume's root; empty: not known.
    pub path: Vec<u8>,
    /// Which kind of lock.
    pub space: LockSpace,
    /// How.
    pub mode: LockMode,
    /// Which bytes.
    pub range: LockRange,
    /// It is awaited.
    pub waits: bool,
    /// Since when.
    pub since: Timestamp,
}

/// An open file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenView {
    /// By which client.
    pub client: ClientView,
    /// The file.
    pub ino: InodeId,
    /// Its path from the volume's root; empty: not known.
    pub path: Vec<u8>,
    /// By which process, how, and since when; `None`: the client did not say.
    pub handle: Option<HandleView>,
}

/// What a client said of an open file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleView {
    /// Who opened it.
    pub process: Process,
    /// How.
    pub access: Access,
    /// Since when.
    pub since: Timestamp,
}

/// Rows of a listing that has an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// There are more.
    pub cut: bool,
}

/// Milliseconds of a time on the wire.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl From<&OpenFile> for v1::OpenFile {
    fn from(open: &OpenFile) -> Self {
        let &OpenFile { ino, pid, access: Access { read, write, append }, open_for } = open;
        Self { ino: ino.0, pid, read, write, append, open_ms: millis(open_for) }
    }
}

impl TryFrom<v1::OpenFile> for OpenFile {
    type Error = Error;

    fn try_from(wire: v1::OpenFile) -> Result<Self> {
        let v1::OpenFile { ino, pid, read, write, append, open_ms } = wire;
        let access = Access { read, write, append };
        Ok(Self { ino: inode(ino)?, pid, access, open_for: Duration::from_millis(open_ms) })
    }
}

impl From<&Process> for v1::Process {
    fn from(process: &Process) -> Self {
        let Process { pid, name, container, gone } = process.clone();
        Self { pid, name, container: container.unwrap_or_default(), gone }
    }
}

impl TryFrom<v1::Process> for Process {
    type Error = Error;

    fn try_from(wire: v1::Process) -> Result<Self> {
        let v1::Process { pid, name, container, gone } = wire;
        if name.len() > PROCESS_TEXT_BYTES_MAX || container.len() > PROCESS_TEXT_BYTES_MAX {
            return Err(invalid(format!("names of a process have at most {PROCESS_TEXT_BYTES_MAX} bytes")));
        }
        Ok(Self { pid, name, container: Some(container).filter(|id| !id.is_empty()), gone })
    }
}

impl Description {
    /// The message that answers the question of this number.
    #[must_use]
    pub fn to_wire(&self, id: u64) -> v1::Description {
        v1::Description {
            id,
            opens: self.opens.iter().map(Into::into).collect(),
            processes: self.processes.iter().map(Into::into).collect(),
            cut: self.cut,
        }
    }
}

impl TryFrom<v1::Description> for Description {
    type Error = Error;

    fn try_from(wire: v1::Description) -> Result<Self> {
        if wire.opens.len() > DESCRIPTION_ITEMS_MAX || wire.processes.len() > DESCRIPTION_ITEMS_MAX {
            return Err(invalid(format!("a description has at most {DESCRIPTION_ITEMS_MAX} files and processes")));
        }
        Ok(Self {
            opens: wire.opens.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            processes: wire.processes.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            cut: wire.cut,
        })
    }
}

impl From<&ClientView> for v1::Client {
    fn from(client: &ClientView) -> Self {
        let ClientView { host, pid, program, answered } = client.clone();
        Self { host, pid, program, answered }
    }
}

impl TryFrom<Option<v1::Client>> for ClientView {
    type Error = Error;

    fn try_from(wire: Option<v1::Client>) -> Result<Self> {
        let v1::Client { host, pid, program, answered } = wire.ok_or_else(|| invalid("a row lacks its client"))?;
        Ok(Self { host, pid, program, answered })
    }
}

impl From<&LockView> for v1::LockEntry {
    fn from(view: &LockView) -> Self {
        let &LockView { space, mode, range, .. } = view;
        let holder = holdfast_core::lock::Holder {
            session: holdfast_core::id::SessionId([0; 16]),
            owner: holdfast_core::id::LockOwner(0),
        };
        let since = holdfast_core::session::BootTime::default();
        let held = HeldLock { holder, space, mode, range, pid: view.process.pid, since };
        Self {
            client: Some((&view.client).into()),
            process: Some((&view.process).into()),
            ino: view.ino.0,
            path: view.path.clone().into(),
            lock: Some(held_to_wire(&held, view.ino)),
            waits: view.waits,
            since: Some(view.since.into()),
        }
    }
}

impl TryFrom<v1::LockEntry> for LockView {
    type Error = Error;

    fn try_from(wire: v1::LockEntry) -> Result<Self> {
        let ask: LockAsk = crate::lock::required(wire.lock)?;
        Ok(Self {
            client: wire.client.try_into()?,
            process: wire.process.unwrap_or_default().try_into()?,
            ino: inode(wire.ino)?,
            path: wire.path.to_vec(),
            space: ask.space,
            mode: ask.mode.ok_or_else(|| invalid("a lock that is listed is none"))?,
            range: ask.range,
            waits: wire.waits,
            since: wire.since.unwrap_or_default().try_into()?,
        })
    }
}

impl From<&OpenView> for v1::OpenEntry {
    fn from(view: &OpenView) -> Self {
        let access = view.handle.as_ref().map(|handle| handle.access).unwrap_or_default();
        Self {
            client: Some((&view.client).into()),
            ino: view.ino.0,
            path: view.path.clone().into(),
            process: view.handle.as_ref().map(|handle| (&handle.process).into()),
            read: access.read,
            write: access.write,
            append: access.append,
            since: view.handle.as_ref().map(|handle| handle.since.into()),
        }
    }
}

impl TryFrom<v1::OpenEntry> for OpenView {
    type Error = Error;

    fn try_from(wire: v1::OpenEntry) -> Result<Self> {
        let v1::OpenEntry { client, ino, path, process, read, write, append, since } = wire;
        let since: Timestamp = since.unwrap_or_default().try_into()?;
        let access = Access { read, write, append };
        let handle = process.map(Process::try_from).transpose()?.map(|process| HandleView { process, access, since });
        Ok(Self { client: client.try_into()?, ino: inode(ino)?, path: path.to_vec(), handle })
    }
}

#[cfg(test)]
mod tests;
