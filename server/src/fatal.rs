//! The way out when going on could lose or corrupt data: log, and end the process at once.

use std::fmt;
use std::sync::Arc;

use tracing::error;

/// What to do when the process must not go on.
#[derive(Clone)]
pub struct Fatal(Arc<dyn Fn(&str) + Send + Sync>);

impl Fatal {
    /// Ends the process by `SIGABRT`: at once, and without the destructors of an ordinary exit,
    /// which would run under the feet of threads that still use the metadata engine.
    #[must_use]
    pub fn abort() -> Self {
        Self(Arc::new(|_| std::process::abort()))
    }

    /// Does something else: for tests, which must not end with the server.
    pub fn with(action: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(action))
    }

    /// Logs why, and ends.
    pub(crate) fn stop(&self, why: &str) {
        error!(why, "stopping at once so that nothing false is acknowledged");
        (self.0)(why);
    }
}

impl fmt::Debug for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fatal(..)")
    }
}
