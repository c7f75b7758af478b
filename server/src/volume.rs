//! The owner of a volume: one per open volume. It puts the operations of all sessions into one
//! order, applies them, and tells each session what became of its own.
//!
//! Guarantees:
//! - An operation is applied once, in its session's order, whatever breaks and is re-sent.
//! - Nobody has a copy of what an operation changes when it is applied ([`leases`]), but of content.
//! - Answers go out in order; none goes out before the sessions that have the file open have
//!   dropped what they cached of it ([`invalidate`]).
//! - What one session has changed is shown to others when it is durable ([`unsettled`]).
//! - `Durable` is said only of what [`Store::commit`] has returned for, and after its answer.
//! - After a restart nobody reads or changes anything until the known sessions have brought back
//!   what they had ([`recovery`]), or their lease is over.
//! - A session whose lease is over is fenced on disk before its locks go to others.
//!
//! One mutex guards everything here but the store's own data; nothing awaits under it. The streams
//! apply inline under it; one commit of a volume runs at a time, on its committer or on a stream's
//! thread. It never speaks gRPC and never touches a file itself.

pub(crate) use self::check::Mended;
pub(crate) use self::staging::session_lost;
pub(crate) use self::unsettled::{Thing, attributes};
pub(crate) use self::visit::Visit;

mod check;
mod commit;
mod compact;
mod demand;
mod inspect;
mod invalidate;
mod leases;
mod locking;
mod member;
mod opens;
mod operations;
mod pace;
mod patience;
mod recovery;
mod sessions;
mod staging;
mod unfenced;
mod unsettled;
mod visit;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{SessionId, VolumeId};
use holdfast_core::lock::{LockTable, Ticket};
use holdfast_core::session::{BootTime, server_waits_until};
use holdfast_core::volume::{MountPolicy, Quota, Usage};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tracing::{error, info, warn};

use self::commit::Plan;
use self::demand::Demand;
use self::invalidate::Invalidations;
use self::leases::Leases;
use self::member::{Leave, Member};
use self::opens::Opens;
use self::pace::Pace;
use self::recovery::{Recovery, Verdict};
use self::unsettled::Unsettled;
use crate::clock::Clock;
use crate::config::{CommitPolicy, LeaseTimes, TICK};
use crate::fatal::Fatal;
use crate::registry::Directory;
use crate::session::Outbound;
use crate::store::Store;

/// Locks and waits for locks of one session.
const LOCKS_PER_SESSION_MAX: usize = 100_000;
/// How long an operation waits for the data that it names.
const STAGE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Ticks come far more often: such a gap means that this process stood still, and nobody could renew anything.
const PAUSE_MIN: Duration = Duration::from_secs(2);

/// What an owner is told when its volume is opened.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) quota: Quota,
    pub(crate) policy: MountPolicy,
    pub(crate) times: LeaseTimes,
    pub(crate) commit: CommitPolicy,
    pub(crate) sessions_max: usize,
}

/// The owner of one open volume.
pub(crate) struct Owner {
    id: VolumeId,
    settings: Settings,
    store: Store,
    clock: Arc<dyn Clock>,
    fatal: Fatal,
    directory: Arc<Directory>,
    state: Mutex<State>,
    /// What is applied and not durable.
    unsettled: Unsettled,
    /// Wakes the committer.
    demand: Demand,
    /// Whether recovery is over; the same as `phase == Open`, readable without the mutex.
    ready: AtomicBool,
    /// Whether recovery has ever been over.
    recovered: AtomicBool,
    /// Held by who mends the volume, from his check until what he mended is durable.
    mending: tokio::sync::Mutex<()>,
    changed: watch::Sender<()>,
}

/// What an owner is doing.
#[derive(Debug)]
enum Phase {
    /// It waits for the sessions that the volume knew.
    Recovering(Recovery),
    /// The committer applies what they brought back. Those named did not come back.
    Replaying { absent: Vec<SessionId> },
    /// It serves.
    Open,
    /// It serves nobody any more.
    Over(Over),
}

/// Why an owner serves nobody any more.
#[derive(Clone, Debug)]
enum Over {
    /// The volume is being closed; a moment later it may be open again.
    Closing,
    /// Its metadata cannot be read; the text says what failed.
    Failed(String),
}

/// How the committer is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Commit what there is.
    Committed,
    /// At once, as a crash would.
    Abandoned,
}

/// Everything that the mutex guards.
struct State {
    phase: Phase,
    members: HashMap<SessionId, Member>,
    opens: Opens,
    invalidations: Invalidations,
    leases: Leases,
    locks: LockTable,
    lock_waits: HashMap<Ticket, (SessionId, u64)>,
    quota: Quota,
    /// Something was applied that no commit has taken up.
    dirty: bool,
    /// Ticks since an operation was that.
    dirty_ticks: u32,
    /// A commit is wanted now.
    wanted: bool,
    /// The commit that is under way.
    committing: Option<Plan>,
    /// Dead data may be left that the committer is to free.
    to_reap: bool,
    /// It does.
    reaping: bool,
    /// How quick commits are, and who wishes for them.
    pace: Pace,
    /// Sessions whose operations wait because too much is not durable, each once, in order.
    stalled: VecDeque<SessionId>,
    /// Sessions with answers that wait for a commit, each once.
    held: Vec<SessionId>,
    stop: Option<Stop>,
    arrivals: u64,
    generations: u64,
    /// Questions to sessions so far.
    questions: u64,
    /// Those of this server itself who have the volume in use.
    visits: usize,
    /// When somebody held the lock last.
    seen: BootTime,
    idle_since: BootTime,
}

/// The state, locked. A panic while it is held may have left it half changed, so it ends the
/// process rather than let the volume go on.
struct Guard<'a> {
    inner: MutexGuard<'a, State>,
    fatal: &'a Fatal,
}

impl Deref for Guard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.inner
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.inner
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fatal.stop("a defect was met while a volume was being changed");
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Owner {
    /// Takes an opened store over. The caller starts the committer ([`Self::run_committer`]).
    pub(crate) fn new(
        store: Store,
        settings: Settings,
        clock: Arc<dyn Clock>,
        fatal: Fatal,
        directory: Arc<Directory>,
    ) -> Self {
        let now = clock.boot();
        let times = settings.times;
        let deadline = server_waits_until(now, times.lease, times.heartbeat);
        let known = store.sessions();
        let members: HashMap<SessionId, Member> =
            known.into_iter().map(|state| (state.info.id, Member::known(state, deadline))).collect();
        if !members.is_empty() {
            info!(
                volume = settings.name,
                sessions = members.len(),
                clean = store.clean(),
                "waiting for known sessions"
            );
        }
        let recovery = Recovery::new(members.keys().copied(), now, times.lease + times.heartbeat);
        let state = State {
            phase: Phase::Recovering(recovery),
            members,
            opens: Opens::default(),
            invalidations: Invalidations::default(),
            leases: Leases::default(),
            locks: LockTable::new(LOCKS_PER_SESSION_MAX),
            lock_waits: HashMap::new(),
            quota: settings.quota,
            dirty: false,
            dirty_ticks: 0,
            wanted: false,
            committing: None,
            to_reap: true,
            reaping: false,
            pace: Pace::default(),
            stalled: VecDeque::new(),
            held: Vec::new(),
            stop: None,
            arrivals: 0,
            generations: 0,
            questions: 0,
            visits: 0,
            seen: now,
            idle_since: now,
        };
        let owner = Self {
            id: store.id(),
            settings,
            store,
            clock,
            fatal,
            directory,
            state: Mutex::new(state),
            unsettled: Unsettled::default(),
            demand: Demand::default(),
            ready: AtomicBool::new(false),
            recovered: AtomicBool::new(false),
            mending: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(()),
        };
        owner.consider_recovery(&mut owner.lock());
        owner
    }

    /// The store, for reads. Only after [`Self::ready`].
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Waits until the volume is open to everybody.
    ///
    /// # Errors
    /// `Unavailable` when it closes or takes too long; `Damaged` when it failed.
    pub(crate) async fn ready(&self) -> Result<()> {
        if self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut changed = self.changed.subscribe();
        let open = async {
            loop {
                changed.mark_unchanged();
                match &self.lock().phase {
                    Phase::Open => return Ok(()),
                    Phase::Over(over) => return Err(self.over_error(over)),
                    Phase::Recovering(_) | Phase::Replaying { .. } => {}
                }
                if changed.changed().await.is_err() {
                    return Err(self.over_error(&Over::Closing));
                }
            }
        };
        // Recovery is over after at most three leases, but for the time to apply what came back.
        let longest = self.settings.times.lease * 4 + Duration::from_secs(30);
        tokio::time::timeout(longest, open).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Unavailable,
                format!("volume {} is still recovering; try again", self.settings.name),
            ))
        })
    }

    /// Sessions that are on the volume, those that may still come back included.
    pub(crate) fn sessions(&self) -> usize {
        self.lock().members.len()
    }

    /// What the volume holds.
    pub(crate) fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// The limits of the volume now.
    pub(crate) fn quota(&self) -> Quota {
        self.lock().quota
    }

    /// Limits that operations from now on are held to.
    pub(crate) fn set_quota(&self, quota: Quota) {
        self.lock().quota = quota;
    }

    /// Time has passed: leases, deadlines, the end of recovery.
    pub(crate) fn tick(&self) {
        let mut state = self.lock();
        let now = state.seen;
        let late = self.late(&mut state, now);
        state.leases.tidy(now);
        for (session, why) in late {
            self.leave(&mut state, session, why);
        }
        self.expire_stage_waits(&mut state, now);
        self.tell_locks_the_time(&mut state);
        if state.dirty {
            state.dirty_ticks = state.dirty_ticks.saturating_add(1);
            if TICK * state.dirty_ticks >= self.settings.commit.age_max {
                self.demand_commit(&mut state);
            }
        } else if state.to_reap {
            // A session's thread has committed, and woken nobody for this.
            self.demand.wake();
        }
        self.consider_recovery(&mut state);
        if !state.members.is_empty() || state.visits > 0 {
            state.idle_since = now;
        }
    }

    /// Ends all sessions: their locks, opens and what they had not synced go.
    pub(crate) fn end_sessions(&self) {
        let mut state = self.lock();
        let sessions: Vec<SessionId> = state.members.keys().copied().collect();
        for session in sessions {
            self.leave(&mut state, session, Leave::Ended);
        }
    }

    /// Stops serving if nobody has been here for so long; whether it did.
    pub(crate) fn stop_if_idle(&self, idle: Duration) -> bool {
        let mut state = self.lock();
        let now = state.seen;
        let nobody = state.members.is_empty() && state.visits == 0;
        let unused = nobody && matches!(state.phase, Phase::Open) && !state.dirty;
        let stop = unused && state.committing.is_none() && now.0.saturating_sub(state.idle_since.0) >= idle;
        if stop {
            self.stop_locked(&mut state, Stop::Committed);
        }
        stop
    }

    /// Stops serving: streams end, what is applied is committed. Sessions may come back to whoever
    /// opens the volume next.
    pub(crate) fn stop(&self) {
        self.stop_locked(&mut self.lock(), Stop::Committed);
    }

    /// Stops at once, as a crash would: for tests.
    pub(crate) fn abandon(&self) {
        self.stop_locked(&mut self.lock(), Stop::Abandoned);
    }

    /// After the committer has ended: marks the stop clean, unless what a crash has left is not taken up yet:
    /// the next owner must know of it.
    ///
    /// # Errors
    /// When the last commit fails.
    pub(crate) fn close(self) -> Result<()> {
        if self.recovered.load(Ordering::Relaxed) || self.store.clean() {
            return self.store.close();
        }
        self.store.commit().map(drop)
    }

    fn stop_locked(&self, state: &mut State, how: Stop) {
        state.stop.get_or_insert(how);
        if matches!(state.phase, Phase::Over(_)) {
            self.demand.wake();
            return;
        }
        self.end_phase(state, Over::Closing);
    }

    /// The volume's metadata cannot be read or changed: nobody may rely on it any more.
    fn fail(&self, state: &mut State, cause: &Error) {
        error!(volume = %self.settings.name, error = ?cause, "the volume failed and is closed to everybody");
        self.end_phase(state, Over::Failed(cause.message().to_owned()));
    }

    fn end_phase(&self, state: &mut State, over: Over) {
        for (&session, member) in &mut state.members {
            self.directory.remove(session);
            member.end(self.over_error(&over));
        }
        self.ready.store(false, Ordering::Release);
        state.phase = Phase::Over(over);
        self.changed.send_replace(());
        self.unsettled.look_again();
        self.demand.wake();
    }

    fn over_error(&self, over: &Over) -> Error {
        let name = &self.settings.name;
        match over {
            Over::Closing => Error::new(ErrorKind::Unavailable, format!("volume {name} is being closed; try again")),
            Over::Failed(why) => Error::new(
                ErrorKind::Damaged,
                format!("volume {name} failed ({why}); see the server's log, then restart the server"),
            ),
        }
    }

    /// Locks the state. A pause is forgiven before anybody judges or renews by the clock.
    fn lock(&self) -> Guard<'_> {
        let mut state = Guard { inner: self.state.lock(), fatal: &self.fatal };
        self.forgive_pause(&mut state, self.clock.boot());
        state
    }

    fn consider_recovery(&self, state: &mut State) {
        let Phase::Recovering(recovery) = &state.phase else { return };
        if let Verdict::Open { absent } = recovery.verdict(self.clock.boot()) {
            state.phase = Phase::Replaying { absent };
            self.demand.wake();
        }
    }

    /// A process that was stopped for a while received nothing: that time is nobody's fault.
    fn forgive_pause(&self, state: &mut State, now: BootTime) {
        let pause = now.0.saturating_sub(state.seen.0);
        state.seen = now;
        if pause < PAUSE_MIN {
            return;
        }
        warn!(volume = %self.settings.name, ?pause, "this server stood still; leases are extended by that");
        for member in state.members.values_mut() {
            member.deadline = BootTime(member.deadline.0 + pause);
        }
        state.invalidations.forgive(pause);
        state.leases.forgive(pause);
        if let Phase::Recovering(recovery) = &mut state.phase {
            recovery.forgive(pause);
        }
    }

    fn send(state: &mut State, session: SessionId, message: Outbound) {
        if let Some(member) = state.members.get_mut(&session) {
            member.send(message);
        }
    }
}
