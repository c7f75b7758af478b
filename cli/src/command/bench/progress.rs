//! The bar on standard error while rows are measured; none unless that is a terminal.
//!
//! Rows only store figures. A thread of its own draws them ten times a second, so that drawing costs
//! no row its time.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::output::bar;

const EVERY: Duration = Duration::from_millis(100);
/// The whole of a row.
const WHOLE: f64 = 1000.0;

#[derive(Debug, Default)]
struct State {
    rows: AtomicUsize,
    begun: AtomicUsize,
    /// Thousandths of the row.
    stands: AtomicU32,
    name: Mutex<&'static str>,
    over: AtomicBool,
}

/// A bar.
#[derive(Debug)]
pub(super) struct Progress {
    state: Arc<State>,
    drawer: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Progress {
    pub(super) fn start() -> Self {
        let progress = Self::hidden();
        if io::stderr().is_terminal() {
            let state = Arc::clone(&progress.state);
            // Without a thread there is no bar, and nothing else is lost.
            let drawer = thread::Builder::new().name("progress".to_owned()).spawn(move || draw(&state)).ok();
            *progress.drawer.lock().unwrap_or_else(PoisonError::into_inner) = drawer;
        }
        progress
    }

    pub(super) fn hidden() -> Self {
        Self { state: Arc::default(), drawer: Mutex::default() }
    }

    pub(super) fn expect(&self, rows: usize) {
        self.state.rows.store(rows, Ordering::Relaxed);
    }

    pub(super) fn row(&self, name: &'static str) {
        *self.state.name.lock().unwrap_or_else(PoisonError::into_inner) = name;
        self.state.stands.store(0, Ordering::Relaxed);
        self.state.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// How much of the row is done, from 0 to 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 1000")]
    pub(super) fn stands(&self, done: f64) {
        self.state.stands.store((done.clamp(0.0, 1.0) * WHOLE) as u32, Ordering::Relaxed);
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.state.over.store(true, Ordering::Relaxed);
        let drawer = self.drawer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(drawer) = drawer {
            drawer.thread().unpark();
            let _panicked = drawer.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn draw(state: &State) {
    let mut err = io::stderr();
    while !state.over.load(Ordering::Relaxed) {
        let name = *state.name.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, rows) = (state.begun.load(Ordering::Relaxed), state.rows.load(Ordering::Relaxed));
        let line = line(name, begun, rows, f64::from(state.stands.load(Ordering::Relaxed)) / WHOLE);
        let _gone = write!(err, "\r{line}\u{1b}[K").and_then(|()| err.flush());
        thread::park_timeout(EVERY);
    }
    let _gone = write!(err, "\r\u{1b}[K").and_then(|()| err.flush());
}

/// The bar: rows that are over, and as much of the present one as is done.
pub(super) fn line(name: &str, begun: usize, rows: usize, stands: f64) -> String {
    bar::line((begun.saturating_sub(1) as f64 + stands) / rows.max(1) as f64, name)
}
