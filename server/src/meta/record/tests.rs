#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Debug;

use holdfast_core::attr::{Attr, FileKind, Mode};
use holdfast_core::error::PosixError;
use holdfast_core::hash::FrameHash;
use holdfast_core::id::{CommitSeq, DataVersion, DirCookie, Epoch, InodeId, SegmentId, Seq, SessionId, VolumeId};
use holdfast_core::name::FileName;
use holdfast_core::op::{AppliedOp, OpReply, OpResult};
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Usage;
use proptest::prelude::*;

use super::entry::{Entry, Listed};
use super::extent::{Content, Frame};
use super::header::Header;
use super::inode::{Inode, NamedAt};
use super::segment::SegmentAccount;
use super::session::{SessionInfo, SessionRecord};
use super::text::Text;
use super::*;
use crate::meta::keys::{self, DataId};

fn kind() -> impl Strategy<Value = FileKind> {
    prop::sample::select(vec![
        FileKind::Regular,
        FileKind::Directory,
        FileKind::Symlink,
        FileKind::Fifo,
        FileKind::Socket,
        FileKind::CharDevice,
        FileKind::BlockDevice,
    ])
}

fn mode() -> impl Strategy<Value = Mode> {
    (0..=0o7777_u32).prop_map(Mode::from_bits)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Timestamp { secs, nanos })
}

prop_compose! {
    fn attr()(
        numbers in any::<[u64; 4]>(), small in any::<[u32; 4]>(), kind in kind(), mode in mode(),
        times in (time(), time(), time(), time()),
    ) -> Attr {
        let ([ino, size, allocated, version], [nlink, uid, gid, rdev]) = (numbers, small);
        let (atime, mtime, ctime, btime) = times;
        Attr {
            ino: InodeId(ino), kind, mode, nlink, uid, gid, rdev, size, allocated, atime, mtime, ctime, btime,
            data_version: DataVersion(version), no_xattrs: false,
        }
    }
}

prop_compose! {
    fn inode()(attr in attr(), size in 0..1_u64 << 62, data in 1..u64::MAX, end in 0..1_u64 << 62, more in any::<[u32; 2]>()) -> Inode {
        let (regular, directory) = (attr.kind == FileKind::Regular, attr.kind == FileKind::Directory);
        Inode {
            kind: attr.kind, mode: attr.mode, nlink: attr.nlink, uid: attr.uid, gid: attr.gid, rdev: attr.rdev, size,
            allocated: if regular { attr.allocated } else { 0 },
            atime: attr.atime, mtime: attr.mtime, ctime: attr.ctime, btime: attr.btime,
            data_version: attr.data_version,
            data: regular.then_some(DataId(data)),
            extent_end: if regular { end } else { 0 },
            xattr_bytes: more[0],
            parent: directory.then_some(InodeId(data)),
            entries: if directory { u64::from(more[1]) } else { 0 },
            named: (more[0] % 2 == 0).then_some(NamedAt { directory: InodeId(data), cookie: DirCookie(end) }),
        }
    }
}

fn content() -> impl Strategy<Value = Content> {
    let framed = (1..=65_536_u32, any::<[u64; 2]>(), any::<[u8; 32]>()).prop_flat_map(|(frame_len, place, hash)| {
        (0..frame_len).prop_flat_map(move |skip| {
            (1..=frame_len - skip).prop_map(move |len| {
                let [segment, position] = place;
                let frame = Frame { segment: SegmentId(segment), position, len: frame_len, hash: FrameHash(hash) };
                Content::Framed { frame, skip, len }
            })
        })
    });
    prop_oneof![
        (1..1_u64 << 62).prop_map(|len| Content::Reserved { len }),
        prop::collection::vec(any::<u8>(), 1..200).prop_map(|bytes| Content::Inline(bytes.into())),
        framed,
    ]
}

fn outcome() -> impl Strategy<Value = OpResult> {
    let error = prop::sample::select(vec![
        PosixError::NoEntry,
        PosixError::NoSpace,
        PosixError::Io,
        PosixError::NoLocks,
        PosixError::Retry,
        PosixError::TooManyLinks,
        PosixError::NotSupported,
    ]);
    prop_oneof![
        Just(Ok(OpReply::Done)),
        attr().prop_map(|attr| Ok(OpReply::Attr(attr))),
        (any::<u64>(), any::<u32>(), attr()).prop_map(|(offset, len, attr)| Ok(OpReply::Written { offset, len, attr })),
        (any::<u64>(), attr()).prop_map(|(len, attr)| Ok(OpReply::Copied { len, attr })),
        error.prop_map(Err),
    ]
}

prop_compose! {
    fn session()(
        id in any::<[u8; 16]>(), host in ".{0,40}", program in ".{0,40}", pid in any::<u32>(), read_only in any::<bool>(),
        started in time(), first in 1..1_u64 << 40, outcomes in prop::collection::vec((any::<u64>(), outcome()), 0..5),
    ) -> SessionRecord {
        let outcomes: Vec<AppliedOp> = (first..).zip(outcomes)
            .map(|(seq, (commit, result))| AppliedOp { seq: Seq(seq), commit: CommitSeq(commit), result })
            .collect();
        let applied = outcomes.last().map_or(Seq(first), |last| last.seq);
        let info = SessionInfo { id: SessionId(id), host, pid, program, read_only, started };
        SessionRecord { info, applied, received: Seq(first - 1), outcomes }
    }
}

/// It comes back as it was; cut anywhere, or with a byte more, it is refused or another value, and
/// never a panic. `open_ended`: its last field takes whatever there is.
fn round_trip<R: Record + PartialEq + Debug>(record: &R, open_ended: bool) {
    let bytes = record.encode();
    assert_eq!(&R::decode(&bytes).unwrap(), record);
    for len in 0..bytes.len() {
        let cut = R::decode(&bytes.slice(..len));
        assert!(open_ended || cut.is_err(), "{len} of {} bytes were accepted", bytes.len());
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(open_ended || R::decode(&longer.into()).is_err(), "a byte more was accepted");
    let mut newer = bytes.to_vec();
    newer[0] += 1;
    assert!(R::decode(&newer.into()).is_err(), "another version was accepted");
}

/// A decoder accepts only what its encoder writes, byte for byte.
fn only_what_is_written<R: Record>(bytes: &Bytes) {
    if let Ok(record) = R::decode(bytes) {
        assert_eq!(record.encode(), *bytes);
    }
}

fn every_decoder(bytes: &Bytes) {
    only_what_is_written::<Inode>(bytes);
    only_what_is_written::<Entry>(bytes);
    only_what_is_written::<Listed>(bytes);
    only_what_is_written::<Content>(bytes);
    only_what_is_written::<Header>(bytes);
    only_what_is_written::<SegmentAccount>(bytes);
    only_what_is_written::<SessionRecord>(bytes);
    only_what_is_written::<Text>(bytes);
}

proptest! {
    #[test]
    fn inodes(inode in inode()) {
        round_trip(&inode, false);
    }

    #[test]
    fn entries(ino in any::<u64>(), kind in kind(), cookie in any::<u64>(), name in "[^/\0.]{1,60}") {
        round_trip(&Entry { ino: InodeId(ino), kind, cookie: DirCookie(cookie) }, false);
        round_trip(&Listed { ino: InodeId(ino), kind, name: FileName::new(name).unwrap() }, true);
    }

    #[test]
    fn extents(content in content()) {
        round_trip(&content, matches!(content, Content::Inline(_)));
    }

    #[test]
    fn sessions(session in session()) {
        round_trip(&session, false);
    }

    #[test]
    fn headers_accounts_and_texts(numbers in any::<[u32; 7]>(), id in any::<[u8; 16]>(), clean in any::<bool>(), created in time()) {
        let [epoch, commit, ahead, segment, bytes, inodes, len] = numbers.map(u64::from);
        let header = Header {
            volume: VolumeId(id), created, epoch: Epoch(epoch), clean, last_commit: CommitSeq(commit),
            commit_bound: CommitSeq(commit + 1 + ahead), next_segment: SegmentId(segment + 1), inode_blocks: bytes,
            usage: Usage { bytes, inodes },
        };
        round_trip(&header, false);
        round_trip(&SegmentAccount { len, live: bytes }, false);
        round_trip(&Text(Bytes::copy_from_slice(&id)), true);
    }

    #[test]
    fn noise_is_never_misread(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        every_decoder(&bytes.into());
    }

    /// Noise hardly ever gets past the first byte; one flipped bit in a real record does.
    #[test]
    fn flipped_bits_are_never_misread(inode in inode(), content in content(), session in session(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        for bytes in [inode.encode(), content.encode(), session.encode()] {
            let mut bytes = bytes.to_vec();
            let index = at.index(bytes.len());
            bytes[index] ^= 1_u8 << bit;
            every_decoder(&bytes.into());
        }
    }
}

#[test]
fn damage_is_reported_with_its_key() {
    let key = keys::inode(InodeId(42));
    let error = decode::<Inode>(&key, &Bytes::from_static(b"\x01\x02")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert_eq!(error.message(), "metadata record I 42 is damaged: it is too short");
}

#[test]
fn another_format_is_not_called_damage() {
    let error = Header::read(&Bytes::from_static(b"\x07rest")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
    assert_eq!(Header::read(&Bytes::from_static(b"\x02rest")).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn slices_of_extents_keep_their_place() {
    let frame = Frame { segment: SegmentId(1), position: 0, len: 100, hash: FrameHash([0; 32]) };
    let framed = Content::Framed { frame, skip: 10, len: 50 };
    assert_eq!(framed.slice(5, 20), Content::Framed { frame, skip: 15, len: 15 });
    assert_eq!(Content::Inline(Bytes::from_static(b"abcdef")).slice(2, 4), Content::Inline(Bytes::from_static(b"cd")));
    assert_eq!(Content::Reserved { len: 9 }.slice(1, 3), Content::Reserved { len: 2 });
}

fn hex(bytes: &Bytes) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sample_attr() -> Attr {
    let time = |secs| Timestamp { secs, nanos: 5 };
    Attr {
        ino: InodeId(9),
        kind: FileKind::Regular,
        mode: Mode::from_bits(0o4755),
        nlink: 2,
        uid: 3,
        gid: 4,
        rdev: 0,
        size: 0x1234,
        allocated: 0x1000,
        atime: time(1),
        mtime: time(-1),
        ctime: time(3),
        btime: time(4),
        data_version: DataVersion(6),
        no_xattrs: false,
    }
}

/// The bytes of docs/FORMAT.md: whoever changes one of these makes a new version.
#[test]
fn records_have_their_golden_bytes() {
    let header = Header {
        volume: VolumeId([0xab; 16]),
        created: Timestamp { secs: 1, nanos: 2 },
        epoch: Epoch(3),
        clean: true,
        last_commit: CommitSeq(4),
        commit_bound: CommitSeq(5),
        next_segment: SegmentId(6),
        inode_blocks: 3,
        usage: Usage { bytes: 7, inodes: 8 },
    };
    let golden = [
        "02",
        "abababababababababababababababab",
        "000000000000000100000002",
        "0000000000000003",
        "01",
        "0000000000000004",
        "0000000000000005",
        "0000000000000006",
        "0000000000000003",
        "0000000000000007",
        "0000000000000008",
    ];
    assert_eq!((header.encode().len(), hex(&header.encode())), (86, golden.concat()));

    let attr = sample_attr();
    let inode = Inode {
        kind: attr.kind,
        mode: attr.mode,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        size: attr.size,
        allocated: attr.allocated,
        atime: attr.atime,
        mtime: attr.mtime,
        ctime: attr.ctime,
        btime: attr.btime,
        data_version: attr.data_version,
        data: Some(DataId(7)),
        extent_end: 0x2000,
        xattr_bytes: 8,
        parent: None,
        entries: 0,
        named: Some(NamedAt { directory: InodeId(9), cookie: DirCookie(10) }),
    };
    let stat = [
        "01",
        "09ed",
        "00000002",
        "00000003",
        "00000004",
        "00000000",
        "0000000000001234",
        "0000000000001000",
        "000000000000000100000005",
        "ffffffffffffffff00000005",
        "000000000000000300000005",
        "000000000000000400000005",
        "0000000000000006",
    ]
    .concat();
    let golden = format!("01{stat}0000000000000007{:016x}{:08x}{:016x}{:016x}{:016x}{:016x}", 0x2000, 8, 0, 0, 9, 10);
    assert_eq!((inode.encode().len(), hex(&inode.encode())), (144, golden));

    let entry = Entry { ino: InodeId(9), kind: FileKind::Directory, cookie: DirCookie(10) };
    assert_eq!(hex(&entry.encode()), "01000000000000000902000000000000000a");
    let listed = Listed { ino: InodeId(9), kind: FileKind::Symlink, name: FileName::new("ab").unwrap() };
    assert_eq!(hex(&listed.encode()), "010000000000000009036162");
    assert_eq!(hex(&Text(Bytes::from_static(b"xy")).encode()), "017879");
    assert_eq!(hex(&SegmentAccount { len: 1, live: 2 }.encode()), format!("01{:016x}{:016x}", 1, 2));

    assert_eq!(hex(&Content::Reserved { len: 9 }.encode()), "01000000000000000009");
    assert_eq!(hex(&Content::Inline(Bytes::from_static(b"xy")).encode()), "01017879");
    let frame = Frame { segment: SegmentId(2), position: 3, len: 100, hash: FrameHash([0xcd; 32]) };
    let golden = format!("0102{:08x}{:016x}{:016x}{:08x}{:08x}{}", 50, 2, 3, 100, 10, "cd".repeat(32));
    assert_eq!(hex(&Content::Framed { frame, skip: 10, len: 50 }.encode()), golden);
    let golden = format!("4846465201000000{:08x}00000000{:016x}{:016x}{}", 100, 2, 3, "cd".repeat(32));
    let header = crate::segment::frame::encode_header(&frame);
    assert_eq!(hex(&Bytes::copy_from_slice(&header)), golden);

    let outcome = |seq, result| AppliedOp { seq: Seq(seq), commit: CommitSeq(seq + 16), result };
    let session = SessionRecord {
        info: SessionInfo {
            id: SessionId([0xee; 16]),
            host: "h".into(),
            pid: 5,
            program: "p".into(),
            read_only: false,
            started: Timestamp { secs: 1, nanos: 2 },
        },
        applied: Seq(5),
        received: Seq(0),
        outcomes: vec![
            outcome(1, Ok(OpReply::Done)),
            outcome(2, Ok(OpReply::Attr(attr))),
            outcome(3, Ok(OpReply::Written { offset: 7, len: 8, attr })),
            outcome(4, Ok(OpReply::Copied { len: 9, attr })),
            outcome(5, Err(PosixError::Io)),
        ],
    };
    let golden = [
        format!("01{}000168000000050001700000000000000000010000000200000000000000050000000000000000", "ee".repeat(16)),
        format!("00000005{:016x}{:016x}00", 1, 17),
        format!("{:016x}{:016x}01{:016x}{stat}", 2, 18, 9),
        format!("{:016x}{:016x}02{:016x}{:08x}{:016x}{stat}", 3, 19, 7, 8, 9),
        format!("{:016x}{:016x}03{:016x}{:016x}{stat}", 4, 20, 9, 9),
        format!("{:016x}{:016x}041b", 5, 21),
    ];
    assert_eq!(hex(&session.encode()), golden.concat());
}

#[test]
fn every_error_has_a_number_of_its_own() {
    let numbers: std::collections::BTreeSet<u8> = outcome::ERRORS.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, (1..=28).collect());
    let listed: std::collections::HashSet<PosixError> = outcome::ERRORS.iter().map(|(error, _)| *error).collect();
    assert_eq!(listed.len(), 28);
}
