//! Many threads on one store: every read sees whole operations, and nothing waits for ever.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use holdfast_core::id::{DirCookie, Seq, SessionId, StageId};
use holdfast_core::op::{Caller, LoggedOp, NewNode, Op, OpReply, RenameMode, WriteAt, WriteData};
use holdfast_core::volume::Quota;

use crate::store::fixture::{ROOT, Volume, at, mode, name, session_info};
use crate::store::{ApplyContext, StagedData, Store};

fn apply(store: &Store, session: SessionId, seq: u64, op: Op, staged: Option<StagedData>) -> OpReply {
    let op = LoggedOp { seq: Seq(seq), caller: Caller::default(), time: None, replay_of: None, op };
    let context = ApplyContext { now: at(5), quota: Quota::default(), is_open: &|_| false, staged, refused: None };
    let applied = store.apply(session, &op, &context).unwrap();
    store.confirm(session, applied.seq).unwrap();
    applied.result.unwrap()
}

#[test]
fn readers_writers_and_the_committer_work_at_the_same_time() {
    const ROUNDS: u64 = 300;
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write(file, 0, &[0; 200_000 % 65_536]).unwrap();
    volume.truncate(file, 200_000).unwrap();
    volume.file(ROOT, "a").unwrap();
    let store = &volume.store;
    let done = AtomicBool::new(false);
    let sessions = [SessionId([11; 16]), SessionId([12; 16])];
    for session in sessions {
        store.begin_session(session_info(session)).unwrap();
    }
    std::thread::scope(|threads| {
        let writers = [
            // Writes the whole file with one byte, again and again.
            threads.spawn(|| {
                for round in 1..=ROUNDS {
                    let fill = u8::try_from(round % 200).unwrap();
                    let staged = store.stage(Bytes::from(vec![fill; 200_000])).unwrap();
                    let data = WriteData::Staged { stage: StageId(round), len: 200_000 };
                    let op = Op::Write { ino: file, at: WriteAt::Offset(0), data, kill_privileges: false };
                    apply(store, sessions[0], round, op, Some(staged));
                }
            }),
            // Renames one entry to and fro.
            threads.spawn(|| {
                for round in 1..=ROUNDS {
                    let (from, to) = if round % 2 == 1 { ("a", "b") } else { ("b", "a") };
                    let mode = RenameMode::NoReplace;
                    let op = Op::Rename { parent: ROOT, name: name(from), new_parent: ROOT, new_name: name(to), mode };
                    apply(store, sessions[1], round, op, None);
                }
            }),
        ];
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.commit().unwrap();
                store.reap(100).unwrap();
            }
        });
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let read = store.read(file, 0, 200_000).unwrap();
                    let mut bytes = read.pieces.iter().flat_map(|piece| piece.data.iter());
                    let first = bytes.next().copied().unwrap_or(0);
                    assert!(bytes.all(|byte| *byte == first), "a read saw half of a write");
                    let page = store.readdir(ROOT, DirCookie(0), 10, true).unwrap();
                    assert_eq!(page.entries.len(), 2, "a listing saw half of a rename");
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    volume.sound();
    let create =
        Op::Create { parent: ROOT, name: name("z"), node: NewNode::Directory, mode: mode(0o755).into(), ino: None };
    assert!(matches!(apply(store, sessions[0], ROUNDS + 1, create, None), OpReply::Attr(_)));
}
