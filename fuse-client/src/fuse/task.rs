//! Waiting without a thread, and with one wake-up less.
//!
//! A request is first polled on the thread that read it: what it sends goes out at once, and an
//! answer that is there already needs no other thread. Only when something wakes it does it become
//! a task, on the worker that woke it and of that one's runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;
use tokio::runtime::Handle as Runtime;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a future: first here, later on the runtime.
pub(super) fn start(runtime: &Runtime, future: impl Future<Output = ()> + Send + 'static) {
    let mut task: Task = Box::pin(future);
    let parked = Arc::new(Parked { runtime: runtime.clone(), place: Mutex::new(Place::Polling) });
    let waker = Waker::from(Arc::clone(&parked));
    let _inside = runtime.enter();
    if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        parked.park(task);
    }
}

struct Parked {
    runtime: Runtime,
    place: Mutex<Place>,
}

enum Place {
    /// The first poll is under way.
    Polling,
    /// Something woke it meanwhile.
    Woken,
    /// It waits for its first wake-up.
    Waiting(Task),
    /// The runtime has it, or it is done.
    Gone,
}

impl Parked {
    fn park(&self, task: Task) {
        let mut place = self.place.lock();
        match std::mem::replace(&mut *place, Place::Gone) {
            Place::Polling => *place = Place::Waiting(task),
            Place::Woken | Place::Waiting(_) | Place::Gone => {
                drop(place);
                self.runtime.spawn(task);
            }
        }
    }
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        let mut place = self.place.lock();
        match std::mem::replace(&mut *place, Place::Gone) {
            Place::Polling | Place::Woken => *place = Place::Woken,
            Place::Waiting(task) => {
                drop(place);
                Runtime::try_current().as_ref().unwrap_or(&self.runtime).spawn(task);
            }
            Place::Gone => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;
    use std::task::Poll;
    use std::time::Duration;
    use tokio::sync::oneshot;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn what_is_ready_is_done_on_the_calling_thread() {
        let runtime = runtime();
        let (sender, receiver) = std::sync::mpsc::channel();
        start(runtime.handle(), async move { sender.send(std::thread::current().id()).unwrap() });
        assert_eq!(receiver.try_recv().unwrap(), std::thread::current().id());
    }

    #[test]
    fn what_waits_goes_on_when_it_is_woken() {
        let runtime = runtime();
        let (sender, receiver) = std::sync::mpsc::channel();
        let (first, second) = (oneshot::channel::<u8>(), oneshot::channel::<u8>());
        start(runtime.handle(), async move {
            let sum = first.1.await.unwrap() + second.1.await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            sender.send(sum).unwrap();
        });
        assert!(receiver.try_recv().is_err());
        first.0.send(1).unwrap();
        second.0.send(2).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)).unwrap(), 3);
    }

    #[test]
    fn a_wake_during_the_first_poll_is_not_lost() {
        let runtime = runtime();
        let (sender, receiver) = std::sync::mpsc::channel();
        start(runtime.handle(), async move {
            tokio::task::yield_now().await;
            let mut once = false;
            std::future::poll_fn(|context| {
                if once {
                    return Poll::Ready(());
                }
                once = true;
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            sender.send(()).unwrap();
        });
        receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}
