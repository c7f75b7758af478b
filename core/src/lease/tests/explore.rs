//! Goes through every state that events can lead to, each once; of states that behave alike ([`canon`]) one.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::canon;
use super::world::{Defect, Event, Limits, Violation, World};

/// More than memory should be spent on.
const STATES_MAX: usize = 40_000_000;

/// What was wrong, and how it came to that.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) what: Violation,
    pub(super) trace: Vec<Event>,
}

/// What an exploration saw.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) states: usize,
    /// How often each kind of event happened.
    pub(super) events: BTreeMap<&'static str, usize>,
    pub(super) violation: Option<Found>,
    wanted: Vec<&'static str>,
}

impl Report {
    pub(super) fn reached_everything(&self) -> bool {
        self.wanted.iter().all(|kind| self.events.contains_key(kind))
    }
}

/// How a state came about.
struct Step {
    event: Event,
    before: Option<Rc<Step>>,
}

fn kind(event: Event) -> &'static str {
    match event {
        Event::Read(..) => "read",
        Event::Change(..) => "change",
        Event::Release(..) => "release",
        Event::Flush(_) => "flush",
        Event::Dropped(_) => "dropped",
        Event::Up(_) => "up",
        Event::Down(_) => "down",
        Event::Beat(_) => "beat",
        Event::Break(_) => "break",
        Event::Connect(_) => "connect",
        Event::Tick => "tick",
        Event::Restart => "restart",
    }
}

/// What is behind a fingerprint is told apart by as much as it has bits.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs;

impl BuildHasher for AsItIs {
    type Hasher = First;

    fn build_hasher(&self) -> First {
        First(0)
    }
}

/// A fingerprint is a hash already.
struct First(u64);

impl Hasher for First {
    fn write(&mut self, bytes: &[u8]) {
        let mut first = [0; 8];
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        self.0 = u64::from_le_bytes(first);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// How states are told apart.
pub(super) type Fingerprint = fn(&World, Limits, Defect) -> u128;

/// By all that they are made of.
pub(super) fn exactly(world: &World, _limits: Limits, _defect: Defect) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        world.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Goes through all states that behave differently.
pub(super) fn explore(limits: Limits, defect: Defect) -> Report {
    explore_by(canon::fingerprint, limits, defect, &mut |_| ())
}

/// The same, with states told apart in another way; `visit` is shown each.
pub(super) fn explore_by(
    fingerprint: Fingerprint,
    limits: Limits,
    defect: Defect,
    visit: &mut dyn FnMut(&World),
) -> Report {
    let mut wanted = vec!["read", "change", "dropped", "up", "down", "connect"];
    wanted.extend((limits.breaks > 0).then_some("break"));
    wanted.extend((limits.beats > 0).then_some("beat"));
    wanted.extend((limits.restarts > 0).then_some("restart"));
    wanted.extend((limits.releases > 0).then_some("release"));
    let mut report = Report { states: 0, events: BTreeMap::new(), violation: None, wanted };
    let first = World::new(limits);
    let mut seen: HashSet<u128, AsItIs> = HashSet::default();
    seen.insert(fingerprint(&first, limits, defect));
    let mut queue: VecDeque<(World, Option<Rc<Step>>)> = VecDeque::from([(first, None)]);
    // Defects are looked for in breadth: what is found first is short.
    let breadth = defect != Defect::None;
    while let Some((world, how)) = if breadth { queue.pop_front() } else { queue.pop_back() } {
        report.states += 1;
        visit(&world);
        assert!(seen.len() < STATES_MAX, "over {STATES_MAX} states: choose smaller limits");
        let events = world.events(limits);
        if world.is_stuck(&events) {
            report.violation = Some(Found { what: "somebody waits for ever".to_owned(), trace: trace(how.as_ref()) });
            return report;
        }
        for event in events {
            *report.events.entry(kind(event)).or_default() += 1;
            let mut next = world.clone();
            let happened = next.happen(event, defect);
            let step = Rc::new(Step { event, before: how.clone() });
            if let Err(what) = happened {
                report.violation = Some(Found { what, trace: trace(Some(&step)) });
                return report;
            }
            if seen.insert(fingerprint(&next, limits, defect)) {
                queue.push_back((next, Some(step)));
            }
        }
    }
    report
}

fn trace(mut step: Option<&Rc<Step>>) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(this) = step {
        events.push(this.event);
        step = this.before.as_ref();
    }
    events.reverse();
    events
}
