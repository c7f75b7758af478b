//! Work on the disk, kept off the threads that serve.
//!
//! A runtime of one thread has no other to give it to, and is one in which things are to happen in one order
//! (a simulation): there it is done in place, and nobody else is served meanwhile.

use holdfast_core::error::{Error, ErrorKind, Result};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task;

/// Does it on a thread for such work.
///
/// # Errors
/// Those of the work; `Internal` when it panics.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if is_alone() {
        return work();
    }
    match task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(ErrorKind::Internal, format!("a task on the disk broke: {error}"))),
    }
}

/// Does it on this thread, which hands over what else it serves.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
    if is_alone() { work() } else { task::block_in_place(work) }
}

fn is_alone() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}
