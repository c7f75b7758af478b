//! A scrub: reads every frame that a file uses from the disk, in order of place, and says which are bad
//! and whose they are.
//!
//! - Which frames are in use is seen as of a commit, anew for every [`LIVE_MAX`] of them (80 bytes
//!   each, twice at most). A bad one counts only if it is still in use when it is found.
//! - The disk is asked, not the page cache, and at no more than the rate; nothing stays cached.
//! - Where it is, is on disk after a few seconds at the latest, with everything that was found before
//!   that place. Frames that come after it began are for the next one.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::integrity::{BadFrame, BadSegment, Fault, ScrubPlace, ScrubRun};
use holdfast_core::session::BootTime;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::{error, warn};

use super::chunk;
use super::desk::Turn;
use super::naming::bad_frames;
use super::pace::{self, Pace};
use super::record::{self, BAD_KEPT_MAX, Record};
use super::schedule::Known;
use crate::clock::Clock;
use crate::offload::blocking;
use crate::store::Live;
use crate::volume::Visit;

/// Extents that are kept in memory at a time.
const LIVE_MAX: usize = 512 << 10;
/// Bad frames whose files are looked up together, at most.
const PENDING_MAX: usize = 10_000;
/// Time between two messages about where it stands; also the longest silence.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Time between two writes of where it is.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// Looking up names may take a while: it takes at most this share of the time, one in so many.
const NAMING_SHARE: u32 = 4;

/// What a scrub tells on its way.
#[derive(Debug)]
pub(crate) enum Event {
    /// Where it stands; without the lists of what was found.
    Progress(ScrubRun),
    /// A frame is bad.
    BadFrame(Box<BadFrame>),
    /// A segment is.
    BadSegment(BadSegment),
    /// It has looked at everything; without the lists again.
    Done(ScrubRun),
}

/// Who is told.
pub(crate) type Events = mpsc::Sender<Result<Event>>;

/// What a scrub is given.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) visit: Visit,
    pub(crate) turn: Turn,
    /// Where the record is.
    pub(crate) dir: PathBuf,
    /// Bytes a second.
    pub(crate) rate: u64,
    /// `None`: nobody listens, and it goes on all the same.
    pub(crate) events: Option<Events>,
}

struct Scrub {
    shared: Arc<Shared>,
    dir: PathBuf,
    pace: Pace,
    record: Record,
    run: ScrubRun,
    /// Bad ones whose files are not known yet, in order of place.
    pending: Vec<(Live, Fault)>,
    /// Place, frames and bytes as they were before the first of those.
    before_pending: (ScrubPlace, u64, u64),
    /// When it is to be saved next.
    save_at: BootTime,
}

/// What threads that read the disk need too.
struct Shared {
    visit: Visit,
    turn: Turn,
    events: Option<Events>,
    clock: Arc<dyn Clock>,
    told: Mutex<Told>,
}

/// Where it stands, and when that was told.
struct Told {
    at: BootTime,
    run: ScrubRun,
}

impl Shared {
    /// Tells where it stands, now and then, or at once; who is slow to listen gets the next one.
    fn tell(&self, at_once: bool) {
        let now = self.clock.boot();
        let mut told = self.told.lock();
        if !at_once && now.0 < told.at.0 + TELL_EVERY {
            return;
        }
        told.at = now;
        self.turn.stands(&told.run);
        if let Some(events) = &self.events {
            // Full: the next one will do. Closed: that is seen in another place.
            let _ = events.try_send(Ok(Event::Progress(told.run.clone())));
        }
    }

    /// Whether to go on. Also a sign of life.
    fn go_on(&self) -> Result<()> {
        self.tell(false);
        self.visit.is_open()?;
        self.turn.go_on()?;
        match &self.events {
            Some(events) if events.is_closed() => {
                Err(Error::new(ErrorKind::Unavailable, "nobody waits for this scrub any more"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Scrubs a volume from where the last scrub was broken off, or from the start with `restart`. Ends early
/// when its turn is over, the volume is closed, or nobody listens who did; its place is kept.
///
/// # Errors
/// When it ended early, or the disk or the metadata could not be read.
pub(crate) async fn run(job: Job, clock: Arc<dyn Clock>, restart: bool) -> Result<ScrubRun> {
    let Job { visit, turn, dir, rate, events } = job;
    let now = clock.boot();
    let told = Mutex::new(Told { at: now, run: ScrubRun::default() });
    let shared = Arc::new(Shared { visit, turn, events, clock, told });
    let from = dir.clone();
    let mut record = blocking(move || record::read(&from)).await?;
    let begun = record.current.take().filter(|_| !restart);
    let pace = Pace::new(rate, now);
    let save_at = BootTime(now.0 + SAVE_EVERY);
    let mut scrub = Scrub {
        shared,
        dir,
        pace,
        record,
        run: ScrubRun::default(),
        pending: Vec::new(),
        before_pending: (ScrubPlace::default(), 0, 0),
        save_at,
    };
    scrub.begin(begun).await?;
    let result = scrub.scrub_on().await;
    if result.is_err() {
        // What was found before its place is known; the rest is found again.
        if let Err(error) = scrub.save().await {
            warn!(volume = scrub.shared.visit.name(), ?error, "cannot keep where a scrub is");
        }
    }
    result.map(|()| scrub.run)
}

impl Scrub {
    async fn begin(&mut self, begun: Option<ScrubRun>) -> Result<()> {
        self.run = match begun {
            Some(run) => run,
            None => {
                let shared = Arc::clone(&self.shared);
                let (until, bytes_total) = blocking(move || shared.visit.store().scrub_extent()).await?;
                ScrubRun { begun: self.shared.clock.now(), until, bytes_total, ..ScrubRun::default() }
            }
        };
        for bad in self.run.bad.clone() {
            self.tell(Event::BadFrame(Box::new(bad))).await?;
        }
        let shared = Arc::clone(&self.shared);
        let segments = blocking(move || shared.visit.store().bad_segments()).await?;
        for bad in &segments {
            error!(
                volume = self.shared.visit.name(),
                segment = bad.segment.0,
                expected = bad.expected,
                found = ?bad.found,
                "a segment is missing or too short; restore its file from a copy"
            );
            self.tell(Event::BadSegment(*bad)).await?;
        }
        self.run.segments = segments;
        self.moved(true);
        self.save().await
    }

    async fn scrub_on(&mut self) -> Result<()> {
        loop {
            let (shared, from, until) = (Arc::clone(&self.shared), self.run.place, self.run.until);
            let (live, is_all) =
                blocking(move || shared.visit.store().live_frames(from, until, LIVE_MAX, &|| shared.go_on())).await?;
            let live = Arc::new(live);
            let mut at = 0;
            while at < live.len() {
                let end = chunk::end(&live, at);
                self.verify(&live, at, end).await?;
                at = end;
                if self.pending.len() >= PENDING_MAX || self.shared.clock.boot() >= self.save_at {
                    self.name_pending().await?;
                    self.save().await?;
                }
            }
            if is_all {
                break;
            }
        }
        self.name_pending().await?;
        self.run.ended = Some(self.shared.clock.now());
        self.save().await?;
        self.tell(Event::Done(without_lists(&self.run))).await
    }

    /// Verifies one stretch, at the pace.
    async fn verify(&mut self, live: &Arc<Vec<Live>>, at: usize, end: usize) -> Result<()> {
        self.shared.go_on()?;
        let (shared, all) = (Arc::clone(&self.shared), Arc::clone(live));
        let (frames, bytes, bad) = blocking(move || {
            let stretch = &all[at..end];
            let frames = chunk::frames(stretch);
            let store = shared.visit.store();
            let mut bad = Vec::new();
            for (index, fault) in store.verify(&frames)? {
                let of_frame = stretch.iter().filter(|live| live.frame == frames[index]);
                for live in of_frame {
                    // What was written over or removed meanwhile is nobody's loss.
                    if store.is_live(live)? {
                        bad.push((*live, fault));
                    }
                }
            }
            let bytes: u64 = frames.iter().map(|frame| u64::from(frame.len)).sum();
            Ok((frames.len() as u64, bytes, bad))
        })
        .await?;
        if self.pending.is_empty() {
            self.before_pending = (live[at].place(), self.run.frames, self.run.bytes);
        }
        self.pending.extend(bad);
        self.run.frames += frames;
        self.run.bytes += bytes;
        if let Some(last) = live.get(end - 1) {
            self.run.place = ScrubPlace { position: last.frame.position + 1, ..last.place() };
        }
        self.moved(false);
        pace::rest(self.pace.took(bytes, self.shared.clock.boot()), || self.shared.go_on()).await
    }

    /// Finds out whose the bad frames are that were met, and tells.
    async fn name_pending(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let begun = self.shared.clock.boot();
        let pending = self.pending.clone();
        let shared = Arc::clone(&self.shared);
        let found = blocking(move || {
            let data: HashSet<_> = pending.iter().map(|(live, _)| live.data).collect();
            let owners = shared.visit.store().owners_of(&data, &|| shared.go_on())?;
            Ok(bad_frames(&pending, &owners))
        })
        .await?;
        self.pending.clear();
        for bad in found {
            self.log(&bad);
            self.run.bad_frames += 1;
            if self.run.bad.len() < BAD_KEPT_MAX {
                self.run.bad.push(bad.clone());
            }
            self.tell(Event::BadFrame(Box::new(bad))).await?;
        }
        let took = self.shared.clock.boot().0.saturating_sub(begun.0);
        self.save_at = BootTime(self.shared.clock.boot().0 + SAVE_EVERY.max(took * NAMING_SHARE));
        Ok(())
    }

    fn log(&self, bad: &BadFrame) {
        let files: Vec<String> = bad
            .files
            .iter()
            .map(|file| match file.paths.first() {
                Some(path) => format!("{} (inode {})", path.escape_ascii(), file.ino),
                None => format!("inode {}, no name", file.ino),
            })
            .collect();
        error!(
            volume = self.shared.visit.name(),
            segment = bad.segment.0,
            position = bad.position,
            len = bad.len,
            fault = bad.fault.word(),
            files = files.join(", "),
            "bit rot: a frame {}",
            bad.fault.means()
        );
    }

    /// Keeps where it is. Bad frames without names are before that place, so they are named first, or
    /// found again.
    async fn save(&mut self) -> Result<()> {
        let mut run = self.run.clone();
        if !self.pending.is_empty() {
            (run.place, run.frames, run.bytes) = self.before_pending;
        }
        let is_over = run.ended.is_some();
        self.shared.turn.stands(&without_lists(&run));
        if is_over {
            (self.record.last, self.record.current) = (Some(run), None);
        } else {
            self.record.current = Some(run);
        }
        let (dir, record) = (self.dir.clone(), self.record.clone());
        self.shared.turn.learn(Known::of(&record));
        self.save_at = self.save_at.max(BootTime(self.shared.clock.boot().0 + SAVE_EVERY));
        blocking(move || record::write(&dir, &record)).await
    }

    async fn tell(&self, event: Event) -> Result<()> {
        let Some(events) = &self.shared.events else { return Ok(()) };
        events
            .send(Ok(event))
            .await
            .map_err(|_| Error::new(ErrorKind::Unavailable, "nobody waits for this scrub any more"))
    }

    /// It stands elsewhere.
    fn moved(&self, at_once: bool) {
        self.shared.told.lock().run = without_lists(&self.run);
        self.shared.tell(at_once);
    }
}

fn without_lists(run: &ScrubRun) -> ScrubRun {
    ScrubRun { bad: Vec::new(), segments: Vec::new(), ..*run }
}
