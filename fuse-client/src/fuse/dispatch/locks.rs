//! Requests about locks: who waits for one can be interrupted, and a process that ends is let go.

use std::time::Duration;

use futures::future::BoxFuture;
use holdfast_client::LockTicket;
use holdfast_core::error::PosixError;

use super::shape::{lock_out, lock_request};
use super::{Call, Dispatcher};
use crate::errno;
use crate::fs::{LockRequest, LockWait, Outcome, Reply};
use crate::fuse::decode::Lock;
use crate::fuse::task;
use crate::process;

/// How long the server may take to say what became of a lock whose wait a signal has ended.
const INTERRUPTED: Duration = Duration::from_millis(250);
/// How long a process that ends waits until its locks are gone.
const LEAVING: Duration = Duration::from_millis(500);

impl Dispatcher {
    /// close(2) of a descriptor. The caller waits until its locks are seen to be gone, unless it is
    /// on its way out: the kernel lets no signal end that wait, so an end that takes long would be a
    /// process that cannot be killed.
    pub(super) fn flush(&self, mut call: Call, reply: Reply<()>) {
        let Reply::Later(mut future) = reply else { return self.done(call, reply) };
        call.answer.asks();
        let mut wait = self.inflight.enter(call.answer.unique());
        let patience = self.fs.session().patience();
        task::start(&self.runtime, async move {
            let thread = call.thread;
            tokio::select! {
                biased;
                outcome = &mut future => return call.finish(outcome, |(), answer| answer.done()),
                () = wait.killed(thread) => call.answer.error(PosixError::Interrupted),
                error = patience => call.answer.error(errno::answer(&error)),
                () = is_leaving(thread) => call.answer.done(),
            }
            // Nobody is there to be told.
            let _ = future.await;
        });
    }

    pub(super) fn lock(&self, call: Call, lock: Lock, wait: bool) {
        let Some(request) = lock_request(lock) else { return call.answer.error(PosixError::Invalid) };
        let LockWait { reply, cancel } = self.fs.lock(request, wait);
        match (reply, cancel) {
            (Reply::Later(future), Some(ticket)) => self.wait_for_lock(call, request, wait, (future, ticket)),
            (reply, _) => self.done(call, reply),
        }
    }

    fn wait_for_lock(
        &self,
        mut call: Call,
        request: LockRequest,
        may_wait: bool,
        (mut future, mut ticket): (BoxFuture<'static, Outcome<()>>, LockTicket),
    ) {
        call.answer.asks();
        let (mut wait, fs) = (self.inflight.enter(call.answer.unique()), self.fs.clone());
        task::start(&self.runtime, async move {
            let mut request = request;
            let outcome = loop {
                let outcome = tokio::select! {
                    biased;
                    outcome = &mut future => outcome,
                    () = wait.interrupted() => {
                        ticket.cancel();
                        // A server that does not say what became of it is not waited for. Should it
                        // grant the lock all the same, that is undone.
                        break tokio::time::timeout(INTERRUPTED, future).await.unwrap_or(Err(PosixError::Interrupted));
                    }
                };
                let is_of_process = request.open_file || !process::awaits_lock_of_open_file(call.thread);
                if outcome != Err(PosixError::Deadlock) || is_of_process {
                    break outcome;
                }
                // Whoever has the file may let go of it, so there is no telling that it is a deadlock.
                request.open_file = true;
                let again = fs.lock(request, may_wait);
                let (Reply::Later(reply), Some(cancel)) = (again.reply, again.cancel) else { break outcome };
                (future, ticket) = (reply, cancel);
            };
            call.finish(outcome, |(), answer| answer.done());
        });
    }

    pub(super) fn query_lock(&self, call: Call, lock: Lock) {
        let Some(request) = lock_request(lock) else { return call.answer.error(PosixError::Invalid) };
        self.reply(call, self.fs.query_lock(request), move |conflict, answer| answer.body(&lock_out(conflict, lock)));
    }
}

/// Returns when a thread is on its way out, and has waited for a while.
async fn is_leaving(thread: u32) {
    loop {
        tokio::time::sleep(LEAVING).await;
        if process::is_exiting(thread) {
            return;
        }
    }
}
