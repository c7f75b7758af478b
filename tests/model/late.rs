//! Requests in an order that a kernel makes by chance only.

use holdfast_core::attr::Mode;
use holdfast_core::derive::AskedMode;
use holdfast_core::id::LockOwner;
use holdfast_core::lock::{LockMode, LockRange, LockSpace};
use holdfast_fuse::fs::{Created, FileSystem, LockRequest, Node};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::kernel::{CALLER, Kernel};

impl Kernel {
    /// A release is sent when a file was closed, and nobody waits for it. The next file that is opened
    /// may have the owner's name that the closed one had.
    pub(crate) fn a_late_release_takes_no_lock(&self) {
        let [first, other] = &self.clients[..] else { panic!("two clients") };
        let mode = AskedMode::from(Mode::from_bits(0o644));
        let made = self.wait(first.create(CALLER, Node::ROOT, b"lock", mode, OFlag::O_RDWR)).unwrap();
        let Created::New(entry, closed) = made else { panic!("{made:?}") };
        let open = |client: &FileSystem| {
            self.wait(client.open(CALLER, client.node(entry.attr.ino), OFlag::O_RDWR, None)).unwrap().handle
        };
        let lock = |client: &FileSystem, handle, space, mode| {
            let range = LockRange::new(0, 9).unwrap();
            let owner = LockOwner(0x5eed);
            let request = LockRequest { handle, space, owner, mode, range, pid: 1, open_file: false };
            self.wait(client.lock(request, false).reply)
        };
        for space in [LockSpace::Flock, LockSpace::Record] {
            let (old, theirs) = (open(first), open(other));
            lock(first, old, space, Some(LockMode::Exclusive)).unwrap();
            lock(first, old, space, None).unwrap();
            let new = open(first);
            lock(first, new, space, Some(LockMode::Exclusive)).unwrap();
            self.wait(first.release(old, space == LockSpace::Flock)).unwrap();
            let taken = lock(other, theirs, space, Some(LockMode::Exclusive));
            assert_eq!(taken, Err(Errno::EAGAIN), "{space:?}");
            self.wait(first.release(new, space == LockSpace::Flock)).unwrap();
            lock(other, theirs, space, Some(LockMode::Exclusive)).unwrap();
            self.wait(other.release(theirs, space == LockSpace::Flock)).unwrap();
        }
        self.wait(first.release(closed.handle, false)).unwrap();
    }
}
