//! The transport: the kernel's requests on `/dev/fuse`, to [`fs`](crate::fs) and back.
//!
//! A seam. `decode`, `encode` and `dispatch` know the kernel's messages and nothing of where they
//! come from; `device` and the reader threads here are the `/dev/fuse` way to carry them, and
//! another way can stand beside it.
//!
//! Why not a ready-made crate: the ones at hand drop what POSIX needs from the requests (whether a
//! lock is flock or fcntl, whether set-user-id bits have to go) and refuse interrupts, so that a
//! process that waits for a lock could not be killed.
//!
//! Guarantees: every request is answered exactly once, also when its handler panics; a request that
//! waits holds no thread; a process that is killed stops waiting, whatever the server does.

mod abi;
mod aliases;
mod answer;
mod clone;
mod crew;
mod decode;
mod device;
mod dispatch;
mod encode;
mod grow;
mod inbox;
mod inflight;
mod init;
mod notify;
mod places;
mod sched;
mod stale;
mod task;

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;

use crate::fs::FileSystem;
use crate::stats::Stats;
use crew::Crew;
use dispatch::Dispatcher;

pub use abi::Opcode;
pub use device::Device;
pub use notify::{Length, Notifier};

use device::Received;
use inbox::{Inbox, Message};

/// Largest write, and largest read: 1 MiB.
const IO_BYTES: usize = holdfast_core::limits::IO_BYTES_MAX;
/// A reader's buffer: a write and its headers.
const BUFFER_BYTES: usize = IO_BYTES + 4096;

/// How the transport behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Threads that read requests, 1 to 64.
    pub threads: usize,
    /// Reads ahead and other requests in the background that the kernel keeps in flight.
    pub max_background: u16,
    /// Nobody else has the volume: the kernel keeps writes back, and believes what it was told until it
    /// changes it itself.
    pub alone: bool,
}

impl Default for Settings {
    fn default() -> Self {
        // Readers hand over what waits, so a few serve many processors; mostly the first reads alone.
        let threads = thread::available_parallelism().map_or(2, |processors| processors.get().clamp(2, 4));
        Self { threads, max_background: 64, alone: false }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The file system was unmounted.
    Unmounted,
    /// The connection was aborted: what waited has failed.
    Aborted,
}

/// A kernel connection that is being served.
#[derive(Debug)]
pub struct Connection {
    notifier: Notifier,
    ended: mpsc::Receiver<Ended>,
}

impl Connection {
    /// Agrees with the kernel on how to talk, on a device that was just given to mount(2), and
    /// serves from then on, on threads of its own.
    ///
    /// # Errors
    /// When the kernel is too old, or a thread cannot be started.
    pub fn start(
        device: Device,
        fs: FileSystem,
        runtime: Runtime,
        settings: Settings,
        stats: Arc<Stats>,
    ) -> io::Result<Self> {
        let device = Arc::new(device);
        init::agree(&device, settings)?;
        let aliases = Arc::default();
        let notifier = Notifier::start(Arc::clone(&device), Arc::clone(&stats), Arc::clone(&aliases))?;
        let dispatcher = Arc::new(Dispatcher::new(fs, runtime, stats, notifier.clone(), aliases));
        let threads = settings.threads.clamp(1, 64);
        let (sender, ended) = mpsc::channel(threads);
        let mut queues = vec![Arc::clone(&device)];
        for _ in 1..threads {
            queues.push(Arc::new(device.clone_queue()?));
        }
        let (crew, buffers) = (Crew::new(), inbox::buffers());
        for (number, queue) in queues.into_iter().enumerate() {
            let (dispatcher, sender, crew) = (Arc::clone(&dispatcher), sender.clone(), Arc::clone(&crew));
            let inbox = Inbox::new(&buffers);
            let serve = move || {
                let serve = if number == 0 { lead } else { help };
                let ended = serve(&queue, &dispatcher, &crew, inbox);
                crew.end();
                // A full channel means that another thread has said so already.
                let _ = sender.try_send(ended);
            };
            thread::Builder::new().name(format!("fuse-{number}")).spawn(serve)?;
        }
        Ok(Self { notifier, ended })
    }

    /// Tells the kernel to drop what it caches.
    #[must_use]
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Waits for the end of the mount.
    pub async fn ended(&mut self) -> Ended {
        self.ended.recv().await.unwrap_or(Ended::Unmounted)
    }
}

/// The life of the reader that follows its requesters.
fn lead(queue: &Arc<Device>, dispatcher: &Arc<Dispatcher>, crew: &Arc<Crew>, mut inbox: Inbox) -> Ended {
    crew.lead();
    loop {
        match queue.receive(inbox.room()) {
            Received::Request(len) => {
                let message = inbox.message(len);
                crew.read(decode::requester(message.bytes()));
                serve(queue, dispatcher, &message);
            }
            Received::Ended(ended) => return ended,
        }
    }
}

/// The life of another reader.
fn help(queue: &Arc<Device>, dispatcher: &Arc<Dispatcher>, crew: &Arc<Crew>, mut inbox: Inbox) -> Ended {
    while crew.wait_for_turn() {
        match queue.receive(inbox.room()) {
            Received::Request(len) => serve(queue, dispatcher, &inbox.message(len)),
            Received::Ended(ended) => return ended,
        }
    }
    Ended::Unmounted
}

fn serve(queue: &Arc<Device>, dispatcher: &Arc<Dispatcher>, message: &Message<'_>) {
    let handled = std::panic::catch_unwind(AssertUnwindSafe(|| dispatcher.handle(queue, message)));
    if handled.is_err() {
        tracing::error!("the handler of a request panicked; the caller got an input/output error");
    }
}
