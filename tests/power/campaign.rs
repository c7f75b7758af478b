//! Many power losses: runs sequences group by group, chooses places and kinds of loss, and lets several
//! servers recover at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use holdfast_tests::lossy::{Image, Loss};
use holdfast_tests::random::Random;

use crate::recover::{Wanted, recover};
use crate::sequence::{self, Sequence};
use crate::trace::Trace;

/// Sequences that one server runs, on one volume.
const GROUP: usize = 8;
/// Servers that recover at a time. Most of that time they wait for the lease of the client that is gone.
const RECOVERING: usize = 24;
/// One recovery in so many loses its power too.
const AGAIN_EVERY: usize = 8;
/// A campaign ends after so many violations.
const VIOLATIONS_MAX: usize = 3;

/// What a campaign is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Disks to recover from, at least.
    pub(crate) losses: usize,
    /// Failpoints of the server that does the work; those that recover have none.
    pub(crate) failpoints: &'static str,
}

/// What it did.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) sequences: usize,
    /// Syncs of the disk in all records.
    pub(crate) syncs: usize,
    /// Syncs that were acknowledged to the client.
    pub(crate) acknowledged: usize,
    /// Disks that a server recovered from, by kind of loss.
    pub(crate) losses: BTreeMap<Loss, usize>,
    /// Of these, those on which the volume held something that the client had been promised.
    pub(crate) promised: usize,
    /// Of these, those that differ from what the process had written.
    pub(crate) injected: usize,
    /// Power losses in the middle of a recovery.
    pub(crate) again: usize,
    /// Names compared.
    pub(crate) names: usize,
    pub(crate) violations: Vec<String>,
}

impl Report {
    pub(crate) fn recovered(&self) -> usize {
        self.losses.values().sum::<usize>() + self.again
    }
}

/// One disk to recover from.
struct Job {
    trace: Arc<Trace>,
    place: usize,
    loss: Loss,
    image: Image,
    /// Whether the loss took something away.
    injected: bool,
    /// For a power loss in the middle of the recovery.
    again: Option<u64>,
}

/// Where threads report.
struct Desk {
    report: Mutex<Report>,
    enough: AtomicBool,
    begun: Instant,
}

impl Desk {
    fn change(&self, change: impl FnOnce(&mut Report)) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut report);
        if report.violations.len() >= VIOLATIONS_MAX {
            self.enough.store(true, Ordering::Relaxed);
        }
        let recovered = report.recovered();
        if recovered > 0 && recovered.is_multiple_of(500) {
            eprintln!("  {recovered} in {:.0?}", self.begun.elapsed());
        }
    }

    fn is_over(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }
}

/// Which sequences: all, when every one can have two losses and more; else some, with four each.
fn choose(losses: usize, random: &mut Random) -> Vec<Sequence> {
    let all = sequence::all();
    if losses >= 2 * all.len() { all } else { sequence::some((losses / 4).clamp(GROUP, all.len()), random) }
}

/// Runs a campaign.
pub(crate) fn run(plan: Plan, seed: u64) -> Report {
    let mut random = Random::new(seed);
    let sequences = choose(plan.losses, &mut random);
    let desk = Desk { report: Mutex::default(), enough: AtomicBool::new(false), begun: Instant::now() };
    let (give, take) = sync_channel(RECOVERING);
    let take = Mutex::new(take);
    thread::scope(|scope| {
        for _ in 0..RECOVERING {
            scope.spawn(|| work(&take, &desk));
        }
        let groups = sequences.len().div_ceil(GROUP);
        for (number, group) in sequences.chunks(GROUP).enumerate() {
            if desk.is_over() {
                break;
            }
            let trace = Arc::new(Trace::make(group, plan.failpoints));
            desk.change(|report| {
                report.sequences += group.len();
                report.syncs += trace.syncs().len();
                report.acknowledged += trace.acknowledged.len();
            });
            let share = plan.losses * (number + 1) / groups - plan.losses * number / groups;
            lose(&trace, share, &mut random, &give, &desk);
        }
        drop(give);
    });
    desk.report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Chooses disks that differ, or of which more was promised: one half just before or after a sync, the other
/// anywhere; a fifth of both in all that there is, the others since something was acknowledged.
fn lose(trace: &Arc<Trace>, share: usize, random: &mut Random, give: &SyncSender<Job>, desk: &Desk) {
    let (mut seen, mut given) = (BTreeSet::new(), 0);
    let promised = trace.acknowledged.first().map_or(0, |(place, _)| *place);
    let (all, later) = (trace.syncs(), trace.syncs().into_iter().filter(|at| *at >= promised).collect::<Vec<_>>());
    for _ in 0..share * 20 {
        if given == share || desk.is_over() {
            break;
        }
        let (syncs, from) = if random.percent(20) { (&all, 0) } else { (&later, promised) };
        let place = if random.percent(50) {
            random.pick(syncs) + random.index(2)
        } else {
            from + random.index(trace.record.len() + 1 - from)
        };
        // Most of what an omitted sync costs is seen by the simplest loss.
        let loss = if random.percent(25) { Loss::Least } else { *random.pick(&Loss::ALL) };
        let record = &trace.record[..place];
        let image = loss.after(&Image::default(), record, random);
        if !seen.insert((image.fingerprint(), trace.allowed(place).0)) {
            continue;
        }
        let injected = image != Loss::Most.after(&Image::default(), record, random);
        let again = (given % AGAIN_EVERY == 0).then(|| random.bits());
        given += 1;
        if give.send(Job { trace: Arc::clone(trace), place, loss, image, injected, again }).is_err() {
            break;
        }
    }
}

fn work(take: &Mutex<Receiver<Job>>, desk: &Desk) {
    loop {
        let job = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { break };
        if desk.is_over() {
            continue;
        }
        recover_one(&job, desk);
    }
}

fn recover_one(job: &Job, desk: &Desk) {
    let (first, last) = job.trace.allowed(job.place);
    let marks = &job.trace.marks;
    let wanted = Wanted { volume: job.place >= job.trace.volume_from, marks: &marks[first..=last] };
    let recovered = recover(&job.image, wanted);
    let promised = wanted.volume && first > 0;
    desk.change(|report| {
        *report.losses.entry(job.loss).or_default() += 1;
        report.promised += usize::from(promised);
        report.injected += usize::from(job.injected);
        match &recovered {
            Ok(recovered) => report.names += recovered.names,
            Err(why) => report.violations.push(describe(job, "", why)),
        }
    });
    let (Ok(recovered), Some(seed)) = (recovered, job.again) else { return };
    // The same power loss again, in the middle of that recovery: what was there must be there still.
    let mut random = Random::new(seed);
    let place = random.index(recovered.record.len() + 1);
    let loss = *random.pick(&Loss::ALL);
    let image = loss.after(&job.image, &recovered.record[..place], &mut random);
    let only = recovered.mark.map_or(0, |mark| first + mark);
    let wanted = Wanted { volume: recovered.mark.is_some() && wanted.volume, marks: &marks[only..=only] };
    let second = recover(&image, wanted);
    desk.change(|report| {
        report.again += 1;
        match second {
            Ok(recovered) => report.names += recovered.names,
            Err(why) => {
                let place = format!(", and {loss:?} at {place} of the recovery");
                report.violations.push(describe(job, &place, &why));
            }
        }
    });
}

fn describe(job: &Job, then: &str, why: &str) -> String {
    let from = job.place.saturating_sub(12);
    let record: Vec<String> = job.trace.record[from..job.place].iter().map(|change| format!("{change:?}")).collect();
    let sequences: Vec<String> =
        job.trace.sequences.iter().map(|sequence| format!("{:?} {:?}", sequence.syncs, sequence.acts)).collect();
    format!(
        "{:?} at {} of {}{then}:\n{why}\nThe last of the record:\n  {}\nSequences:\n  {}",
        job.loss,
        job.place,
        job.trace.record.len(),
        record.join("\n  "),
        sequences.join("\n  ")
    )
}
