//! The callers of one side in one sequence: threads that stand for processes on two mounts.
//!
//! Each *process* is a group of threads with a table of handles of its own (`CLONE_FILES`), which
//! also makes it an owner of record locks of its own. Each thread in it is one *user*: with that
//! user's ids, groups and capabilities, a umask of its own, and the directory of the sequence as
//! its root, so that no `..` and no symbolic link leads out of it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, chroot};

use crate::call::{Actor, PROCESSES, USERS};
use crate::execute::Process;
use crate::sys;

/// How long a call may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(45);

type Job = Box<dyn FnOnce(&mut Process) + Send>;

/// A caller's thread, to which work is sent.
#[derive(Debug)]
struct Worker {
    jobs: Option<Sender<Job>>,
}

/// Everyone who calls in one sequence on one side.
#[derive(Debug)]
pub(crate) struct Cast {
    workers: Vec<Worker>,
    leaders: Vec<JoinHandle<()>>,
}

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Pending<T>(Receiver<T>);

impl<T> Pending<T> {
    /// Waits for it. None: it did not come in time, or its thread died.
    pub(crate) fn wait(self) -> Option<T> {
        self.0.recv_timeout(PATIENCE).ok()
    }
}

impl Cast {
    /// Everyone, in the directory that `roots` names as mount A and as mount B see it.
    ///
    /// # Panics
    /// When this is not root, or the directories are not there.
    pub(crate) fn new(roots: &[PathBuf; 2]) -> Self {
        let (mut workers, mut leaders) = (Vec::new(), Vec::new());
        for place in 0..2 * PROCESSES {
            let root = roots[place / PROCESSES].clone();
            let (ready, made) = channel();
            leaders.push(thread::spawn(move || lead(&root, ready)));
            let made: Vec<Sender<Job>> = made.iter().collect();
            assert_eq!(made.len(), USERS.len(), "a process could not be made: is this root?");
            workers.extend(made.into_iter().map(|jobs| Worker { jobs: Some(jobs) }));
        }
        Self { workers, leaders }
    }

    /// Lets somebody do something; they do what they are asked in order.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        actor: Actor,
        job: impl FnOnce(&mut Process) -> T + Send + 'static,
    ) -> Pending<T> {
        let (answer, answered) = sync_channel(1);
        let worker = &self.workers[(actor.mount * PROCESSES + actor.process) * USERS.len() + actor.user];
        let job: Job = Box::new(move |process| {
            let _ = answer.send(job(process));
        });
        // Where the thread is gone the job is dropped, and with it the answer's sender.
        let _ = worker.jobs.as_ref().map(|jobs| jobs.send(job));
        Pending(answered)
    }

    /// Everyone lets go of what they hold and leaves. A thread that hangs is left behind.
    pub(crate) fn leave(mut self, hung: bool) {
        for worker in &mut self.workers {
            worker.jobs = None;
        }
        for leader in self.leaders.drain(..).filter(|_| !hung) {
            let _ = leader.join();
        }
    }
}

/// The first thread of a process, which is its root user: sets the process up, starts the others,
/// works, and waits for them, so that the handles are closed in the table that they are in.
fn lead(root: &Path, ready: Sender<Sender<Job>>) {
    let process = Arc::new(Mutex::new(Process::default()));
    let entered = unshare(CloneFlags::CLONE_FILES).and_then(|()| enter(root));
    entered.unwrap_or_else(|error| panic!("cannot enter {}: {error}", root.display()));
    let (jobs, own) = channel();
    let _ = ready.send(jobs);
    let others: Vec<JoinHandle<()>> = USERS[1..]
        .iter()
        .map(|user| {
            let (jobs, queue) = channel();
            let process = Arc::clone(&process);
            let (settled, is_settled) = sync_channel(1);
            let other = thread::spawn(move || {
                let become_user = unshare(CloneFlags::CLONE_FS).and_then(|()| sys::become_user(user));
                become_user.unwrap_or_else(|error| panic!("cannot become {}: {error}", user.name));
                umask(Mode::from_bits_truncate(0o022));
                let _ = settled.send(());
                work(&queue, &process);
            });
            if is_settled.recv().is_ok() {
                let _ = ready.send(jobs);
            }
            other
        })
        .collect();
    drop(ready);
    work(&own, &process);
    for other in others {
        let _ = other.join();
    }
    lock(&process).close_all();
}

fn enter(root: &Path) -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_FS)?;
    chroot(root)?;
    chdir("/")?;
    umask(Mode::from_bits_truncate(0o022));
    Ok(())
}

fn work(queue: &Receiver<Job>, process: &Mutex<Process>) {
    for job in queue {
        job(&mut lock(process));
    }
}

fn lock(process: &Mutex<Process>) -> MutexGuard<'_, Process> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}
