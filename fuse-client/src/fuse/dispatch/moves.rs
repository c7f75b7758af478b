//! Lookups that meet a directory which the kernel knows by another path.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle as Runtime;

use super::Dispatcher;
use crate::fs::{Entry, Reply};
use crate::fuse::aliases::Aliases;
use crate::fuse::decode::Header;
use crate::fuse::notify::Notifier;
use crate::fuse::places::{Moved, Place, Places};
use crate::process;

/// How long a lookup waits for the kernel to drop the old place of a directory. It cannot while the
/// call that looks up holds that place's lock; then that call is told `ESTALE` and walks again.
const DROP_PLACE: Duration = Duration::from_millis(100);

impl Dispatcher {
    /// A name was looked up. If it leads to a directory that the kernel knows by another path, the
    /// kernel drops that first; inside of a rename it could not take up the new one all the same, so
    /// there it hears of another node.
    pub(super) fn met<T: Send + 'static>(
        &self,
        reply: Reply<T>,
        header: Header,
        name: &[u8],
        entry: impl FnOnce(&T) -> &Entry + Send + 'static,
    ) -> Reply<T> {
        if matches!(name, b"." | b"..") {
            return reply;
        }
        let (here, places) = (Place::new(header.node, name), Arc::clone(&self.places));
        match reply {
            Reply::Now(Err(error)) => Reply::Now(Err(error)),
            Reply::Now(Ok(found)) => match places.meets(entry(&found), here) {
                None => Reply::Now(Ok(found)),
                Some(moved) => {
                    let (notifier, runtime) = (self.notifier.clone(), self.runtime.clone());
                    let (aliases, thread) = (Arc::clone(&self.aliases), header.pid);
                    Reply::Later(Box::pin(async move {
                        tell_moved(moved, thread, &places, (&aliases, notifier, runtime)).await;
                        Ok(found)
                    }))
                }
            },
            Reply::Later(future) => {
                let (notifier, runtime) = (self.notifier.clone(), self.runtime.clone());
                let (aliases, thread) = (Arc::clone(&self.aliases), header.pid);
                Reply::Later(Box::pin(async move {
                    let found = future.await?;
                    if let Some(moved) = places.meets(entry(&found), here) {
                        tell_moved(moved, thread, &places, (&aliases, notifier, runtime)).await;
                    }
                    Ok(found)
                }))
            }
        }
    }
}

/// Sees to it that the kernel can hear of a directory that it may know by another path.
async fn tell_moved(
    Moved { node, before }: Moved,
    thread: u32,
    places: &Places,
    (aliases, notifier, runtime): (&Aliases, Notifier, Runtime),
) {
    if in_rename(thread).await {
        return aliases.renew(node);
    }
    places.unsure(node);
    if let Some(before) = before {
        let dropped = runtime.spawn_blocking(move || notifier.drop_name(before.parent, &before.name));
        // When it takes longer the kernel says what it says; the drop goes on.
        let _ = tokio::time::timeout(DROP_PLACE, dropped).await;
    }
}

/// Whether a thread is in a call that renames. Not known: as if it were, since that is never wrong.
async fn in_rename(thread: u32) -> bool {
    process::is_in(thread, process::RENAMES).await.unwrap_or(true)
}
