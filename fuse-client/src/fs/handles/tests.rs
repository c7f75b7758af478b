#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

const fn file(ino: InodeId) -> OpenFile {
    let access = Access { read: true, write: false, append: false };
    OpenFile { ino, bypass: None, access, runs: false, opener: None }
}

const A: InodeId = InodeId(10);
const B: InodeId = InodeId(11);

fn open(files: &mut OpenFiles, ino: InodeId) -> Handle {
    files.begin_open(ino);
    files.finish_open(file(ino))
}

#[test]
fn only_the_last_handle_closes() {
    let mut files = OpenFiles::default();
    let (one, two) = (open(&mut files, A), open(&mut files, A));
    assert_ne!(one, two);
    assert!(files.release(one).close.is_empty());
    assert!(files.is_open(A));
    assert_eq!(files.release(two).close, [A]);
    assert!(!files.is_open(A));
    assert_eq!(files.release(two), Released::default());
}

#[test]
fn an_open_in_flight_keeps_the_inode() {
    let mut files = OpenFiles::default();
    let one = open(&mut files, A);
    files.begin_open(A);
    assert!(files.release(one).close.is_empty());
    // It failed: then nobody else closes what the first one opened.
    assert_eq!(files.abandon_open(A), [A]);
}

#[test]
fn a_close_waits_for_creates_that_may_open_the_same_inode() {
    let mut files = OpenFiles::default();
    let ticket = files.begin_create();
    // The file is already visible: another program opens and closes it before our answer comes.
    let other = open(&mut files, A);
    assert!(files.release(other).close.is_empty());
    let (handle, close) = files.finish_create(ticket, Some(file(A)));
    assert!(close.is_empty());
    assert_eq!(files.release(handle.unwrap()).close, [A]);
}

#[test]
fn a_close_does_not_wait_for_later_creates() {
    let mut files = OpenFiles::default();
    let first = files.begin_create();
    let one = open(&mut files, A);
    assert!(files.release(one).close.is_empty());
    let _second = files.begin_create();
    let (handle, close) = files.finish_create(first, None);
    assert!(handle.is_none());
    assert_eq!(close, [A]);
}

#[test]
fn a_waiting_close_is_dropped_when_the_inode_is_opened_again() {
    let mut files = OpenFiles::default();
    let ticket = files.begin_create();
    let one = open(&mut files, A);
    files.release(one);
    let two = open(&mut files, A);
    assert!(files.finish_create(ticket, Some(file(B))).1.is_empty());
    assert_eq!(files.release(two).close, [A]);
}

#[test]
fn a_close_of_any_descriptor_takes_all_locks_of_that_process() {
    let mut files = OpenFiles::default();
    let (one, two) = (open(&mut files, A), open(&mut files, A));
    files.note_locker(one, LockOwner(1));
    assert!(!files.take_locker(A, LockOwner(2)));
    assert!(!files.take_locker(B, LockOwner(1)));
    assert!(files.take_locker(A, LockOwner(1)));
    assert!(!files.take_locker(A, LockOwner(1)));
    assert!(files.release(one).unlock.is_empty());
    assert!(files.release(two).unlock.is_empty());
}

#[test]
fn the_locks_of_a_file_description_go_with_it() {
    let mut files = OpenFiles::default();
    let (one, two) = (open(&mut files, A), open(&mut files, A));
    files.note_locker(one, LockOwner(1));
    files.note_locker(one, LockOwner(2));
    files.note_locker(two, LockOwner(2));
    assert_eq!(files.release(one).unlock, [LockOwner(1)]);
    assert_eq!(files.release(two).unlock, [LockOwner(2)]);
}

/// One step of a mount that makes, opens and closes files in any order.
#[derive(Clone, Copy, Debug)]
enum Step {
    BeginOpen(usize),
    EndOpen(usize, bool),
    BeginCreate,
    EndCreate(usize),
    Release(usize),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::*;
    prop_oneof![
        any::<usize>().prop_map(Step::BeginOpen),
        (any::<usize>(), any::<bool>()).prop_map(|(which, fails)| Step::EndOpen(which, fails)),
        Just(Step::BeginCreate),
        any::<usize>().prop_map(Step::EndCreate),
        any::<usize>().prop_map(Step::Release),
    ]
}

/// The server's set of open inodes, changed in the order in which this mount sends.
#[derive(Default)]
struct World {
    files: OpenFiles,
    server: HashSet<InodeId>,
    made: u64,
    opening: Vec<InodeId>,
    creating: Vec<(CreateTicket, InodeId)>,
    handles: Vec<(Handle, InodeId)>,
}

impl World {
    fn close(&mut self, inodes: Vec<InodeId>) {
        for ino in inodes {
            assert!(self.server.remove(&ino), "{ino} is closed twice");
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::BeginOpen(which) if self.made > 0 => {
                // Any of the last few, also one whose create is not yet answered here.
                let ino = InodeId(self.made - which as u64 % self.made.min(3));
                self.files.begin_open(ino);
                self.server.insert(ino);
                self.opening.push(ino);
            }
            Step::EndOpen(which, fails) if !self.opening.is_empty() => {
                let ino = self.opening.remove(which % self.opening.len());
                if fails {
                    let due = self.files.abandon_open(ino);
                    self.close(due);
                } else {
                    let handle = self.files.finish_open(file(ino));
                    self.handles.push((handle, ino));
                }
            }
            Step::BeginCreate => {
                // What it opens is seen by the server at once, and here only with the answer.
                self.made += 1;
                let ticket = self.files.begin_create();
                self.server.insert(InodeId(self.made));
                self.creating.push((ticket, InodeId(self.made)));
            }
            Step::EndCreate(which) if !self.creating.is_empty() => {
                let (ticket, ino) = self.creating.remove(which % self.creating.len());
                let (handle, due) = self.files.finish_create(ticket, Some(file(ino)));
                self.close(due);
                self.handles.push((handle.unwrap(), ino));
            }
            Step::Release(which) if !self.handles.is_empty() => {
                let (handle, _) = self.handles.remove(which % self.handles.len());
                let released = self.files.release(handle);
                self.close(released.close);
            }
            Step::BeginOpen(_) | Step::EndOpen(..) | Step::EndCreate(_) | Step::Release(_) => {}
        }
        let created = self.creating.iter().map(|(_, ino)| ino);
        for ino in self.handles.iter().map(|(_, ino)| ino).chain(&self.opening).chain(created) {
            assert!(self.server.contains(ino), "{ino} is in use and the server does not know");
        }
    }
}

proptest::proptest! {
    #[test]
    fn the_server_knows_of_every_file_in_use_and_of_no_other_in_the_end(
        steps in proptest::collection::vec(step(), 1..80)
    ) {
        let mut world = World::default();
        for step in steps {
            world.take(step);
        }
        while !world.opening.is_empty() {
            world.take(Step::EndOpen(0, true));
        }
        while !world.creating.is_empty() {
            world.take(Step::EndCreate(0));
        }
        while !world.handles.is_empty() {
            world.take(Step::Release(0));
        }
        assert!(world.server.is_empty() && world.files.inodes.is_empty() && world.files.closes.is_empty());
    }
}

#[test]
fn a_program_runs_until_the_last_handle_of_its_execve_goes() {
    let mut files = OpenFiles::default();
    let reader = open(&mut files, A);
    assert!(!files.is_run(A));
    files.begin_open(A);
    let program = files.finish_open(OpenFile { runs: true, ..file(A) });
    assert!(files.is_run(A) && !files.is_run(B));
    files.release(program);
    assert!(!files.is_run(A));
    files.release(reader);
}

#[test]
fn an_open_is_the_only_one_if_nothing_of_the_inode_is_on_its_way() {
    let mut files = OpenFiles::default();
    assert!(files.begin_open(A));
    assert!(!files.begin_open(A), "there is another");
    assert!(files.begin_open(B));
    files.abandon_open(A);
    assert_eq!(files.abandon_open(A), [A]);
    let ticket = files.begin_create();
    assert!(!files.begin_open(A), "the create may have opened it");
    assert_eq!(files.abandon_open(A), [], "the close waits for the create");
    files.finish_create(ticket, None);
    assert!(files.begin_open(A));
}

#[test]
fn an_open_that_takes_a_waiting_close_back_is_not_the_only_one() {
    let mut files = OpenFiles::default();
    files.begin_open(A);
    let _create = files.begin_create();
    assert_eq!(files.abandon_open(A), []);
    // No create is in flight any more, and the close has not been sent yet.
    files.creates.clear();
    assert!(!files.begin_open(A));
}
