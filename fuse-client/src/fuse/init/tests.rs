#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::os::fd::OwnedFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::*;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn offer(unique: u64, major: u32, minor: u32, flags: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for field in
        [major, minor, 1 << 17, u32::try_from(flags & 0xffff_ffff).unwrap(), u32::try_from(flags >> 32).unwrap()]
    {
        body.extend(field.to_ne_bytes());
    }
    body.resize(64, 0);
    let mut message = Vec::new();
    for field in [104, Opcode::Init as u32] {
        message.extend(u32::to_ne_bytes(field));
    }
    message.extend(unique.to_ne_bytes());
    message.resize(40, 0);
    message.extend(body);
    message
}

/// Plays the kernel: sends offers, gives back what `agree` says and every answer.
fn meet(offers: &[Vec<u8>]) -> (io::Result<()>, Vec<Vec<u8>>) {
    meet_as(offers, Settings::default())
}

fn meet_as(offers: &[Vec<u8>], settings: Settings) -> (io::Result<()>, Vec<Vec<u8>>) {
    let (kernel, device) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    for offer in offers {
        nix::unistd::write(&kernel, offer).unwrap();
    }
    let agreed = agree(&Arc::new(Device::of(device)), settings);
    (agreed, answers(kernel))
}

fn answers(kernel: OwnedFd) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = nix::unistd::read(&kernel, &mut buffer) {
        answers.push(buffer[..len].to_vec());
    }
    answers
}

#[test]
fn the_answer_has_the_length_that_the_kernel_expects_and_takes_only_what_was_offered() {
    let (agreed, answers) = meet(&[offer(2, 7, 45, NEEDED | init::INIT_EXT)]);
    agreed.unwrap();
    let answer = &answers[0];
    assert_eq!((answer.len(), word(answer, 0), word(answer, 4), word(answer, 8)), (80, 80, 0, 2));
    let flags = u64::from(word(answer, 16 + 12)) | u64::from(word(answer, 16 + 32)) << 32;
    assert_eq!(flags, NEEDED | init::INIT_EXT);
    assert_eq!((word(answer, 16), word(answer, 16 + 20)), (7, 1 << 20));
}

#[test]
fn a_kernel_of_a_newer_major_version_is_asked_to_come_down() {
    let (agreed, answers) = meet(&[offer(2, 8, 0, 0), offer(4, 7, 45, u64::MAX)]);
    agreed.unwrap();
    assert_eq!(word(&answers[0], 16), 7);
    let flags = u64::from(word(&answers[1], 16 + 12)) | u64::from(word(&answers[1], 16 + 32)) << 32;
    assert_eq!(flags, WANTED | init::DO_READDIRPLUS | init::READDIRPLUS_AUTO);
}

#[test]
fn an_old_kernel_is_refused_with_what_is_needed() {
    for old in [offer(2, 7, 27, NEEDED), offer(2, 6, 0, NEEDED), offer(2, 7, 31, NEEDED & !init::HANDLE_KILLPRIV_V2)] {
        let (agreed, answers) = meet(&[old]);
        assert!(agreed.unwrap_err().to_string().contains("5.13"));
        assert_eq!(word(&answers[0], 4).cast_signed(), -libc::EPROTO);
    }
}

#[test]
fn nonsense_is_refused() {
    assert!(meet(&[vec![1, 2, 3]]).0.is_err());
    let mut lookup = offer(2, 7, 45, NEEDED);
    lookup[4] = 1;
    assert!(meet(&[lookup]).0.is_err());
}

#[test]
fn only_a_mount_that_is_alone_has_the_kernel_keep_writes_back() {
    for alone in [false, true] {
        let settings = Settings { alone, ..Settings::default() };
        let (agreed, answers) = meet_as(&[offer(2, 7, 45, NEEDED | init::WRITEBACK_CACHE)], settings);
        agreed.unwrap();
        assert_eq!(u64::from(word(&answers[0], 16 + 12)) & init::WRITEBACK_CACHE != 0, alone);
    }
}
