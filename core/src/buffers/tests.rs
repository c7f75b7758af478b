#![expect(clippy::unwrap_used, reason = "a test may stop")]

use super::Buffers;

#[test]
fn a_buffer_comes_back_when_nobody_has_a_part_of_it() {
    let buffers = Buffers::new(100, 1);
    let mut buffer = buffers.take();
    buffer.room()[..3].copy_from_slice(b"abc");
    let address = buffer.as_ref().as_ptr();
    let shared = buffer.share(3);
    let part = shared.slice(1..);
    assert_eq!(&shared[..], b"abc");
    drop(shared);
    assert_ne!(buffers.take().as_ref().as_ptr(), address, "a part of it is in use");
    assert_eq!(&part[..], b"bc");
    drop((buffers.take(), part));
    assert_eq!(buffers.take().as_ref().len(), 100);
}

#[test]
fn a_pool_keeps_only_so_many() {
    let buffers = Buffers::new(10, 2);
    let taken: Vec<_> = (0..5).map(|_| buffers.take()).collect();
    drop(taken);
    assert_eq!(buffers.0.waiting.lock().unwrap().len(), 2);
    assert_eq!(buffers.take().share(99).len(), 10);
}
