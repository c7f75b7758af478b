#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

use bytes::Bytes;
use holdfast_core::attr::Mode;
use holdfast_core::id::VolumeId;
use holdfast_core::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::header::OCTAL_11_MAX;
use crate::member::Kind;
use crate::sparse::{Map, Stretch};
use crate::write::Writer;

fn label() -> Label {
    Label {
        volume: "data".to_owned(),
        id: VolumeId([7; 16]),
        by: "test 1".to_owned(),
        made: Timestamp { secs: 1_700_000_000, nanos: 5 },
        spec: None,
    }
}

fn member(path: &[u8], kind: Kind) -> Member {
    Member {
        path: path.to_vec(),
        kind,
        mode: Mode::from_bits(0o4751),
        uid: 4_000_000_000,
        gid: 12,
        mtime: Timestamp { secs: -2, nanos: 500_000_000 },
        atime: Some(Timestamp { secs: 1, nanos: 1 }),
        ctime: Some(Timestamp { secs: OCTAL_11_MAX.cast_signed() + 1, nanos: 0 }),
        xattrs: vec![(b"user.a=b%".to_vec(), Bytes::from_static(b"x\0\n=")), (b"user.empty".to_vec(), Bytes::new())],
    }
}

type Content = Vec<(u64, Vec<u8>)>;

fn write(members: &[(Member, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &label()).unwrap();
    for (member, content) in members {
        writer.member(member).unwrap();
        writer.data(content).unwrap();
        assert_eq!(writer.missing(), 0);
    }
    writer.finish(3).unwrap().0
}

fn read(bytes: &[u8]) -> Result<(Vec<(Member, Content)>, Finish)> {
    let mut reader = Reader::new(bytes);
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut content = Vec::new();
        while let Some((offset, piece)) = reader.data()? {
            content.push((offset, piece.to_vec()));
        }
        members.push((member, content));
    }
    Ok((members, reader.finish()))
}

fn samples() -> Vec<(Member, Vec<u8>)> {
    let file = |size| Kind::File { size, map: None };
    let map =
        Map::new(vec![Stretch { start: 4096, len: 4096 }, Stretch { start: 9_000_000_000, len: 3 }], 9_000_000_003);
    let sparse = Kind::File { size: 9_000_000_003, map: Some(map.unwrap()) };
    let hole = Kind::File { size: 1 << 40, map: Some(Map::default()) };
    vec![
        (member(b".", Kind::Directory), Vec::new()),
        (member(b"plain", file(5)), b"hello".to_vec()),
        (member(b"empty", file(0)), Vec::new()),
        (member(&[b'n'; 255], file(512)), vec![1; 512]),
        (member("\u{e9}\n\u{1f600}".as_bytes(), file(1025)), vec![2; 1025]),
        (member(b"not \xff\xfe utf-8", Kind::Link { target: b"plain".to_vec() }), Vec::new()),
        (member(b"link", Kind::Symlink { target: vec![b't'; 4095].into() }), Vec::new()),
        (member(b"odd link", Kind::Symlink { target: Bytes::from_static(b"\xff/..") }), Vec::new()),
        (member(b"pipe", Kind::Fifo), Vec::new()),
        (member(b"socket", Kind::Socket), Vec::new()),
        (member(b"null", Kind::CharDevice { rdev: 0x103 }), Vec::new()),
        (member(b"disk", Kind::BlockDevice { rdev: 0xfff_fffff }), Vec::new()),
        (member(b"sparse", sparse), [vec![3; 4096], vec![4; 3]].concat()),
        (member(b"hole", hole), Vec::new()),
        (member(b"d", Kind::Directory), Vec::new()),
        (member(&[b"d/".repeat(3000), b"f".to_vec()].concat(), file(1)), b"x".to_vec()),
    ]
}

/// A hole at the end has an empty stretch in the archive.
fn as_read(member: &Member) -> Member {
    let mut member = member.clone();
    if let Kind::File { size, map: Some(map) } = &mut member.kind {
        let mut stretches = map.stretches().to_vec();
        if stretches.last().map_or(0, Stretch::end) < *size {
            stretches.push(Stretch { start: *size, len: 0 });
        }
        *map = Map::new(stretches, *size).unwrap();
    }
    member
}

#[test]
fn everything_comes_back() {
    let samples = samples();
    let bytes = write(&samples);
    assert_eq!(bytes.len() % 10_240, 0);
    let (members, finish) = read(&bytes).unwrap();
    assert_eq!(members.len(), samples.len());
    for ((found, content), (written, data)) in members.iter().zip(&samples) {
        // Paths are as they were but for empty and single dots, which only a check takes out.
        let mut expected = as_read(written);
        expected.xattrs.iter_mut().for_each(|(_, value)| *value = value.clone());
        assert_eq!(found, &expected, "{}", show(&written.path));
        let together: Vec<u8> = content.iter().flat_map(|(_, piece)| piece.clone()).collect();
        assert_eq!(&together, data, "{}", show(&written.path));
    }
    assert_eq!(members[12].1, [(4096, vec![3; 4096]), (9_000_000_000, vec![4; 3])]);
    assert_eq!(finish.label, Some(label()));
    let ending = finish.ending.unwrap();
    assert_eq!((ending.members, ending.warnings, finish.members), (16, 3, 16));
    let hash = blake3::hash(&bytes[..usize::try_from(ending.bytes).unwrap()]);
    assert_eq!(ending.blake3.0, *hash.as_bytes(), "anybody can check it");
}

#[test]
fn an_archive_begins_as_the_page_says() {
    let bytes = write(&[]);
    assert_eq!(bytes.len(), 10_240);
    assert_eq!(&bytes[..17], b"pax_global_header");
    assert_eq!(bytes[156], b'g');
    let text = "43 comment=Holdfast archive of volume data\n22 HOLDFAST.archive=1\n24 HOLDFAST.volume=data\n";
    assert!(bytes[512..].starts_with(text.as_bytes()), "{}", bytes[512..700].escape_ascii());
}

#[test]
fn every_cut_is_an_error() {
    let samples = samples();
    let bytes = write(&samples);
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 512 * 512 + 512;
    // After the end record and a block of zeros nothing is missing.
    let lengths = (0..end + 512).step_by(171).chain((0..end + 512).step_by(512));
    let mut cuts = 0;
    for len in lengths {
        let error = read(&bytes[..len]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Damaged), "cut to {len}: {error:?}");
        cuts += 1;
    }
    // Also where somebody put an end mark behind what was cut.
    for len in (0..end - 1024).step_by(512) {
        let marked = [&bytes[..len], &[0; 1024][..]].concat();
        assert!(len < 1024 || read(&marked).is_err(), "cut to {len} and ended");
        cuts += 1;
    }
    assert!(cuts > 150, "only {cuts} cuts");
}

#[test]
fn every_changed_byte_is_an_error() {
    let bytes = write(&samples());
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut tried = 0;
    // The last bytes of the last record's block fill it and say nothing.
    for at in (0..end).step_by(7) {
        let mut bad = bytes.clone();
        bad[at] ^= 0x20;
        assert!(read(&bad).is_err(), "byte {at} of {end}");
        tried += 1;
    }
    assert!(tried > 1000, "only {tried} bytes");
}

#[test]
fn garbage_is_no_archive() {
    for bad in [&b""[..], b"hello", &[b'x'; 10_240], &[0xff; 512], b"\x1f\x8b\x08\0\0\0\0\0", &[b'\n'; 511]] {
        let error = read(bad).unwrap_err();
        assert!(error.message().contains("the archive, at byte"), "{error:?}");
    }
}

#[test]
fn claims_take_no_memory() {
    // Headers that claim far more than there is.
    for (kind, size) in [(flag::EXTENDED, 60 << 20), (flag::GNU_LONG_NAME, 1 << 20), (flag::FILE, OCTAL_11_MAX)] {
        let bytes = [&Header::new(kind, b"x", size).encode()[..], &[b'1'; 512]].concat();
        assert!(read(&bytes).is_err());
    }
    let bytes = Header::new(flag::EXTENDED, b"x", 1 << 32).encode();
    assert!(read(&bytes).unwrap_err().message().contains("too many"));
}

proptest! {
    #[test]
    fn no_bytes_break_it(blocks in prop::collection::vec((any::<u8>(), "[a-z/.]{0,20}", 0..3000_u64, "[0-9\n=.a-zA-Z ]{0,500}"), 0..8)) {
        let mut bytes = Vec::new();
        for (kind, name, size, text) in blocks {
            let kind = b"0123456xgLKSDVX"[usize::from(kind) % 15];
            let size = if size % 2 == 0 { text.len() as u64 } else { size };
            bytes.extend_from_slice(&Header::new(kind, name.as_bytes(), size).encode());
            bytes.extend_from_slice(text.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        let _ = read(&bytes);
    }
}
