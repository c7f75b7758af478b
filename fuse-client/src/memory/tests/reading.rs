//! Bytes of files from memory.

use holdfast_client::{Block, Piece, ReadData};

use super::*;

fn bytes(found: (Bytewise, Option<ReadAhead>)) -> Option<Vec<u8>> {
    match found.0 {
        Bytewise::Here(data) => Some(data.into_bytes().to_vec()),
        Bytewise::Coming | Bytewise::Unknown(_) => None,
    }
}

fn content(attr: &Attr, text: &'static str) -> ReadData {
    let (len, data) = (u32::try_from(text.len()).unwrap(), Bytes::from_static(text.as_bytes()));
    ReadData {
        offset: 0,
        pieces: vec![Piece { offset: 0, data }],
        len,
        size: attr.size,
        data_version: attr.data_version,
        epoch: Epoch::default(),
    }
}

#[test]
fn what_the_server_told_of_a_file_of_ours_is_kept_while_it_is_the_last_version() {
    let mut state = owner();
    let (Bytewise::Unknown(epoch), None) = state.read(FILE, 0, 10) else { panic!("nothing is known") };
    state.has_read(FILE, Epoch(9), &content(&file(), "abc"));
    state.has_read(FILE, epoch, &content(&attr(FILE, FileKind::Regular, 2), "ab"));
    assert_eq!(bytes(state.read(FILE, 0, 10)), None, "of another owner, and of another version");
    state.has_read(FILE, epoch, &content(&file(), "abc"));
    assert_eq!(bytes(state.read(FILE, 0, 10)).unwrap(), b"abc");
    assert_eq!(bytes(state.read(FILE, 1, 1)).unwrap(), b"b");
    assert_eq!(bytes(state.read(FILE, 3, 1)).unwrap(), b"", "behind the end");
    // Others may see it: nobody changes it.
    state.recalled(FILE, Some(Mode::Shared));
    assert_eq!(bytes(state.read(FILE, 0, 10)).unwrap(), b"abc");
    state.recalled(FILE, None);
    assert_eq!(bytes(state.read(FILE, 0, 10)), None);
    looked_up(&mut state, "a", Some(file()), &[FILE]);
    assert_eq!(bytes(state.read(FILE, 0, 10)), None, "it was forgotten with the lease");
}

#[test]
fn what_others_may_change_is_left_to_the_kernel() {
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    state.has_read(FILE, Epoch::default(), &content(&file(), "abc"));
    assert_eq!(bytes(state.read(FILE, 0, 10)), None);
}

#[test]
fn a_break_forgets_bytes() {
    for forget in [
        State::forget_all,
        |state: &mut State| state.welcomed(Epoch(7)),
        |state: &mut State| {
            state.lost();
        },
    ] {
        let mut state = owner();
        state.has_read(FILE, Epoch::default(), &content(&file(), "abc"));
        assert!(bytes(state.read(FILE, 0, 3)).is_some());
        forget(&mut state);
        assert!(!state.contents.has(FILE, file().data_version));
    }
}

#[test]
fn small_files_of_a_directory_are_read_ahead() {
    let mut state = owner();
    let files: Vec<Attr> = (100..140).map(|ino| attr(InodeId(ino), FileKind::Regular, 3)).collect();
    for found in &files {
        looked_up(&mut state, &format!("f{}", found.ino.0), Some(*found), &[found.ino]);
    }
    let read = |state: &mut State, nth: usize| {
        state.lookup(DIR, &name(&format!("f{}", files[nth].ino.0)));
        state.read(files[nth].ino, 0, 100)
    };
    assert_eq!(read(&mut state, 0).1, None);
    let (_, ahead) = read(&mut state, 1);
    let ahead = ahead.unwrap();
    assert_eq!(ahead.files[0], files[2].ino, "the next one first");
    assert!(matches!(read(&mut state, 2).0, Bytewise::Coming));
    // One of them has another version by now, one does not come.
    let mut came: Vec<_> = ahead.files.iter().map(|&ino| (ino, content(&files[0], "abc"))).collect();
    came[0].1.data_version = DataVersion(99);
    came.pop();
    state.files_read(&ahead, &came);
    assert!(matches!(read(&mut state, 2).0, Bytewise::Unknown(_)));
    // When the first one is read the next ones are due.
    let (third, more) = read(&mut state, 3);
    let more = more.unwrap();
    assert!(!more.files.iter().any(|ino| ahead.files.contains(ino)), "{more:?}");
    assert_eq!(bytes((third, None)).unwrap(), b"abc");
    let last = files.iter().position(|file| Some(&file.ino) == ahead.files.last()).unwrap();
    assert!(matches!(read(&mut state, last).0, Bytewise::Unknown(_)));
    assert_eq!((4..last).find_map(|nth| read(&mut state, nth).1), None, "they are on their way");
}

#[test]
fn parts_of_a_large_file_are_read_ahead_and_counted_only_as_what_they_are() {
    let mut state = owner();
    let large = Attr { size: 1 << 20, ..attr(FILE, FileKind::Regular, 3) };
    looked_up(&mut state, "large", Some(large), &[FILE]);
    let data = |part: &Part, version| ReadData {
        offset: part.offset,
        pieces: vec![Piece { offset: part.offset, data: Bytes::from(vec![7; part.len as usize]) }],
        len: part.len,
        size: large.size,
        data_version: version,
        epoch: Epoch::default(),
    };
    let mut parts = Vec::new();
    for nth in 0..4 {
        let (found, ahead) = state.read(FILE, nth * 50_000, 100);
        assert!(matches!(found, Bytewise::Unknown(_)));
        parts.extend(ahead.into_iter().flat_map(|ahead| ahead.parts));
    }
    assert!(parts.len() >= 2 && parts[0].offset == 200_000, "{parts:?}");
    assert_eq!(state.read(FILE, 200_000, 100).0, Bytewise::Coming);
    state.part_read(&parts[0], state.epoch(), Some(&data(&parts[0], large.data_version)));
    assert_eq!(bytes(state.read(FILE, 200_000, 100)).unwrap(), [7; 100]);
    // Of another version, or not to be had: it is asked for.
    state.part_read(&parts[1], state.epoch(), Some(&data(&parts[1], DataVersion(99))));
    assert!(matches!(state.read(FILE, parts[1].offset, 100).0, Bytewise::Unknown(_)));
}

#[test]
fn blocks_are_known_under_a_lease_and_of_the_last_version() {
    let large = |version| Attr { size: 10 << 20, data_version: DataVersion(version), ..file() };
    let map = |version, epoch| BlockMap {
        offset: 0,
        blocks: vec![Block { offset: 0, len: 5, hash: None }],
        len: 4 << 20,
        size: 10 << 20,
        data_version: DataVersion(version),
        epoch,
    };
    let mut state = State::default();
    let asked = Blockwise::Ask(0..1 << 20);
    assert_eq!(state.blocks(true, FILE, (0, 1 << 20), true), asked, "nothing is remembered");
    assert_eq!(state.blocks(true, FILE, (0, 4096), true), Blockwise::Useless);
    looked_up(&mut state, "a", Some(large(3)), &[DIR, FILE]);
    let question = Blockwise::Ask(0..4 << 20);
    assert_eq!(state.blocks(true, FILE, (100, 50), true), question);
    state.has_heard_blocks(FILE, &map(2, Epoch::default()));
    state.has_heard_blocks(FILE, &map(3, Epoch(9)));
    assert_eq!(state.blocks(true, FILE, (100, 50), true), question, "of another version, and of another owner");
    state.has_heard_blocks(FILE, &map(3, Epoch::default()));
    let Blockwise::Known(known) = state.blocks(true, FILE, (2, 50), true) else { panic!("it was told") };
    assert_eq!((known.offset, known.len, known.blocks.len(), known.data_version), (2, 50, 1, DataVersion(3)));
    assert_eq!(state.blocks(false, FILE, (0, 1 << 20), true), asked, "the session is not trusted");
    // Others wait for who asks first, and nobody waits twice.
    assert_eq!(state.blocks(true, FILE, (5 << 20, 50), false), Blockwise::Ask(4 << 20..8 << 20));
    assert_eq!(state.blocks(true, FILE, (4 << 20, 50), false), Blockwise::Coming);
    state.blocks.asked(FILE, &(4 << 20..8 << 20));
    assert_eq!(state.blocks(true, FILE, (4 << 20, 50), true), Blockwise::Ask(4 << 20..8 << 20));
    assert_eq!(state.blocks(true, FILE, (4 << 20, 50), true), Blockwise::Ask(4 << 20..8 << 20));
    state.recalled(FILE, None);
    assert_eq!(state.blocks(true, FILE, (0, 1 << 20), true), asked, "the lease is gone");
    looked_up(&mut state, "a", Some(large(4)), &[FILE]);
    assert_eq!(state.blocks(true, FILE, (0, 50), true), question, "somebody has changed it");
    looked_up(&mut state, "a", Some(Attr { size: 64 << 10, ..file() }), &[FILE]);
    assert_eq!(state.blocks(true, FILE, (0, 64 << 10), true), Blockwise::Useless, "a small file");
}
