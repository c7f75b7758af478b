//! What people want to know of the open files and locks of this mount.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use holdfast_client::{DESCRIPTION_ITEMS_MAX, Description, OpenFile};

use super::handles::Opener;
use super::{FileSystem, Handle};
use crate::process;

impl FileSystem {
    /// Notes for which thread a file was opened.
    pub(crate) fn note_opener(&self, handle: Handle, thread: u32) {
        let opener = Opener { pid: process::of_thread(thread), since: Instant::now() };
        self.shared.files.lock().note_opener(handle, opener);
    }

    /// Open files, and the processes that have them or hold or await locks. Reads `/proc`, so it is
    /// for a thread that may take its time.
    #[must_use]
    pub fn describe(&self) -> Description {
        let (files, mut cut) = self.shared.files.lock().some(DESCRIPTION_ITEMS_MAX);
        let mut processes: BTreeMap<u32, Duration> = self.shared.session.lock_users().into_iter().collect();
        let mut opens: Vec<OpenFile> = Vec::with_capacity(files.len());
        for file in files {
            let opener = file.opener;
            let open_for = opener.map_or(Duration::ZERO, |opener| opener.since.elapsed());
            let pid = opener.map_or(0, |opener| opener.pid);
            opens.push(OpenFile { ino: file.ino, pid, access: file.access, open_for });
            let there_for = processes.entry(pid).or_default();
            *there_for = open_for.max(*there_for);
        }
        processes.remove(&0);
        cut |= processes.len() > DESCRIPTION_ITEMS_MAX;
        let known = processes.into_iter().take(DESCRIPTION_ITEMS_MAX);
        let processes = known.map(|(pid, there_for)| process::describe(pid, there_for)).collect();
        Description { opens, processes, cut }
    }
}
