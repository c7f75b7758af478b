//! `holdfast locks` and `holdfast open`: who uses a volume, on every host.

use clap::Args;
use holdfast_client::{Access, ClientView, Listed, LockView, OpenView, Process, VolumeRef};
use holdfast_core::id::InodeId;
use holdfast_core::lock::{LOCK_END, LockMode, LockRange, LockSpace};
use holdfast_core::name::VolumeName;
use serde::Serialize;

use crate::args::GlobalArgs;
use crate::failure::Result;
use crate::output::table::{Align, Table};
use crate::output::{Output, Report};
use crate::{connect, date};

/// Digits of a container's id that people go by.
const SHORT_ID: usize = 12;

/// `holdfast locks`, `holdfast open`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Name of the volume
    volume: VolumeName,
}

/// Lists locks.
///
/// # Errors
/// No such volume, or a server that cannot be reached.
pub fn locks(args: &InspectArgs, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let volume = VolumeRef::Name(args.volume.clone());
    let doing = format!("list the locks of volume {}", args.volume);
    let listed = connect::with(global, &doing, async |client| client.list_locks(&volume).await)?;
    output.report(&Locks::from(listed))
}

/// Lists open files.
///
/// # Errors
/// As [`locks`].
pub fn open(args: &InspectArgs, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let volume = VolumeRef::Name(args.volume.clone());
    let doing = format!("list the open files of volume {}", args.volume);
    let listed = connect::with(global, &doing, async |client| client.list_opens(&volume).await)?;
    output.report(&Opens::from(listed))
}

/// The mount that a row is about, and its process.
#[derive(Debug, Serialize)]
struct Who {
    host: String,
    /// The process that serves the mount there.
    mount_pid: u32,
    program: String,
    /// It said what it knows of its processes.
    answered: bool,
    pid: Option<u32>,
    process: Option<String>,
    /// The process has ended.
    gone: bool,
    container: Option<String>,
}

#[derive(Debug, Serialize)]
struct Lock {
    #[serde(flatten)]
    who: Who,
    inode: u64,
    path: Option<String>,
    kind: &'static str,
    mode: &'static str,
    start: u64,
    /// The last byte; absent: to the end, however long the file gets.
    end: Option<u64>,
    state: &'static str,
    since: String,
}

#[derive(Debug, Serialize)]
struct Locks {
    locks: Vec<Lock>,
    /// There are more than these.
    cut: bool,
}

#[derive(Debug, Serialize)]
struct Open {
    #[serde(flatten)]
    who: Who,
    inode: u64,
    path: Option<String>,
    read: Option<bool>,
    write: Option<bool>,
    append: Option<bool>,
    since: Option<String>,
}

#[derive(Debug, Serialize)]
struct Opens {
    open: Vec<Open>,
    /// There are more than these.
    cut: bool,
}

impl Who {
    fn new(client: ClientView, process: Option<Process>) -> Self {
        let process = process.unwrap_or_default();
        Self {
            host: client.host,
            mount_pid: client.pid,
            program: client.program,
            answered: client.answered,
            pid: Some(process.pid).filter(|pid| *pid != 0),
            process: Some(process.name).filter(|name| !name.is_empty()),
            gone: process.gone,
            container: process.container,
        }
    }

    /// `postgres (4711)`, or as much of it as is known.
    fn process_text(&self) -> String {
        let name = self.process.as_deref();
        match (name, self.pid) {
            (Some(name), Some(pid)) => format!("{name} ({pid})"),
            (None, Some(pid)) if self.gone => format!("{pid}, gone"),
            (None, Some(pid)) => format!("{pid}"),
            (Some(name), None) => name.to_owned(),
            (None, None) if self.answered => "the mount itself".to_owned(),
            (None, None) => "?".to_owned(),
        }
    }

    fn container_text(&self) -> String {
        let id = self.container.as_deref().unwrap_or("-");
        let is_hash = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { id.get(..SHORT_ID).unwrap_or(id).to_owned() } else { id.to_owned() }
    }
}

impl From<Listed<LockView>> for Locks {
    fn from(listed: Listed<LockView>) -> Self {
        let lock = |view: LockView| Lock {
            inode: view.ino.0,
            path: path(view.path),
            kind: match view.space {
                LockSpace::Flock => "flock",
                LockSpace::Record => "record",
            },
            mode: match view.mode {
                LockMode::Shared => "shared",
                LockMode::Exclusive => "exclusive",
            },
            start: view.range.start(),
            end: Some(view.range.end()).filter(|end| *end != LOCK_END),
            state: if view.waits { "waits" } else { "held" },
            since: date::rfc3339(view.since),
            who: Who::new(view.client, Some(view.process)),
        };
        Self { locks: listed.rows.into_iter().map(lock).collect(), cut: listed.cut }
    }
}

impl From<Listed<OpenView>> for Opens {
    fn from(listed: Listed<OpenView>) -> Self {
        let open = |view: OpenView| {
            let access = view.handle.as_ref().map(|handle| handle.access);
            Open {
                inode: view.ino.0,
                path: path(view.path),
                read: access.map(|access| access.read),
                write: access.map(|access| access.write),
                append: access.map(|access| access.append),
                since: view.handle.as_ref().map(|handle| date::rfc3339(handle.since)),
                who: Who::new(view.client, view.handle.map(|handle| handle.process)),
            }
        };
        Self { open: listed.rows.into_iter().map(open).collect(), cut: listed.cut }
    }
}

impl Report for Locks {
    fn text(&self) -> String {
        if self.locks.is_empty() {
            return "no locks\n".to_owned();
        }
        let columns = ["HOST", "PROCESS", "CONTAINER", "KIND", "MODE", "BYTES", "STATE", "SINCE", "FILE"];
        let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
        for lock in &self.locks {
            table.row([
                lock.who.host.clone(),
                lock.who.process_text(),
                lock.who.container_text(),
                lock.kind.to_owned(),
                lock.mode.to_owned(),
                bytes_text(lock.start, lock.end),
                lock.state.to_owned(),
                lock.since.clone(),
                file_text(lock.path.as_deref(), lock.inode),
            ]);
        }
        format!("{}{}{}", table.text(0), silent(self.locks.iter().map(|lock| &lock.who)), more(self.cut))
    }
}

impl Report for Opens {
    fn text(&self) -> String {
        if self.open.is_empty() {
            return "nothing is open\n".to_owned();
        }
        let columns = ["HOST", "PROCESS", "CONTAINER", "MODE", "SINCE", "FILE"];
        let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
        for open in &self.open {
            let access = open.read.zip(open.write).zip(open.append);
            let access = access.map(|((read, write), append)| Access { read, write, append });
            table.row([
                open.who.host.clone(),
                open.who.process_text(),
                open.who.container_text(),
                mode_text(access).to_owned(),
                open.since.clone().unwrap_or_else(|| "?".to_owned()),
                file_text(open.path.as_deref(), open.inode),
            ]);
        }
        format!("{}{}{}", table.text(0), silent(self.open.iter().map(|open| &open.who)), more(self.cut))
    }
}

fn path(bytes: Vec<u8>) -> Option<String> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn file_text(path: Option<&str>, inode: u64) -> String {
    path.map_or_else(|| format!("inode {}", InodeId(inode)), str::to_owned)
}

fn bytes_text(start: u64, end: Option<u64>) -> String {
    match (start, end) {
        (start, None) if start == LockRange::WHOLE.start() => "all".to_owned(),
        (start, None) => format!("{start}-end"),
        (start, Some(end)) => format!("{start}-{end}"),
    }
}

const fn mode_text(access: Option<Access>) -> &'static str {
    match access {
        None => "?",
        Some(Access { append: true, read: true, .. }) => "read, append",
        Some(Access { append: true, write: true, .. }) => "append",
        Some(Access { read: true, write: true, .. }) => "read, write",
        Some(Access { write: true, .. }) => "write",
        Some(_) => "read",
    }
}

/// Names the mounts that did not say who their processes are.
fn silent<'a>(rows: impl Iterator<Item = &'a Who>) -> String {
    let mut mounts: Vec<String> = rows
        .filter(|who| !who.answered)
        .map(|who| format!("{} on {} (process {})", who.program, who.host, who.mount_pid))
        .collect();
    mounts.sort();
    mounts.dedup();
    match mounts.is_empty() {
        true => String::new(),
        false => format!("no answer, so its processes are not known: {}\n", mounts.join(", ")),
    }
}

const fn more(cut: bool) -> &'static str {
    if cut { "there are more than these\n" } else { "" }
}

#[cfg(test)]
mod tests;
