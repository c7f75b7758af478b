use bytes::Bytes;

use super::{FrameHash, Framed};
use crate::limits::FRAME_BYTES_MAX;

#[test]
fn each_frame_has_its_checksum() {
    for (len, frames) in [(0, 0), (1, 1), (FRAME_BYTES_MAX, 1), (FRAME_BYTES_MAX + 1, 2), (4 * FRAME_BYTES_MAX, 4)] {
        let data = Bytes::from(vec![7; len]);
        let framed = Framed::from(data.clone());
        assert_eq!(framed.frames().len(), frames);
        assert!(framed.frames().all(|(frame, hash)| hash == FrameHash::of(frame)));
        assert_eq!(Framed::verified(data, framed.hashes().to_vec()), Some(framed));
    }
}

#[test]
fn what_does_not_fit_its_checksums_is_none() {
    let data = Bytes::from(vec![7; FRAME_BYTES_MAX + 1]);
    let right = Framed::from(data.clone()).hashes().to_vec();
    let mut damaged = data.to_vec();
    damaged[FRAME_BYTES_MAX] ^= 1;
    let swapped = vec![right[1], right[0]];
    let more = [&right[..], &right[..1]].concat();
    assert_eq!(Framed::verified(damaged.into(), right.clone()), None);
    for wrong in [swapped, more, right[..1].to_vec(), Vec::new()] {
        assert_eq!(Framed::verified(data.clone(), wrong), None);
    }
}
