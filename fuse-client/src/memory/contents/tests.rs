#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use proptest::prelude::*;

use super::*;

const FILE: InodeId = InodeId(7);

fn version(number: u64) -> DataVersion {
    DataVersion(number)
}

fn read(contents: &mut Contents, at: u64, offset: u64, len: u32) -> Option<Vec<u8>> {
    let pieces = contents.read(FILE, version(at), (offset, len))?;
    let mut next = offset;
    for piece in &pieces {
        assert_eq!(piece.offset, next);
        next += piece.data.len() as u64;
    }
    Some(pieces.iter().flat_map(|piece| piece.data.to_vec()).collect())
}

#[test]
fn what_was_written_is_read_back_under_its_version_only() {
    let mut contents = Contents::default();
    contents.write(FILE, (version(0), version(1)), (0, &Bytes::from_static(b"hello")));
    contents.write(FILE, (version(1), version(2)), (5, &Bytes::from_static(b" world")));
    assert_eq!(read(&mut contents, 2, 0, 11).unwrap(), b"hello world");
    assert_eq!(read(&mut contents, 2, 3, 4).unwrap(), b"lo w");
    assert!(read(&mut contents, 1, 0, 5).is_none() && read(&mut contents, 2, 0, 12).is_none());
    // A version in between was somebody else's.
    contents.write(FILE, (version(3), version(4)), (0, &Bytes::from_static(b"J")));
    assert_eq!(read(&mut contents, 4, 0, 1).unwrap(), b"J");
    assert!(read(&mut contents, 4, 0, 2).is_none());
    contents.forget(FILE);
    assert!(!contents.has(FILE, version(4)) && contents.weight == 0);
}

#[test]
fn a_shorter_file_has_nothing_behind_its_end() {
    let mut contents = Contents::default();
    contents.write(FILE, (version(0), version(1)), (0, &Bytes::from_static(b"hello")));
    contents.resize(FILE, (version(1), version(2)), 2);
    assert_eq!(read(&mut contents, 2, 0, 2).unwrap(), b"he");
    assert!(read(&mut contents, 2, 0, 3).is_none());
    contents.resize(FILE, (version(2), version(3)), 0);
    assert!(!contents.has(FILE, version(3)));
}

#[test]
fn what_is_not_used_goes_when_there_is_no_room() {
    let mut contents = Contents::default();
    let bytes = Bytes::from(vec![1; PIECE_BYTES_MAX]);
    let files = (2 * BYTES_MAX / PIECE_BYTES_MAX) as u64;
    for file in 1..=files {
        contents.heard(InodeId(file), version(1), 0, &bytes);
        assert!(contents.read(InodeId(1), version(1), (0, 10)).is_some(), "used after {file}");
        let all: usize = contents.young.values().chain(contents.old.values()).map(|content| content.weight).sum();
        assert!(all <= BYTES_MAX + PIECE_BYTES_MAX + RUN_BYTES, "{all} bytes are kept");
    }
    assert!(!contents.has(InodeId(2), version(1)) && contents.has(InodeId(files), version(1)));
}

#[test]
fn a_large_file_is_not_kept() {
    let mut contents = Contents::default();
    let bytes = Bytes::from(vec![1; PIECE_BYTES_MAX]);
    for piece in 0..(FILE_BYTES_MAX / PIECE_BYTES_MAX) as u64 {
        contents.heard(FILE, version(1), piece * PIECE_BYTES_MAX as u64, &bytes);
    }
    assert!(!contents.has(FILE, version(1)) && contents.weight == 0);
    contents.write(FILE, (version(1), version(2)), (0, &Bytes::from(vec![1; PIECE_BYTES_MAX + 1])));
    assert!(!contents.has(FILE, version(2)));
}

proptest! {
    #[test]
    fn reads_give_what_a_plain_file_has(
        changes in prop::collection::vec((0_u64..64, 1_usize..32, any::<bool>()), 1..24),
        (offset, len) in (0_u64..80, 1_u32..40),
    ) {
        let mut contents = Contents::default();
        let mut file: Vec<Option<u8>> = Vec::new();
        let mut at = 0;
        for (number, (offset, len, resizes)) in changes.into_iter().enumerate() {
            let (before, after) = (version(at), version(at + 1));
            let start = usize::try_from(offset).unwrap();
            if resizes {
                contents.resize(FILE, (before, after), offset);
                file.truncate(start);
            } else {
                let byte = u8::try_from(number).unwrap();
                contents.write(FILE, (before, after), (offset, &Bytes::from(vec![byte; len])));
                file.resize(file.len().max(start + len), None);
                file[start..start + len].fill(Some(byte));
            }
            at += 1;
            let weight = contents.young.get(&FILE).map_or(0, |content| content.runs.values().map(|run| run.len() + RUN_BYTES).sum());
            prop_assert_eq!(contents.weight, weight);
        }
        let start = usize::try_from(offset).unwrap();
        let wanted: Option<Vec<u8>> = (start..start + len as usize).map(|at| file.get(at).copied().flatten()).collect();
        prop_assert_eq!(read(&mut contents, at, offset, len), wanted);
    }
}
