//! Who scrubs a volume: one at a time. A person who asks comes before the schedule.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::integrity::ScrubRun;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::schedule::Known;

/// How long a scrub of the schedule may take to make way.
const MAKE_WAY_TIME_MAX: Duration = Duration::from_secs(30);
/// Time between two looks at whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Who asks for a scrub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A person.
    Person,
    /// The server's own schedule.
    Schedule,
}

/// The scrubs of one volume.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    /// What the schedule goes by, once it has been read.
    known: Option<Known>,
}

#[derive(Debug)]
struct Running {
    by: By,
    stop: Arc<AtomicBool>,
    run: ScrubRun,
}

/// The right to scrub a volume, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    desk: Arc<Desk>,
    stop: Arc<AtomicBool>,
}

impl Desk {
    /// Takes the turn.
    ///
    /// # Errors
    /// `InUse` when somebody scrubs the volume already; the schedule makes way for a person.
    pub(crate) async fn begin(self: &Arc<Self>, by: By) -> Result<Turn> {
        let patience = Instant::now() + MAKE_WAY_TIME_MAX;
        loop {
            {
                let mut state = self.0.lock();
                match &state.running {
                    None => {
                        let stop = Arc::new(AtomicBool::new(false));
                        state.running = Some(Running { by, stop: Arc::clone(&stop), run: ScrubRun::default() });
                        return Ok(Turn { desk: Arc::clone(self), stop });
                    }
                    Some(running) if (running.by, by) == (By::Schedule, By::Person) => {
                        running.stop.store(true, Ordering::Relaxed);
                    }
                    Some(_) => return Err(busy()),
                }
            }
            if Instant::now() >= patience {
                return Err(busy());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Where the scrub is that runs now.
    pub(crate) fn running(&self) -> Option<ScrubRun> {
        self.0.lock().running.as_ref().map(|running| running.run.clone())
    }

    /// What the schedule goes by, if it has been read.
    pub(crate) fn known(&self) -> Option<Known> {
        self.0.lock().known
    }

    /// It has been read, or has changed.
    pub(crate) fn learn(&self, known: Known) {
        self.0.lock().known = Some(known);
    }
}

impl Turn {
    /// Whether it is to make way.
    ///
    /// # Errors
    /// `InUse`.
    pub(crate) fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(busy()) } else { Ok(()) }
    }

    /// It has come so far.
    pub(crate) fn stands(&self, run: &ScrubRun) {
        if let Some(running) = &mut self.desk.0.lock().running {
            running.run = run.clone();
        }
    }

    /// What the schedule will go by.
    pub(crate) fn learn(&self, known: Known) {
        self.desk.learn(known);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.desk.0.lock().running = None;
    }
}

fn busy() -> Error {
    let message = "somebody scrubs this volume already; `holdfast volume scrub VOLUME --status` says how far it is";
    Error::new(ErrorKind::InUse, message)
}
