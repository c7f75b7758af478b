//! Scrubs that nobody has to ask for: each volume once in an interval, one volume at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::id::VolumeId;
use holdfast_core::time::Timestamp;
use holdfast_proto::volume::VolumeRef;
use tokio::sync::watch;
use tracing::{info, warn};

use super::desk::{By, Desk};
use super::{record, scrub};
use crate::config::ScrubPolicy;
use crate::offload::blocking;
use crate::registry::Registry;

/// Longest time between two looks at what is due.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(60);
/// Shortest time, so that a short interval does not burn a processor.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(200);
/// Looks in an interval, at least.
const LOOKS: u32 = 10;

/// What is known of a volume's scrubs, for the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// When the last one ended.
    pub(crate) ended: Option<Timestamp>,
    /// One has begun and not ended.
    pub(crate) is_begun: bool,
    /// When one could not go on.
    pub(crate) failed: Option<Timestamp>,
}

impl Known {
    /// What a record says.
    pub(crate) fn of(record: &record::Record) -> Self {
        Self { ended: record.last.as_ref().and_then(|run| run.ended), is_begun: record.current.is_some(), failed: None }
    }
}

/// A volume as the schedule sees it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: VolumeId,
    pub(crate) created: Timestamp,
    pub(crate) dir: PathBuf,
    pub(crate) desk: Arc<Desk>,
}

/// For how many seconds a volume has been due; `None`: it is not. What has begun is due at once, what could
/// not go on a tenth of an interval later.
fn due(known: Known, created: Timestamp, now: Timestamp, interval: Duration) -> Option<i64> {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let since = match (known.is_begun, known.ended) {
        (true, ended) => ended.unwrap_or(created).secs,
        (false, ended) => ended.unwrap_or(created).secs.saturating_add(seconds(interval)),
    };
    let rests = known.failed.is_some_and(|at| now.secs < at.secs.saturating_add(seconds(interval / LOOKS).max(1)));
    (!rests && since <= now.secs).then(|| now.secs.saturating_sub(since))
}

/// Scrubs what is due until the server stops.
pub(crate) async fn run(registry: Arc<Registry>, policy: ScrubPolicy, mut stop: watch::Receiver<bool>) {
    let Some(interval) = policy.interval else { return };
    let every = (interval / LOOKS).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX);
    loop {
        // Over in time: the server stops, or is gone.
        if tokio::time::timeout(every, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        while let Some(candidate) = most_due(&registry, interval).await {
            scrub_one(&registry, &candidate, policy).await;
            if *stop.borrow() {
                return;
            }
        }
    }
}

async fn most_due(registry: &Arc<Registry>, interval: Duration) -> Option<Candidate> {
    let now = registry.shared().clock.now();
    let mut most: Option<(i64, Candidate)> = None;
    for candidate in registry.scrub_candidates() {
        let known = match candidate.desk.known() {
            Some(known) => known,
            None => learn(&candidate, now).await,
        };
        if let Some(late) = due(known, candidate.created, now, interval)
            && candidate.desk.running().is_none()
            && most.as_ref().is_none_or(|(most, _)| late > *most)
        {
            most = Some((late, candidate));
        }
    }
    most.map(|(_, candidate)| candidate)
}

/// Reads a record that has not been read since the server was started.
async fn learn(candidate: &Candidate, now: Timestamp) -> Known {
    let dir = candidate.dir.clone();
    let known = match blocking(move || record::read(&dir)).await {
        Ok(record) => Known::of(&record),
        Err(error) => {
            warn!(volume = %candidate.id, ?error, "cannot read when this volume was scrubbed");
            Known { failed: Some(now), ..Known::default() }
        }
    };
    candidate.desk.learn(known);
    known
}

async fn scrub_one(registry: &Arc<Registry>, candidate: &Candidate, policy: ScrubPolicy) {
    let (id, desk) = (candidate.id, &candidate.desk);
    let scrubbed = async {
        let turn = desk.begin(By::Schedule).await?;
        let visit = registry.visit(&VolumeRef::Id(id)).await?;
        let job = scrub::Job { visit, turn, dir: candidate.dir.clone(), rate: policy.bytes_per_second, events: None };
        scrub::run(job, Arc::clone(&registry.shared().clock), false).await
    };
    match scrubbed.await {
        Ok(run) => info!(volume = %id, frames = run.frames, bad = run.bad_frames, "the volume was scrubbed"),
        Err(error) => {
            info!(volume = %id, %error, "a scrub was broken off; it goes on later");
            let known = desk.known().unwrap_or_default();
            desk.learn(Known { failed: Some(registry.shared().clock.now()), ..known });
        }
    }
}

#[cfg(test)]
mod tests;
