//! Values that are just bytes: the target of a symlink, the value of an xattr, a mark.

use bytes::Bytes;

use super::codec::{Decoder, Encoder};
use super::{Malformed, Record};

/// Bytes without an inner structure; none at all for a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Bytes);

const VERSION: u8 = 1;

impl Record for Text {
    fn encode(&self) -> Bytes {
        let mut to = Encoder::new(VERSION, self.0.len());
        to.raw(&self.0);
        to.finish()
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        Decoder::new(bytes, VERSION).map(|from| Self(from.rest()))
    }
}
