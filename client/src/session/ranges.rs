//! Short reads of one moment, in one call.
//!
//! A call costs more than what a short read brings. So while two are on their way others wait, and go
//! together when one of them is back. Who reads alone never waits, and what fails together is asked for
//! alone, which then tells why.

use std::collections::VecDeque;
use std::sync::Arc;

use holdfast_proto::v1;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::shared::Shared;

/// The longest read that may wait for others, in bytes.
pub(super) const SHORT_MAX: u32 = 16 << 10;
/// Calls on their way from which on others wait.
const CALLS_MAX: usize = 2;
/// Ranges of one call; all of [`SHORT_MAX`] bytes they are as much as one may bring.
const TOGETHER_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ShortReads(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    calls: usize,
    waiting: VecDeque<Waiting>,
    /// The server has no such call.
    alone: bool,
}

#[derive(Debug)]
struct Waiting {
    range: v1::ReadRequest,
    answer: oneshot::Sender<v1::ReadResponse>,
}

/// How a short read comes to its answer.
pub(super) enum Turn {
    /// By a call of its own, which is on its way as long as this is kept.
    Alone(Call),
    /// With others. An error: it is to be asked for alone.
    Together(oneshot::Receiver<v1::ReadResponse>),
}

/// A call on its way.
pub(super) struct Call(Arc<Shared>);

impl ShortReads {
    /// A short read is wanted.
    pub(super) fn turn(shared: &Arc<Shared>, range: &v1::ReadRequest) -> Turn {
        let mut queue = shared.short_reads.0.lock();
        if queue.calls < CALLS_MAX || queue.alone {
            queue.calls += 1;
            return Turn::Alone(Call(Arc::clone(shared)));
        }
        let (answer, receiver) = oneshot::channel();
        queue.waiting.push_back(Waiting { range: *range, answer });
        Turn::Together(receiver)
    }
}

impl Queue {
    /// What goes next, in the place of a call that is back. Nothing: there is one call less.
    fn next(&mut self) -> Vec<Waiting> {
        let mut next = Vec::new();
        while next.len() < TOGETHER_MAX
            && let Some(waiting) = self.waiting.pop_front()
        {
            // Somebody whose caller was killed needs no answer.
            if !waiting.answer.is_closed() {
                next.push(waiting);
            }
        }
        if next.is_empty() {
            self.calls -= 1;
        }
        next
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let next = self.0.short_reads.0.lock().next();
        if !next.is_empty() {
            self.0.runtime.spawn(together(Arc::clone(&self.0), next));
        }
    }
}

/// Asks for ranges together, and for what waits after that.
async fn together(shared: Arc<Shared>, mut next: Vec<Waiting>) {
    while !next.is_empty() {
        let ranges = next.iter().map(|waiting| waiting.range).collect();
        match shared.read_ranges(ranges).await {
            Ok(answer) => {
                let mut next: Vec<Option<Waiting>> = next.into_iter().map(Some).collect();
                for v1::RangeContent { index, content } in answer.contents {
                    let waiting = next.get_mut(index as usize).and_then(Option::take);
                    if let (Some(waiting), Some(content)) = (waiting, content) {
                        // Who is gone needs no answer.
                        let _ = waiting.answer.send(content);
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, "short reads are asked for one by one from here on");
                shared.short_reads.0.lock().alone = true;
            }
        }
        next = shared.short_reads.0.lock().next();
    }
}
