use super::{Inbox, LONG_BYTES_FROM, Message, buffers};

#[test]
fn long_messages_are_shared_and_short_ones_copied() {
    let buffers = buffers();
    let mut inbox = Inbox::new(&buffers);
    for len in [1, LONG_BYTES_FROM - 1, LONG_BYTES_FROM, inbox.room().len()] {
        inbox.room()[..len].fill(u8::try_from(len % 251).unwrap_or(0));
        let message = inbox.message(len);
        let (bytes, long) = (message.bytes().to_vec(), matches!(message, Message::Long(_)));
        let kept = message.keep(&message.bytes()[len / 2..]);
        assert_eq!((bytes.len(), long), (len, len >= LONG_BYTES_FROM));
        assert_eq!(kept.as_ptr() == message.bytes()[len / 2..].as_ptr(), long, "{len} bytes");
        drop(message);
        inbox.room().fill(0xff);
        assert_eq!(kept[..], bytes[len / 2..], "the next message does not change what was kept");
    }
}
