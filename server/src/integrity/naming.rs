//! From bad frames to the files that have bytes in them. Pure.

use std::collections::HashMap;

use holdfast_core::integrity::{BadFrame, BadRange, Fault};

use crate::meta::keys::DataId;
use crate::store::{Live, Named};

/// Files of one frame that are named.
const FILES_MAX: usize = 256;
/// Bytes of all paths of one frame.
const PATH_BYTES_MAX: usize = 256 << 10;

/// Puts the extents of bad frames, in order of their places, and the owners of their data together.
/// Extents whose data has no file any more are left out, and frames that then have none.
pub(super) fn bad_frames(bad: &[(Live, Fault)], owners: &HashMap<DataId, Named>) -> Vec<BadFrame> {
    let mut frames: Vec<BadFrame> = Vec::new();
    let mut path_bytes = 0;
    for (live, fault) in bad {
        let Some(named) = owners.get(&live.data) else { continue };
        let is_same = |last: &BadFrame| (last.segment, last.position) == (live.frame.segment, live.frame.position);
        if !frames.last().is_some_and(is_same) {
            let (segment, position, len) = (live.frame.segment, live.frame.position, live.frame.len);
            frames.push(BadFrame { segment, position, len, fault: *fault, files: Vec::new() });
            path_bytes = 0;
        }
        let Some(frame) = frames.last_mut() else { continue };
        if frame.files.len() >= FILES_MAX {
            continue;
        }
        let fits = |path: &&Vec<u8>| {
            path_bytes += path.len();
            path_bytes <= PATH_BYTES_MAX
        };
        let paths: Vec<Vec<u8>> = named.paths.iter().filter(fits).cloned().collect();
        frame.files.push(BadRange { ino: named.ino, paths, start: live.start, len: u64::from(live.len) });
    }
    frames
}
