//! Goes through every state that events can lead to, each once.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::world::{Defect, Event, Limits, Violation, World};

/// More than memory should be spent on.
const STATES_MAX: usize = 6_000_000;

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

fn fingerprint(world: &World) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        world.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

pub(super) fn explore(limits: Limits, defect: Defect) -> Report {
    let mut wanted = vec!["read", "change", "dropped", "up", "down", "connect"];
    wanted.extend((limits.breaks > 0).then_some("break"));
    wanted.extend((limits.beats > 0).then_some("beat"));
    wanted.extend((limits.restarts > 0).then_some("restart"));
    wanted.extend((limits.releases > 0).then_some("release"));
    let mut report = Report { states: 0, events: BTreeMap::new(), violation: None, wanted };
    let first = World::new(limits);
    let mut seen = HashSet::from([fingerprint(&first)]);
    let mut queue: VecDeque<(World, Option<Rc<Step>>)> = VecDeque::from([(first, None)]);
    // Defects are looked for in breadth: what is found first is short.
    let breadth = defect != Defect::None;
    while let Some((world, how)) = if breadth { queue.pop_front() } else { queue.pop_back() } {
        report.states += 1;
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
            if seen.insert(fingerprint(&next)) {
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
