//! A pass: finds what is in use in the segments of a plan, moves it, and waits until each segment is gone.
//!
//! One segment after the other, each freed before the next is begun: so the room that it takes is that of
//! one. Steps are bounded, and none is begun while much waits for the disk.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::SegmentId;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::ledger::Ledger;
use super::plan::{Disk, Plan, Segment, has_lost};
use crate::clock::Clock;
use crate::integrity::pace::{self, Pace};
use crate::offload::blocking;
use crate::store::{InUse, Live, Relocated, batch_end, bytes_needed};
use crate::volume::Visit;

/// Extents that are kept in memory at a time, 80 bytes each.
const EXTENTS_MAX: usize = 256 << 10;

/// Time between two looks at whether the disk has caught up.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// What a pass is given.
pub(super) struct Job {
    pub(super) visit: Visit,
    pub(super) plan: Plan,
    /// Bytes a second that are moved; a disk that is nearly full is not kept waiting.
    pub(super) rate: u64,
    pub(super) ledger: Arc<Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: watch::Receiver<bool>,
}

/// A segment that is still there, and its live bytes.
pub(super) type Left = (SegmentId, u64);

struct Pass {
    shared: Arc<Shared>,
    plan: Plan,
    pace: Pace,
    /// Segments that were begun and could not be freed.
    left: Vec<Left>,
}

/// What threads that work on the disk need too.
struct Shared {
    visit: Visit,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
}

impl Shared {
    fn go_on(&self) -> Result<()> {
        if *self.stop.borrow() {
            return Err(Error::new(ErrorKind::Unavailable, "the server is stopping"));
        }
        self.visit.is_open()
    }
}

/// Frees the segments of a plan. What was not worth it, or could not be freed, is told.
///
/// # Errors
/// When it was broken off, or the metadata or the disk failed; what was moved by then is moved.
pub(super) async fn run(job: Job) -> (Vec<Left>, Result<()>) {
    let Job { visit, plan, rate, ledger, clock, stop } = job;
    let pace = Pace::new(rate, clock.boot());
    let book = Arc::clone(&ledger);
    let _at_work = book.at_work();
    let shared = Arc::new(Shared { visit, ledger, clock, stop });
    let mut pass = Pass { shared, plan, pace, left: Vec::new() };
    let result = pass.run().await;
    (pass.left, result)
}

impl Pass {
    async fn run(&mut self) -> Result<()> {
        let order: Vec<SegmentId> = self.plan.victims.iter().map(|victim| victim.id).collect();
        let shared = Arc::clone(&self.shared);
        let found = blocking(move || {
            // Nothing that comes from now on is in them, but copies of what is.
            let order: Vec<SegmentId> = order.into_iter().filter(|&id| shared.visit.store().seal(id)).collect();
            shared.visit.store().in_use(&order, EXTENTS_MAX, &|| shared.go_on())
        });
        for InUse { segment, live } in found.await? {
            let Some(victim) = self.plan.victims.iter().find(|victim| victim.id == segment).copied() else { continue };
            self.free(victim, live).await?;
        }
        Ok(())
    }

    /// Moves what is in use in one segment, and waits until the segment is gone.
    async fn free(&mut self, victim: Segment, live: Vec<Live>) -> Result<()> {
        let needed = bytes_needed(&live);
        let (free, reserve) = self.shared.visit.store().disk_room()?;
        let has_room = Disk { free, reserve }.has_room(needed);
        if !has_room || !self.plan.is_worth(victim.len, needed) {
            self.settle(victim.id);
            return Ok(());
        }
        let live = Arc::new(live);
        let mut at = 0;
        while at < live.len() {
            let end = batch_end(&live, at);
            if !self.step(&live, at, end).await? {
                break;
            }
            at = end;
        }
        self.until_freed(victim).await
    }

    /// Moves some frames; false: one of them is damaged.
    async fn step(&mut self, live: &Arc<Vec<Live>>, at: usize, end: usize) -> Result<bool> {
        while self.shared.visit.is_behind() {
            self.shared.go_on()?;
            tokio::time::sleep(TRY_AGAIN).await;
        }
        self.shared.go_on()?;
        let (shared, all) = (Arc::clone(&self.shared), Arc::clone(live));
        let became = blocking(move || {
            let became = shared.visit.store().relocate(&all[at..end]);
            shared.visit.compacted(false);
            became
        });
        match became.await? {
            Relocated::Moved { frames, bytes } => {
                self.shared.ledger.moved(frames, bytes);
                self.rest(bytes).await?;
                Ok(true)
            }
            Relocated::Damaged(damage) => {
                error!(
                    volume = self.shared.visit.name(),
                    %damage,
                    "a segment is not compacted: what it holds is damaged; `holdfast volume scrub` names the files"
                );
                self.shared.ledger.failed(self.shared.clock.now(), damage.to_string());
                Ok(false)
            }
        }
    }

    /// Keeps the pace.
    async fn rest(&mut self, bytes: u64) -> Result<()> {
        if self.plan.tight {
            return Ok(());
        }
        pace::rest(self.pace.took(bytes, self.shared.clock.boot()), || self.shared.go_on()).await
    }

    async fn until_freed(&mut self, victim: Segment) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let mark = blocking(move || {
            shared.visit.store().drop_empty_segments()?;
            let mark = shared.visit.store().applied_mark();
            shared.visit.compacted(true);
            Ok(mark)
        });
        if !self.shared.visit.until_durable(mark.await?, || self.shared.go_on()).await? {
            return Err(Error::new(ErrorKind::Timeout, "what was moved does not become durable"));
        }
        let name = self.shared.visit.name();
        match self.shared.visit.store().segment_account(victim.id) {
            None => {
                self.shared.ledger.freed(victim.len);
                info!(volume = name, segment = victim.id.0, bytes = victim.len, moved = victim.live, "compacted");
            }
            // There was more in it than is moved at a time.
            Some(account) if has_lost(victim.live, account.live) => {}
            Some(account) => {
                warn!(volume = name, segment = victim.id.0, live = account.live, "a segment could not be freed");
                self.settle(victim.id);
            }
        }
        Ok(())
    }

    fn settle(&mut self, id: SegmentId) {
        if let Some(account) = self.shared.visit.store().segment_account(id) {
            self.left.push((id, account.live));
        }
    }
}
