//! What clients foretell is what happens.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use holdfast_core::attr::{SetAttr, SetTime};
use holdfast_core::id::InodeId;
use holdfast_core::op::{Caller, NewNode, Op, OpReply, RenameMode, WriteAt, WriteData};
use holdfast_core::predict;
use proptest::prelude::*;

use crate::store::fixture::{ROOT, Volume, at, mode, name};

/// A change of the one file, or of names in the one directory.
#[derive(Clone, Debug)]
enum Step {
    Write { offset: u64, len: usize },
    Append { len: usize },
    WriteBack { offset: u64, len: usize },
    Set(SetAttr),
    Empty,
    Read,
    Make { node: NewNode, bits: u32 },
    Link,
    Unlink,
    Move,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![Just(0_u64), 0..9000_u64];
    let set = (any::<Option<u16>>(), any::<Option<u32>>(), proptest::option::of(size), any::<bool>()).prop_map(
        |(bits, uid, size, touch)| SetAttr {
            mode: bits.map(|bits| mode(bits.into())),
            uid,
            size,
            mtime: touch.then_some(SetTime::Now),
            atime: touch.then_some(SetTime::To(at(-7))),
            ctime: (touch && uid.is_some()).then_some(at(70)),
            ..SetAttr::default()
        },
    );
    let node = prop_oneof![
        Just(NewNode::File { open: false }),
        Just(NewNode::Directory),
        Just(NewNode::Symlink { target: Bytes::from_static(b"there") }),
    ];
    prop_oneof![
        (0..8000_u64, 1..5000_usize).prop_map(|(offset, len)| Step::Write { offset, len }),
        (1..5000_usize).prop_map(|len| Step::Append { len }),
        (0..8000_u64, 1..5000_usize).prop_map(|(offset, len)| Step::WriteBack { offset, len }),
        set.prop_map(Step::Set),
        Just(Step::Empty),
        Just(Step::Read),
        (node, 0..0o10000_u32).prop_map(|(node, bits)| Step::Make { node, bits }),
        Just(Step::Link),
        Just(Step::Unlink),
        Just(Step::Move),
    ]
}

/// Does one step; whether it was foretold, and so compared.
fn follows(volume: &Volume, (directory, file): (InodeId, InodeId), number: usize, step: &Step) -> bool {
    let (parent, before) = (volume.attr(directory), volume.attr(file));
    // The clock of these volumes goes on with each operation.
    let now = at(volume.now().secs + 1);
    let fresh = |number: usize| format!("n{number}");
    let written = |at: WriteAt, len: usize| {
        let offset = at.offset().unwrap_or(before.size);
        let data = WriteData::Inline(Bytes::from(vec![1; len]));
        let done = volume.apply(Op::Write { ino: file, at, data, kill_privileges: false });
        let foretold = predict::written(&before, at, u32::try_from(len).unwrap(), now);
        let Some(attr) = foretold else { return false };
        assert_eq!(done, Ok(OpReply::Written { offset, len: u32::try_from(len).unwrap(), attr }));
        true
    };
    match step {
        Step::Write { offset, len } => written(WriteAt::Offset(*offset), *len),
        Step::Append { len } => written(WriteAt::End, *len),
        Step::WriteBack { offset, len } => written(WriteAt::WrittenBack(*offset), *len),
        Step::Set(set) => {
            let done = volume.setattr(file, *set);
            let Some(attr) = predict::set(&before, set, now) else { return false };
            assert_eq!(done, Ok(attr));
            true
        }
        Step::Empty => {
            let done = volume.attr_of(Op::Open { ino: file, truncate: true, kill_privileges: false });
            let Some(attr) = predict::emptied(&before, now) else { return false };
            assert_eq!(done, Ok(attr));
            true
        }
        Step::Read => {
            let done = volume.attr_of(Op::Touch { ino: file });
            let Some(attr) = predict::read(&before, now) else { return false };
            assert_eq!(done, Ok(attr));
            true
        }
        Step::Make { node, bits } => {
            let op = Op::Create {
                parent: directory,
                name: name(&fresh(number)),
                node: node.clone(),
                mode: mode(*bits).into(),
                ino: None,
            };
            let done = volume.attr_of(op).unwrap();
            let caller = Caller::default();
            let made = predict::made(&parent, done.ino, node, mode(*bits).into(), caller, now).unwrap();
            assert_eq!(done, made);
            let below = i32::from(matches!(node, NewNode::Directory));
            assert_eq!(predict::names_changed(&parent, below, now), Some(volume.attr(directory)));
            true
        }
        Step::Link => {
            let done = volume.link(file, directory, &fresh(number));
            assert_eq!(done.ok(), predict::links_changed(&before, 1, now));
            assert_eq!(predict::names_changed(&parent, 0, now), Some(volume.attr(directory)));
            true
        }
        Step::Unlink => {
            volume.link(file, directory, &fresh(number)).unwrap();
            let (parent, before) = (volume.attr(directory), volume.attr(file));
            assert_eq!(volume.unlink(directory, &fresh(number)), Ok(OpReply::Done));
            assert_eq!(predict::links_changed(&before, -1, volume.now()), Some(volume.attr(file)));
            assert_eq!(predict::names_changed(&parent, 0, volume.now()), Some(volume.attr(directory)));
            true
        }
        Step::Move => {
            volume.link(file, directory, &fresh(number)).unwrap();
            let (parent, before) = (volume.attr(directory), volume.attr(file));
            let to = format!("m{number}");
            let moved = volume.rename((directory, &fresh(number)), (directory, &to), RenameMode::Replace);
            assert_eq!(moved, Ok(OpReply::Done));
            assert_eq!(predict::links_changed(&before, 0, volume.now()), Some(volume.attr(file)));
            assert_eq!(predict::names_changed(&parent, 0, volume.now()), Some(volume.attr(directory)));
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_foretold_happens(steps in prop::collection::vec(step(), 1..40)) {
        let volume = Volume::new();
        let directory = volume.dir(ROOT, "d").unwrap();
        let file = volume.file(directory, "f").unwrap();
        for (number, step) in steps.iter().enumerate() {
            follows(&volume, (directory, file), number, step);
        }
        // Most is foretold at least at the start.
        let fresh = volume.file(directory, "fresh").unwrap();
        for step in [Step::Append { len: 3 }, Step::Empty] {
            let foretold = follows(&volume, (directory, fresh), 100, &step);
            prop_assert!(foretold);
        }
        volume.sound();
    }
}
