//! Crashes on real files: what is left is a prefix of what was done, with every commit in it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use holdfast_core::id::{InodeId, Seq, StageId, VolumeId};
use holdfast_core::op::{Caller, LoggedOp, NewNode, Op, OpReply, RenameMode, WriteAt, WriteData};
use holdfast_core::volume::Quota;
use proptest::prelude::*;

use crate::store::compact::compact_all;
use crate::store::fixture::{ROOT, SESSION, at, mode, name, noise, session_info, snapshot};
use crate::store::{ApplyContext, RootOwner, SharedMemory, Store, StoreOptions};

fn options() -> StoreOptions {
    StoreOptions {
        memory: SharedMemory::new(8 << 20, 8 << 20),
        disk_reserve_bytes: 0,
        segment_bytes_max: 2 << 20,
        engine_files_max: 64,
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

struct Run {
    store: Store,
    seq: Seq,
    files: Vec<InodeId>,
}

impl Run {
    fn apply(&mut self, op: Op, staged: Option<crate::store::StagedData>) -> Option<OpReply> {
        self.seq = self.seq.next();
        let op = LoggedOp { seq: self.seq, caller: Caller::default(), time: None, replay_of: None, op };
        let now = at(i64::try_from(self.seq.0).unwrap());
        let context = ApplyContext { now, quota: Quota::default(), is_open: &|_| false, staged, refused: None };
        self.store.apply(SESSION, &op, &context).unwrap().result.ok()
    }

    /// One of the changes that matter for a crash: names, small data, large data, deletes.
    fn step(&mut self, choice: u64) {
        let text = |number: u64| name(&format!("f{}", number % 8));
        let file = |run: &Self| run.files.get(usize::try_from(choice / 8).unwrap() % run.files.len().max(1)).copied();
        match choice % 6 {
            0 | 1 => {
                let op = Op::Create {
                    parent: ROOT,
                    name: text(choice / 6),
                    node: NewNode::File { open: false },
                    mode: mode(0o644).into(),
                    ino: None,
                };
                if let Some(OpReply::Attr(attr)) = self.apply(op, None) {
                    self.files.push(attr.ino);
                }
            }
            2 => {
                let Some(ino) = file(self) else { return };
                let data = WriteData::Inline(noise(choice, 3000).into());
                self.apply(Op::Write { ino, at: WriteAt::End, data, kill_privileges: false }, None);
            }
            3 => {
                let Some(ino) = file(self) else { return };
                let staged = self.store.stage(Bytes::from(noise(choice, 150_000))).unwrap();
                let data = WriteData::Staged { stage: StageId(1), len: 150_000 };
                let at = WriteAt::Offset(choice % 100_000);
                self.apply(Op::Write { ino, at, data, kill_privileges: false }, Some(staged));
            }
            4 => {
                self.apply(Op::Unlink { parent: ROOT, name: text(choice / 6) }, None);
            }
            _ => {
                let (from, to) = (text(choice / 6), text(choice / 48));
                let mode = RenameMode::Replace;
                self.apply(Op::Rename { parent: ROOT, name: from, new_parent: ROOT, new_name: to, mode }, None);
            }
        }
    }
}

fn begin(dir: &Path) -> Run {
    Store::create(dir, VolumeId([3; 16]), at(1), RootOwner { uid: 0, gid: 0, mode: mode(0o755) }).unwrap();
    let store = Store::open(dir, &options()).unwrap();
    store.begin_session(session_info(SESSION)).unwrap();
    store.commit().unwrap();
    Run { store, seq: Seq(0), files: Vec::new() }
}

fn assert_state(store: &Store, expected: &str) {
    assert_eq!(store.check_now().unwrap().findings, Vec::new());
    assert!(snapshot(store) == expected, "the state is not the one at that point");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// `kill -9`, at random points, several times over.
    #[test]
    fn a_killed_server_leaves_the_last_commit(rounds in prop::collection::vec(
        prop::collection::vec((any::<u32>(), 0..6_u8), 1..40), 1..4,
    )) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume");
        let mut run = begin(&path);
        for round in rounds {
            let (mut committed, mut durable) = (snapshot(&run.store), run.seq);
            for (choice, then) in round {
                run.step(u64::from(choice));
                match then {
                    0 => {
                        run.store.commit().unwrap();
                        (committed, durable) = (snapshot(&run.store), run.seq);
                    }
                    1 => drop(run.store.reap(5).unwrap()),
                    2 => drop(compact_all(&run.store, |_, account| account.live < account.len).unwrap()),
                    _ => {}
                }
            }
            let Run { store, files, .. } = run;
            drop(store);
            let store = Store::open(&path, &options()).unwrap();
            prop_assert!(!store.clean());
            prop_assert_eq!(store.session(SESSION).unwrap().applied, durable);
            assert_state(&store, &committed);
            run = Run { store, seq: durable, files };
        }
    }

    /// A copy of the files at some moment, with the engine's log cut off anywhere in what was
    /// written last: a power cut in the middle of a commit.
    #[test]
    fn a_torn_commit_leaves_the_one_before(choices in prop::collection::vec(any::<u32>(), 1..30), cut in 1..4000_u64) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume");
        let mut run = begin(&path);
        let half = choices.len() / 2;
        choices[..half].iter().for_each(|choice| run.step(u64::from(*choice)));
        run.store.commit().unwrap();
        let before = snapshot(&run.store);
        let log_before = newest_log(&path);
        choices[half..].iter().for_each(|choice| run.step(u64::from(*choice)));
        run.store.commit().unwrap();
        let after = snapshot(&run.store);
        let copy = dir.path().join("copy");
        copy_tree(&path, &copy);
        let log = newest_log(&copy);
        prop_assert_eq!(log.0.file_name(), log_before.0.file_name());
        let len = log.1.saturating_sub(cut).max(log_before.1);
        fs::OpenOptions::new().write(true).open(&log.0).unwrap().set_len(len).unwrap();
        let store = Store::open(&copy, &options()).unwrap();
        assert_state(&store, if len < log.1 { &before } else { &after });
    }
}

/// The engine's current log and its length.
fn newest_log(volume: &Path) -> (std::path::PathBuf, u64) {
    let logs = fs::read_dir(volume.join("meta")).unwrap().map(|entry| entry.unwrap().path());
    let newest = logs.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap();
    let len = fs::metadata(&newest).unwrap().len();
    (newest, len)
}

#[test]
fn a_clean_stop_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("volume");
    let mut run = begin(&path);
    (0..200).for_each(|choice| run.step(choice * 7));
    let (expected, epoch) = (snapshot(&run.store), run.store.epoch());
    run.store.close().unwrap();
    let store = Store::open(&path, &options()).unwrap();
    assert!(store.clean() && store.epoch() > epoch);
    assert_state(&store, &expected);
    drop(store);
    assert!(!Store::open(&path, &options()).unwrap().clean(), "an owner that did not say goodbye");
}

#[test]
fn a_bit_flipped_on_disk_is_reported_as_damage() {
    use std::os::unix::fs::FileExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("volume");
    let mut run = begin(&path);
    run.step(0);
    run.step(3);
    run.store.close().unwrap();
    let segment = fs::read_dir(path.join("segments")).unwrap().next().unwrap().unwrap().path();
    let file = fs::OpenOptions::new().read(true).write(true).open(segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 70_000).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], 70_000).unwrap();
    let store = Store::open(&path, &options()).unwrap();
    let error = store.read(run.files[0], 60_000, 100_000).unwrap_err();
    assert_eq!(error.kind(), holdfast_core::error::ErrorKind::Damaged);
    assert!(store.read(run.files[0], 140_000, 1000).is_ok());
}
