#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

/// Length of the header before every request.
const IN_HEADER: usize = 40;

fn message(opcode: Opcode, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(IN_HEADER + body.len()).unwrap();
    let mut bytes = Vec::new();
    bytes.extend(len.to_ne_bytes());
    bytes.extend((opcode as u32).to_ne_bytes());
    for id in [7u64, 9] {
        bytes.extend(id.to_ne_bytes());
    }
    for id in [1000u32, 100, 4242, 0] {
        bytes.extend(id.to_ne_bytes());
    }
    bytes.extend(body);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[test]
fn a_header_is_read_and_its_length_checked() {
    let bytes = message(Opcode::Lookup, b"name\0");
    let (header, input) = header(&bytes).unwrap();
    assert_eq!((header.unique, header.node, header.uid, header.gid, header.pid), (7, 9, 1000, 100, 4242));
    assert!(matches!(request(Opcode::Lookup, input), Ok(Request::Lookup { name: b"name" })));
    assert!(super::header(&bytes[..bytes.len() - 1]).is_err());
    assert!(super::header(&bytes[..10]).is_err());
}

#[test]
fn no_message_is_too_short_to_be_refused() {
    for opcode in Opcode::ALL {
        for len in 0..120 {
            let body = vec![0u8; len];
            let _ = request(opcode, Input(&body));
            let _ = request(opcode, Input(&vec![0xffu8; len]));
        }
    }
}

#[test]
fn reads_bear_the_flags_of_their_handle() {
    let flags = 0o1_000_000;
    // Handle, offset and length, what reads it, owner of locks, flags.
    let body = words(&[1, 0, 4096, 0, 100, 0, 0, 0, flags, 0]);
    let read = request(Opcode::Read, Input(&body));
    assert!(matches!(read, Ok(Request::Read { offset: 4096, len: 100, flags: 0o1_000_000 })));
    let listing = request(Opcode::ReadDir, Input(&body));
    let Ok(Request::ReadDir { handle: 1, offset: 4096, room: 100, flags: 0o1_000_000, plus: false }) = listing else {
        panic!("not a listing behind 4096");
    };
}

#[test]
fn a_write_must_carry_the_bytes_it_announces() {
    let mut body = words(&[1, 0, 4096, 0, 3, abi::WRITE_KILL_SUIDGID, 0, 0, 0, 0]);
    body.extend(b"abc");
    let Ok(Request::Write { handle: 1, offset: 4096, data: b"abc", flags: 0, kind: Writing::CallWithoutRights }) =
        request(Opcode::Write, Input(&body))
    else {
        panic!("not a write of three bytes");
    };
    body.push(b'd');
    assert_eq!(request(Opcode::Write, Input(&body)).err(), Some(Malformed));
}

#[test]
fn flock_and_fcntl_are_told_apart() {
    let lock = |flags| {
        let kind = u32::try_from(libc::F_WRLCK).unwrap();
        let body = words(&[3, 0, 5, 0, 0, 0, u32::MAX, i32::MAX.unsigned_abs(), kind, 77, flags, 0]);
        match request(Opcode::SetLkW, Input(&body)) {
            Ok(Request::SetLk { lock, wait: true }) => lock,
            other => panic!("not a lock: {other:?}"),
        }
    };
    assert!(lock(abi::LK_FLOCK).flock);
    let record = lock(0);
    assert!(!record.flock);
    assert_eq!((record.handle, record.owner, record.start, record.end, record.pid), (3, 5, 0, i64::MAX as u64, 77));
    assert_eq!(record.mode, Some(LockMode::Exclusive));
}

#[test]
fn times_before_1970_keep_their_nanoseconds() {
    let valid = fattr::ATIME | fattr::MTIME | fattr::MTIME_NOW | fattr::CTIME | fattr::KILL_SUIDGID;
    let mut body = words(&[valid, 0, 0, 0, 0, 0, 0, 0]);
    for secs in [-2i64, 0, -3] {
        body.extend(secs.to_ne_bytes());
    }
    body.extend(words(&[250_000_000, 0, 5, 0, 0, 0, 0, 0]));
    let Ok(Request::SetAttr { set }) = request(Opcode::SetAttr, Input(&body)) else {
        panic!("not a setattr");
    };
    assert_eq!(set.atime, Some(SetTime::To(Timestamp { secs: -2, nanos: 250_000_000 })));
    assert_eq!(set.mtime, Some(SetTime::Now));
    assert_eq!(set.ctime, Some(Timestamp { secs: -3, nanos: 5 }));
    assert!(set.kill_privileges && set.size.is_none());
}

#[test]
fn forgets_come_alone_and_in_batches() {
    let mut single = Vec::new();
    single.extend_from_slice(&3_u64.to_ne_bytes());
    assert!(matches!(request(Opcode::Forget, Input(&single)), Ok(Request::Forget { times: 3 })));
    let mut batch = Vec::new();
    batch.extend_from_slice(&2_u32.to_ne_bytes());
    batch.extend_from_slice(&[0; 4]);
    for number in [5_u64, 1, 6, 2] {
        batch.extend_from_slice(&number.to_ne_bytes());
    }
    let Ok(Request::BatchForget { pairs }) = request(Opcode::BatchForget, Input(&batch)) else { panic!("it is whole") };
    assert_eq!(forgets(pairs).collect::<Vec<_>>(), [(5, 1), (6, 2)]);
    assert!(request(Opcode::BatchForget, Input(&batch[..batch.len() - 1])).is_err());
    batch[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert!(request(Opcode::BatchForget, Input(&batch)).is_err());
}
