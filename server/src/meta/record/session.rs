//! A session: who it is, how far it has come, and the outcomes that its client may not have.

use bytes::Bytes;
use holdfast_core::id::{Seq, SessionId};
use holdfast_core::op::AppliedOp;
use holdfast_core::time::Timestamp;

use super::codec::{Decoder, Encoder};
use super::{Malformed, Record, outcome};

/// Who a session is, for people; kept in the volume so that a new owner knows whom to expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// The client's host name.
    pub host: String,
    /// The client's process id.
    pub pid: u32,
    /// The client's program and version.
    pub program: String,
    /// Whether its changes are refused.
    pub read_only: bool,
    /// When it began.
    pub started: Timestamp,
}

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Who it is.
    pub info: SessionInfo,
    /// Its last operation that is part of what is stored.
    pub applied: Seq,
    /// Every outcome up to here has reached the client.
    pub received: Seq,
    /// The outcomes after that, in order of seq without a gap, up to `applied`.
    pub outcomes: Vec<AppliedOp>,
}

const VERSION: u8 = 1;

impl Record for SessionRecord {
    fn encode(&self) -> Bytes {
        let texts = self.info.host.len() + self.info.program.len();
        let mut to = Encoder::new(VERSION, 80 + texts + self.outcomes.len() * outcome::ENCODED_BYTES_MAX);
        to.raw(&self.info.id.0);
        to.text(&self.info.host);
        to.u32(self.info.pid);
        to.text(&self.info.program);
        to.u8(u8::from(self.info.read_only));
        to.time(self.info.started);
        to.u64(self.applied.0);
        to.u64(self.received.0);
        to.u32(u32::try_from(self.outcomes.len()).unwrap_or(u32::MAX));
        for applied in &self.outcomes {
            outcome::encode(&mut to, applied);
        }
        to.finish()
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut from = Decoder::new(bytes, VERSION)?;
        let info = SessionInfo {
            id: SessionId(from.fixed()?),
            host: from.text()?,
            pid: from.u32()?,
            program: from.text()?,
            read_only: from.flag()?,
            started: from.time()?,
        };
        let applied = Seq(from.u64()?);
        let received = Seq(from.u64()?);
        let outcomes = (0..from.u32()?).map(|_| outcome::decode(&mut from)).collect::<Result<Vec<_>, _>>()?;
        from.finish()?;
        let ordered = outcomes.windows(2).all(|pair| pair[0].seq.next() == pair[1].seq);
        if !ordered || outcomes.last().is_some_and(|last| last.seq != applied) {
            return Err(Malformed("its outcomes are not in order"));
        }
        Ok(Self { info, applied, received, outcomes })
    }
}
