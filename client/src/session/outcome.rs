//! Waiting for the outcome of an operation.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use holdfast_core::error::{Error, Result};
use holdfast_core::op::OpReply;
use tokio::sync::oneshot;

use crate::session::lost;

/// The outcome of an operation, when it comes.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was never numbered; why. Told once.
    Refused(Option<Error>),
    /// The link's task tells it.
    Awaited(oneshot::Receiver<Result<OpReply>>),
}

impl Outcome {
    pub(crate) const fn refused(error: Error) -> Self {
        Self::Refused(Some(error))
    }

    pub(crate) const fn awaited(outcome: oneshot::Receiver<Result<OpReply>>) -> Self {
        Self::Awaited(outcome)
    }
}

impl Future for Outcome {
    type Output = Result<OpReply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Refused(error) => Poll::Ready(Err(error.take().unwrap_or_else(lost))),
            Self::Awaited(outcome) => Pin::new(outcome).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(lost()))),
        }
    }
}
