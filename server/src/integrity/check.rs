//! A check of a volume's metadata, and its repair.
//!
//! A repair goes in rounds: check, mend what is safe, wait until that is durable, check again; so the
//! last check has seen everything that was mended. It ends when a round mends nothing.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::integrity::{CheckPhase, CheckProgress, CheckReport, Finding, FindingKind, Mending, Subject};
use holdfast_core::session::BootTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::meta::check::mend::decide;
use crate::meta::check::{Bounds, Checked};
use crate::offload::blocking;
use crate::volume::{Mended, Visit};

/// Time between two messages about where it stands.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Rounds of one repair.
const ROUNDS_MAX: usize = 8;
/// How long clients may take to give back what is in the way of a repair, all together.
const GIVE_BACK_TIME_MAX: Duration = Duration::from_secs(10);
/// Time between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// What a check tells on its way.
#[derive(Debug)]
pub(crate) enum Event {
    /// Where it stands.
    Progress(CheckProgress),
    /// Something that differs, and what became of it.
    Found(Box<Finding>),
    /// It is over.
    Done(CheckReport),
}

/// Who is told.
pub(crate) type Events = mpsc::Sender<Result<Event>>;

/// A check under way.
struct Check {
    visit: Arc<Visit>,
    clock: Arc<dyn Clock>,
    events: Events,
}

/// Checks a volume, and mends what is safe if `repair` says so. Tells everything to `events`; ends when
/// nobody listens there any more.
///
/// # Errors
/// When the volume is closed, its metadata cannot be read, or nobody listens.
pub(crate) async fn run(visit: Visit, clock: Arc<dyn Clock>, repair: bool, events: Events) -> Result<CheckReport> {
    let check = Check { visit: Arc::new(visit), clock, events };
    let _alone = match repair {
        true => Some(check.visit.begin_mending().await),
        false => None,
    };
    let mut report = CheckReport::default();
    let mut unmended: Vec<Finding> = Vec::new();
    for round in 1.. {
        let mut checked = check.look().await?;
        decide(&mut checked.findings, checked.cut);
        report.counted = checked.counted;
        report.cut = checked.cut;
        let safe = checked.findings.iter().any(|finding| finding.mending == Mending::Safe);
        if repair && safe && round <= ROUNDS_MAX {
            let mended = check.mend(&checked.findings, &mut unmended).await?;
            report.mended += mended;
            if mended > 0 {
                continue;
            }
        }
        for mut finding in checked.findings {
            if let Some(tried) = unmended.iter().find(|tried| tried.is_same(&finding)) {
                finding.mending = tried.mending;
            }
            report.left += 1;
            check.tell(Event::Found(Box::new(finding))).await?;
        }
        break;
    }
    check.tell(Event::Done(report)).await?;
    Ok(report)
}

impl Check {
    async fn tell(&self, event: Event) -> Result<()> {
        self.events.send(Ok(event)).await.map_err(|_| nobody_listens())
    }

    /// One check, from the first record to the last.
    async fn look(&self) -> Result<Checked> {
        let (visit, clock, events) = (Arc::clone(&self.visit), Arc::clone(&self.clock), self.events.clone());
        blocking(move || {
            let mut told: Option<(CheckPhase, BootTime)> = None;
            let mut observe = |progress: CheckProgress| {
                visit.is_open()?;
                if events.is_closed() {
                    return Err(nobody_listens());
                }
                let now = clock.boot();
                let due = told.is_none_or(|(phase, at)| phase != progress.phase || now.0 >= at.0 + TELL_EVERY);
                // Who is slow to listen gets the next one.
                if due && events.try_send(Ok(Event::Progress(progress))).is_ok() {
                    told = Some((progress.phase, now));
                }
                Ok(())
            };
            let mut checked = visit.store().check(Bounds::default(), &mut observe)?;
            let left = visit.left_orphans(&checked.orphans)?;
            checked.findings.extend(left.into_iter().map(|ino| {
                let path = None;
                Finding { path, ..Finding::new(FindingKind::OrphanLeft, Subject::Inode(ino)) }
            }));
            Ok(checked)
        })
        .await
    }

    /// Mends what is safe, tells of it, and waits until it is durable; how many findings it mended. Those
    /// that it could not mend it keeps in `unmended`.
    async fn mend(&self, findings: &[Finding], unmended: &mut Vec<Finding>) -> Result<u64> {
        let total = findings.len() as u64;
        let patience = Instant::now() + GIVE_BACK_TIME_MAX;
        let mut mended = 0;
        unmended.clear();
        for (done, finding) in findings.iter().enumerate() {
            if finding.mending != Mending::Safe {
                continue;
            }
            let progress = CheckProgress { phase: CheckPhase::Mending, done: done as u64, total };
            self.tell(Event::Progress(progress)).await?;
            let became = self.mend_one(finding, patience).await?;
            let finding = Finding { mending: became.into(), ..finding.clone() };
            if became == Mended::Done {
                mended += 1;
                self.tell(Event::Found(Box::new(finding))).await?;
            } else {
                unmended.push(finding);
            }
        }
        if mended > 0 {
            self.until_durable().await?;
        }
        Ok(mended)
    }

    async fn mend_one(&self, finding: &Finding, patience: Instant) -> Result<Mended> {
        loop {
            let (visit, finding) = (Arc::clone(&self.visit), finding.clone());
            let became = blocking(move || visit.mend(&finding)).await?;
            if became != Mended::InUse || Instant::now() >= patience {
                return Ok(became);
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn until_durable(&self) -> Result<()> {
        let mark = self.visit.store().applied_mark();
        if !self.visit.until_durable(mark, || self.visit.is_open()).await? {
            return Err(Error::new(ErrorKind::Timeout, "what was mended is not on disk yet; check again later"));
        }
        Ok(())
    }
}

fn nobody_listens() -> Error {
    Error::new(ErrorKind::Unavailable, "nobody waits for this check any more")
}
