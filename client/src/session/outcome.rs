//! Waiting for the outcome of an operation, and knowing whether one is still to come that counts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use holdfast_core::error::{Error, Result};
use holdfast_core::id::{Seq, SessionId};
use holdfast_core::op::OpReply;
use tokio::sync::oneshot;

use crate::session::options::Patience;
use crate::session::shared::Shared;
use crate::session::state::State;
use crate::session::{Session, lost};

/// The outcome of an operation, when it comes.
pub enum Outcome {
    /// It was never numbered; why. Told once.
    Refused(Option<Error>),
    /// The link's task tells it. With its number.
    Awaited(Seq, oneshot::Receiver<Result<OpReply>>),
    /// The same, unless patience ends before it was ever sent.
    Patient(Seq, Pin<Box<dyn Future<Output = Result<OpReply>> + Send>>),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
            Self::Awaited(seq, _) | Self::Patient(seq, _) => f.debug_tuple("Awaited").field(seq).finish(),
        }
    }
}

impl Session {
    /// Whether it is known what everything that was submitted does to inodes that it does not name. While it
    /// is not, an operation of this session that is under way may take the last name of an inode, which a
    /// lease keeps only from others.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.shared().look(State::is_sure)
    }
}

impl Outcome {
    pub(crate) const fn refused(error: Error) -> Self {
        Self::Refused(Some(error))
    }

    /// Of an operation of this session.
    pub(crate) fn awaited(
        shared: &Arc<Shared>,
        (session, seq): (SessionId, Seq),
        outcome: oneshot::Receiver<Result<OpReply>>,
    ) -> Self {
        match shared.options.patience {
            Patience::Hard => Self::Awaited(seq, outcome),
            Patience::Soft(_) => {
                let work = while_patient(Arc::clone(shared), (session, seq), outcome);
                Self::Patient(seq, Box::pin(work))
            }
        }
    }

    /// The operation's number in the session; `None`: it was never numbered.
    #[must_use]
    pub const fn seq(&self) -> Option<Seq> {
        match self {
            Self::Refused(_) => None,
            Self::Awaited(seq, _) | Self::Patient(seq, _) => Some(*seq),
        }
    }
}

impl Future for Outcome {
    type Output = Result<OpReply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Refused(error) => Poll::Ready(Err(error.take().unwrap_or_else(lost))),
            Self::Awaited(_, outcome) => {
                Pin::new(outcome).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(lost())))
            }
            Self::Patient(_, outcome) => outcome.as_mut().poll(cx),
        }
    }
}

/// Waits until the outcome is there, or patience ends and the operation can be taken back: it was never
/// sent, so surely it is not carried out.
async fn while_patient(
    shared: Arc<Shared>,
    (session, seq): (SessionId, Seq),
    mut outcome: oneshot::Receiver<Result<OpReply>>,
) -> Result<OpReply> {
    let error = tokio::select! {
        biased;
        answer = &mut outcome => return answer.unwrap_or_else(|_| Err(lost())),
        error = shared.patience_ends(shared.now()) => error,
    };
    if shared.update(|state| state.take_back(session, seq)) {
        return Err(error);
    }
    outcome.await.unwrap_or_else(|_| Err(lost()))
}
