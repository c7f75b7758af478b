//! One answer to one request: sent exactly once, counted, and an input/output error if forgotten.

use std::sync::Arc;
use std::time::Instant;

use holdfast_core::error::PosixError;
use nix::errno::Errno;

use super::abi::Opcode;
use super::device::Device;
use super::encode::Output;
use crate::errno::errno;
use crate::fs::ReadData;
use crate::stats::Stats;

/// Pieces of one answer, at most, before they are copied together (Linux takes 1024).
const PIECES_MAX: usize = 512;

/// What is not stored reads as these.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The right and duty to answer one request.
#[derive(Debug)]
pub(super) struct Answer {
    device: Arc<Device>,
    stats: Arc<Stats>,
    unique: u64,
    opcode: Opcode,
    started: Instant,
    /// Nobody else had to be asked.
    from_memory: bool,
    sent: bool,
}

impl Answer {
    pub(super) fn new(device: &Arc<Device>, stats: &Arc<Stats>, unique: u64, opcode: Opcode) -> Self {
        let started = Instant::now();
        Self {
            device: Arc::clone(device),
            stats: Arc::clone(stats),
            unique,
            opcode,
            started,
            from_memory: true,
            sent: false,
        }
    }

    /// Which request.
    pub(super) const fn unique(&self) -> u64 {
        self.unique
    }

    /// The server has to be asked first.
    pub(super) fn asks(&mut self) {
        self.from_memory = false;
    }

    /// Done, with nothing to tell.
    pub(super) fn done(self) {
        self.pieces(&[]);
    }

    /// Done, with this body.
    pub(super) fn body(self, body: &Output) {
        self.pieces(&[body.bytes()]);
    }

    /// Done, with these bytes.
    pub(super) fn bytes(self, bytes: &[u8]) {
        self.pieces(&[bytes]);
    }

    /// Not done.
    pub(super) fn error(self, error: PosixError) {
        self.errno(errno(error));
    }

    /// Not done, with an error that only the kernel understands.
    pub(super) fn errno(mut self, errno: Errno) {
        self.send(-(errno as i32), &[]);
    }

    /// Not needed: the kernel expects no answer.
    pub(super) fn none(mut self) {
        self.sent = true;
        self.count(false);
    }

    /// What was read, straight from where it was received.
    pub(super) fn read(self, data: ReadData) {
        self.stats.read(data.len as usize);
        if data.pieces.len() * 2 + 64 > PIECES_MAX {
            return self.bytes(&data.into_bytes());
        }
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(data.pieces.len() * 2 + 16);
        let end = data.offset + u64::from(data.len);
        let mut at = data.offset;
        for piece in &data.pieces {
            push_zeros(&mut pieces, piece.offset - at);
            pieces.push(&piece.data);
            at = piece.offset + piece.data.len() as u64;
        }
        push_zeros(&mut pieces, end - at);
        self.pieces(&pieces);
    }

    fn count(&self, failed: bool) {
        self.stats.answered(self.opcode, self.started.elapsed(), failed, self.from_memory);
    }

    fn pieces(mut self, pieces: &[&[u8]]) {
        self.send(0, pieces);
    }

    fn send(&mut self, error: i32, body: &[&[u8]]) {
        self.sent = true;
        self.count(error != 0);
        match self.device.answer(self.unique, error, body) {
            // ENOENT: the kernel does not wait for it any more; ENODEV: it is unmounted.
            Ok(()) | Err(Errno::ENOENT | Errno::ENODEV | Errno::ECONNABORTED) => {}
            Err(errno) => tracing::error!(%errno, opcode = ?self.opcode, "the kernel refused an answer"),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.sent {
            self.send(-libc::EIO, &[]);
        }
    }
}

fn push_zeros(pieces: &mut Vec<&[u8]>, mut len: u64) {
    while len > 0 {
        let part = len.min(ZEROS.len() as u64);
        pieces.push(&ZEROS[..usize::try_from(part).unwrap_or(ZEROS.len())]);
        len -= part;
    }
}
