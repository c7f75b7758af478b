//! Plays a sequence on both sides, step by step, and compares.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::call::{Actor, Call, Step};
use crate::cast::{Cast, Pending};
use crate::execute::{Times, changed_times, times_of};
use crate::intended::{self, Allowed};
use crate::outcome::{Outcome, Value, explain};
use crate::tree::{self, Tree};
use crate::word::Slot;

/// Changes a call before it is made: a defect put in on purpose.
pub(crate) type Defect = fn(&Call) -> Option<Call>;

/// A file system under two names.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// Its root as mount A and mount B show it.
    pub roots: [PathBuf; 2],
    /// A defect put in on purpose.
    pub defect: Option<Defect>,
}

/// Whose times are watched.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    /// What a path leads to, links not followed.
    Path(Vec<u8>),
    /// What a handle of the caller leads to.
    Handle(Slot),
}

/// What makes up the steps of a sequence as it goes.
pub(crate) trait Source {
    /// The next step; none: the sequence is over.
    fn next(&mut self) -> Option<Step>;
    /// What ext4 answered to it.
    fn learn(&mut self, step: &Step, outcome: &Outcome);
}

/// A sequence that is known from the start.
#[derive(Debug)]
pub(crate) struct Script<'a>(pub std::slice::Iter<'a, Step>);

impl Source for Script<'_> {
    fn next(&mut self) -> Option<Step> {
        self.0.next().cloned()
    }

    fn learn(&mut self, _: &Step, _: &Outcome) {}
}

/// A difference that nobody intended.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// What kind it is: two of one kind have probably one cause.
    pub kind: String,
    /// All of it in words.
    pub text: String,
}

/// What differences are counted as that were passed over by hand.
pub(crate) const PASSED_OVER: &str = "passed over by hand";

/// How long, and how often, is waited for a lock that goes with a close.
const LATE: Duration = Duration::from_millis(20);
const LATE_TRIES: usize = 100;

/// How often calls of a kind ended in which way.
pub(crate) type Counts = BTreeMap<&'static str, BTreeMap<String, usize>>;

/// What came of a sequence.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// The steps, up to the one that differed.
    pub steps: Vec<Step>,
    /// The difference that ended it.
    pub difference: Option<Difference>,
    /// Calls.
    pub counts: Counts,
    /// Intended differences that were seen.
    pub allowed: BTreeMap<&'static str, usize>,
    /// Kinds of difference that are passed over, by hand.
    pub pass_over: Vec<String>,
    /// A call never came back: both casts are abandoned.
    pub hung: bool,
    /// An intended difference after which the two sides cannot be the same.
    pub over: bool,
}

impl Side {
    fn begin(&self) -> [PathBuf; 2] {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sequence-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let [a, b] = self.roots.clone().map(|root| root.join(&name));
        let made = fs::create_dir(&a).and_then(|()| fs::set_permissions(&a, Permissions::from_mode(0o777)));
        made.unwrap_or_else(|error| panic!("cannot make {}: {error}", a.display()));
        [a, b]
    }

    fn call(&self, cast: &Cast, step: &Step) -> Pending<Outcome> {
        let call = self.defect.and_then(|defect| defect(&step.call)).unwrap_or_else(|| step.call.clone());
        cast.ask(step.actor, move |process| process.call(&call))
    }
}

/// The observer of a step's times: root, for paths on the other mount.
fn observer(actor: Actor, watched: &Watched) -> Actor {
    match watched {
        Watched::Path(_) => Actor { mount: 1 - actor.mount, process: 0, user: 0 },
        Watched::Handle(_) => Actor { user: 0, ..actor },
    }
}

fn watch(casts: [&Cast; 2], step: &Step, watched: &[(String, Watched)]) -> [Vec<Times>; 2] {
    casts.map(|cast| {
        let ask = |(_, what): &(String, Watched)| {
            let what_for = what.clone();
            let told = cast.ask(observer(step.actor, what), move |process| times_of(process, &what_for));
            told.wait().unwrap_or(Err(nix::errno::Errno::ETIMEDOUT))
        };
        watched.iter().map(ask).collect()
    })
}

/// Plays what the source gives until it ends or the sides differ, then compares the trees.
pub(crate) fn play(volume: &Side, local: &Side, source: &mut dyn Source) -> Played {
    let pass_over = std::env::var("HOLDFAST_PASS_OVER").unwrap_or_default();
    let pass_over = pass_over.split(';').filter(|kind| !kind.is_empty()).map(str::to_owned).collect();
    let (places, mut played) = ([volume.begin(), local.begin()], Played { pass_over, ..Played::default() });
    let casts = [Cast::new(&places[0]), Cast::new(&places[1])];
    while played.difference.is_none()
        && !played.hung
        && !played.over
        && let Some(step) = source.next()
    {
        played.step([volume, local], &casts, source, step);
    }
    if played.difference.is_none() && !played.over {
        played.trees(&casts);
    }
    let hung = played.hung;
    for cast in casts {
        cast.leave(hung);
    }
    for place in places.iter().filter(|_| !hung) {
        fs::remove_dir_all(&place[0]).unwrap_or_else(|error| {
            let text = format!("cannot remove {} at the end: {error}", place[0].display());
            played.difference.get_or_insert(Difference { kind: "removal at the end".to_owned(), text });
        });
    }
    played
}

impl Played {
    fn step(&mut self, sides: [&Side; 2], casts: &[Cast; 2], source: &mut dyn Source, step: Step) {
        let watched = if step.watch { crate::watch::of(&step.call) } else { Vec::new() };
        let both = [&casts[0], &casts[1]];
        let before = watch(both, &step, &watched);
        let pending = [sides[0].call(&casts[0], &step), sides[1].call(&casts[1], &step)];
        let [mut on_volume, mut on_local] = pending.map(|pending| pending.wait().unwrap_or(Outcome::Lost));
        for _ in 0..LATE_TRIES {
            // A side with a defect put in is a local disk, on which nothing comes late.
            let may_come_late =
                sides[0].defect.is_none() && intended::may_come_late(&self.steps, &step, &on_volume, &on_local);
            if !may_come_late {
                break;
            }
            *self.allowed.entry(intended::LATE_LOCK).or_default() += 1;
            std::thread::sleep(LATE);
            on_volume = sides[0].call(&casts[0], &step).wait().unwrap_or(Outcome::Lost);
        }
        self.hung = [&on_volume, &on_local].contains(&&Outcome::Lost);
        if !watched.is_empty() && !self.hung {
            let after = watch(both, &step, &watched);
            for (side, outcome) in [&mut on_volume, &mut on_local].into_iter().enumerate() {
                let changes = before[side].iter().zip(&after[side]).zip(&watched);
                let changes =
                    changes.map(|((before, after), (name, _))| format!("{name} {}", changed_times(before, after)));
                let changes = Value::text(changes.collect::<Vec<_>>().join(", "));
                match outcome {
                    Outcome::Done(facts) => facts.push(("times", changes)),
                    Outcome::Failed(_) | Outcome::Skipped(_) | Outcome::Lost => {}
                }
            }
        }
        let ends = self.counts.entry(step.call.kind()).or_default();
        *ends.entry(on_local.label()).or_default() += 1;
        self.difference = self.judge(&step, &on_volume, &on_local);
        source.learn(&step, &on_local);
        self.steps.push(step);
    }

    fn judge(&mut self, step: &Step, volume: &Outcome, local: &Outcome) -> Option<Difference> {
        if volume == local {
            return None;
        }
        if let Some(Allowed { name, .. }) = intended::result(step, volume, local) {
            *self.allowed.entry(name).or_default() += 1;
            return None;
        }
        if let Some(Allowed { name, .. }) = intended::end(&self.steps, step, volume, local) {
            *self.allowed.entry(name).or_default() += 1;
            self.over = true;
            return None;
        }
        let fact = match (volume, local) {
            (Outcome::Done(volume), Outcome::Done(local)) => {
                volume.iter().zip(local).find(|(volume, local)| volume != local)
            }
            _ => None,
        };
        let (kind, text) = match fact {
            Some(((name, volume), (_, local))) => {
                (format!("{} {name}", step.call.kind()), explain(name, Some(volume), Some(local)))
            }
            None => (
                format!("{}: volume {}, ext4 {}", step.call.kind(), volume.label(), local.label()),
                format!("volume {volume}\n    ext4   {local}"),
            ),
        };
        self.unless_passed_over(Difference { kind, text: format!("{step}\n    {text}") })
    }

    /// Such a sequence goes on, with two sides that may now differ, and never counts as passed.
    fn unless_passed_over(&mut self, difference: Difference) -> Option<Difference> {
        if self.pass_over.iter().any(|kind| difference.kind.contains(kind)) {
            *self.allowed.entry(PASSED_OVER).or_default() += 1;
            return None;
        }
        Some(difference)
    }

    fn trees(&mut self, casts: &[Cast; 2]) {
        let look = |cast: &Cast, mount: usize| {
            let pending = cast.ask(Actor { mount, process: 0, user: 0 }, |_| tree::tree());
            pending.wait().unwrap_or_else(|| Err(std::io::Error::other("no answer in time")))
        };
        // Reading the tree changes access times, so mount B looks after the two others did.
        let trees: Vec<_> =
            [(&casts[0], 0), (&casts[1], 0), (&casts[0], 1)].map(|(cast, mount)| look(cast, mount)).into();
        let mut trees = trees.into_iter();
        let (Some(a), Some(local), Some(b)) = (trees.next(), trees.next(), trees.next()) else { return };
        let failed = |name: &str, error: &std::io::Error| Difference {
            kind: format!("tree of {name}"),
            text: format!("the tree of {name} cannot be read at the end: {error}"),
        };
        self.difference = match (a, local, b) {
            (Err(error), _, _) => Some(failed("mount A", &error)),
            (_, Err(error), _) => Some(failed("ext4", &error)),
            (_, _, Err(error)) => Some(failed("mount B", &error)),
            (Ok(a), Ok(local), Ok(b)) => {
                let between_mounts = self.compare(&a, &b, true);
                between_mounts.or_else(|| self.compare(&a, &local, false))
            }
        };
    }

    fn compare(&mut self, volume: &Tree, other: &Tree, one_volume: bool) -> Option<Difference> {
        let mut places = tree::compare(volume, other, one_volume);
        places.retain(|place| {
            let allowed = intended::tree(&self.steps, place, one_volume);
            allowed.iter().for_each(|allowed| *self.allowed.entry(allowed.name).or_default() += 1);
            allowed.is_none()
        });
        let first = places.first()?;
        let who =
            if one_volume { "mount A and mount B at the end (volume: A, ext4: B)" } else { "the trees at the end" };
        let texts: Vec<&str> = places.iter().take(10).map(|place| place.text.as_str()).collect();
        let kind = format!("tree {}{}", first.fact, if one_volume { " between mounts" } else { "" });
        self.unless_passed_over(Difference { kind, text: format!("{who}\n    {}", texts.join("\n    ")) })
    }
}
