//! Waiting for the outcome of an operation, and knowing whether one is still to come that counts.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use holdfast_core::error::{Error, Result};
use holdfast_core::id::Seq;
use holdfast_core::op::OpReply;
use tokio::sync::oneshot;

use crate::session::state::State;
use crate::session::{Session, lost};

/// The outcome of an operation, when it comes.
#[derive(Debug)]
pub enum Outcome {
    /// It was never numbered; why. Told once.
    Refused(Option<Error>),
    /// The link's task tells it. With its number.
    Awaited(Seq, oneshot::Receiver<Result<OpReply>>),
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

    pub(crate) const fn awaited(seq: Seq, outcome: oneshot::Receiver<Result<OpReply>>) -> Self {
        Self::Awaited(seq, outcome)
    }

    /// The operation's number in the session; `None`: it was never numbered.
    #[must_use]
    pub const fn seq(&self) -> Option<Seq> {
        match self {
            Self::Refused(_) => None,
            Self::Awaited(seq, _) => Some(*seq),
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
        }
    }
}
