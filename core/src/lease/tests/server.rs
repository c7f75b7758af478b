//! The server of the world: sessions, queues of operations, and the table, as `server` has them.

mod canon;

use std::collections::{BTreeMap, VecDeque};

use super::client::{Down, Up};
use super::world::{Defect, Violation, WAIT, World};
use crate::id::{InodeId, SessionId};
use crate::lease::{ClaimId, GiveBack, GrantNo, Mode, Needs, Table, Target, Verdict};
use crate::session::BootTime;

/// What is to be carried out for a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    pub(super) client: usize,
    pub(super) session: SessionId,
    pub(super) ino: InodeId,
    /// Number, value, whether it was answered already.
    pub(super) change: Option<(u8, u8, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    Change(Ask),
    GiveBack(GiveBack),
}

/// What a session holds by its own word, as of a grant; it counts when so much is applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Resumed {
    held: Vec<(Target, Mode)>,
    as_of: GrantNo,
    until: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Member {
    client: usize,
    /// Which Hello brought it: of several that can go on, the first goes first.
    came: u8,
    deadline: u8,
    applied: u8,
    attached: bool,
    queue: VecDeque<Item>,
    /// After a restart: what it has to bring back before anybody goes on.
    pending: Option<u8>,
    /// The claim that the first operation of the queue waits with.
    blocked: Option<ClaimId>,
    resumed: Option<Resumed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    values: Vec<u8>,
    members: BTreeMap<SessionId, Member>,
    table: Table,
    asks: BTreeMap<ClaimId, Ask>,
    epoch: u8,
    /// After a restart: who has not come back, and until when they are waited for.
    missing: Vec<SessionId>,
    grace_until: u8,
    /// Questions and operations that wait for the end of it.
    later: Vec<(usize, Up)>,
    /// Hellos so far.
    hellos: u8,
    /// It has not yet gone on after a restart.
    recovers: bool,
}

/// Time plays no part for what is hot here: nothing ever is.
const NOW: BootTime = BootTime(std::time::Duration::ZERO);

impl Server {
    pub(super) fn new(inodes: usize) -> Self {
        Self {
            values: vec![0; inodes],
            members: BTreeMap::new(),
            table: Table::cold(),
            asks: BTreeMap::new(),
            epoch: 1,
            missing: Vec::new(),
            grace_until: 0,
            later: Vec::new(),
            hellos: 0,
            recovers: false,
        }
    }

    pub(super) fn value(&self, inode: usize) -> u8 {
        self.values[inode]
    }

    /// Who is to come back after a restart.
    pub(super) fn waits_for(&self, defect: Defect) -> Vec<SessionId> {
        let waits = |member: &Member| match defect {
            Defect::OpensEarly => false,
            Defect::ForgetsAbsent => member.attached,
            _ => true,
        };
        self.members.iter().filter(|(_, member)| waits(member)).map(|(&session, _)| session).collect()
    }

    pub(super) fn restart(&mut self, now: u8, missing: Vec<SessionId>) {
        self.table = Table::cold();
        self.asks.clear();
        self.epoch += 1;
        self.later.clear();
        self.missing = missing;
        self.recovers = true;
        self.grace_until = now + WAIT;
        for member in self.members.values_mut() {
            member.queue.clear();
            member.blocked = None;
            member.attached = false;
            member.pending = None;
            member.resumed = None;
            member.deadline = now + WAIT;
        }
    }

    pub(super) fn disconnected(&mut self, session: SessionId) {
        if let Some(member) = self.members.get_mut(&session) {
            member.attached = false;
        }
    }

    pub(super) fn tick(&mut self, world: &mut World, defect: Defect) -> Result<(), Violation> {
        let late: Vec<SessionId> = self
            .members
            .iter()
            .filter(|(_, member)| member.deadline < world.now)
            .map(|(&session, _)| session)
            .collect();
        for session in late {
            self.fence(world, session);
        }
        self.pump(world, defect)
    }

    fn fence(&mut self, world: &mut World, session: SessionId) {
        world.fenced(session, &self.values);
        self.table.gone(session);
        self.asks.retain(|_, ask| ask.session != session);
        self.missing.retain(|missing| *missing != session);
        if let Some(member) = self.members.remove(&session) {
            world.say(member.client, Down::Lost);
        }
    }

    pub(super) fn hear(
        &mut self,
        world: &mut World,
        client: usize,
        message: Up,
        defect: Defect,
    ) -> Result<(), Violation> {
        let session = world.clients[client].session();
        if let Up::Hello { session, resume, held, pending } = message {
            return self.hello(world, client, (session, resume, held, pending), defect);
        }
        if !self.members.contains_key(&session) {
            world.say(client, Down::Lost);
            return Ok(());
        }
        let comes_later = match message {
            Up::Heartbeat { .. } => false,
            Up::Change { .. } => !self.missing.contains(&session),
            _ => true,
        };
        if !self.missing.is_empty() && comes_later {
            self.later.push((client, message));
            return Ok(());
        }
        self.take(world, client, session, message);
        self.consider_complete(session);
        self.pump(world, defect)
    }

    /// Whether a session has brought back all that it has.
    fn consider_complete(&mut self, session: SessionId) {
        let Some(member) = self.members.get(&session) else { return };
        let last = member.queue.iter().filter_map(|item| match item {
            Item::Change(Ask { change: Some((seq, ..)), .. }) => Some(*seq),
            _ => None,
        });
        let arrived = last.max().unwrap_or_default().max(member.applied);
        if member.pending.is_some_and(|pending| arrived >= pending) {
            self.missing.retain(|missing| *missing != session);
        }
    }

    /// What was answered was answered under a lease, whatever its session claims by now.
    fn reclaim_answered(&mut self) {
        for (&session, member) in &self.members {
            for item in &member.queue {
                if let Item::Change(Ask { ino, change: Some((_, _, true)), .. }) = item
                    && self.table.held(session, *ino) < Some(Mode::Exclusive)
                {
                    self.table.reclaim(session, &[(Target::Inode(*ino), Mode::Exclusive)]);
                }
            }
        }
    }

    fn take(&mut self, world: &mut World, client: usize, session: SessionId, message: Up) {
        let Some(member) = self.members.get_mut(&session) else { return };
        match message {
            Up::Change { seq, ino, value, answered } => {
                if seq > member.applied {
                    let ask = Ask { client, session, ino, change: Some((seq, value, answered)) };
                    member.queue.push_back(Item::Change(ask));
                } else {
                    world.say(client, Down::Applied { seq, grants: Vec::new() });
                }
            }
            Up::GiveBack(back) => member.queue.push_back(Item::GiveBack(back)),
            Up::Heartbeat { sent } => {
                member.deadline = world.now + WAIT;
                world.say(client, Down::Alive { sent });
            }
            Up::Ask(ino) => {
                let ask = Ask { client, session, ino, change: None };
                match self.table.claim(session, vec![(ino, Mode::Shared)], NOW) {
                    Verdict::Clear => self.carry_out(world, &ask),
                    Verdict::Waits(id) => {
                        self.asks.insert(id, ask);
                    }
                }
            }
            Up::Hello { .. } => {}
        }
    }

    fn hello(
        &mut self,
        world: &mut World,
        client: usize,
        (session, resume, held, pending): (SessionId, bool, Vec<(Target, Mode)>, u8),
        defect: Defect,
    ) -> Result<(), Violation> {
        let known = self.members.contains_key(&session);
        if resume && !known {
            if defect != Defect::ReclaimsOnFaith {
                world.say(client, Down::Lost);
                return Ok(());
            }
            self.table.reclaim(session, &held);
        }
        let returns = self.missing.contains(&session);
        if returns && !self.table.reclaim(session, &held) {
            return Err(format!("client {client} claims what another one claimed"));
        }
        self.table.enter(session);
        self.hellos += 1;
        let came = self.hellos;
        self.later.retain(|&(other, _)| other != client);
        let member = self.members.entry(session).or_default();
        member.client = client;
        member.came = came;
        member.attached = true;
        member.deadline = world.now + WAIT;
        let blocked = member.blocked.take();
        member.queue.clear();
        if known && !returns {
            let until = if defect == Defect::ReleasesTooEarly { 0 } else { pending };
            member.resumed = Some(Resumed { held, as_of: self.table.last_grant(), until });
        }
        let applied = member.applied;
        let sent = world.clients[client].hello_sent();
        for id in blocked.into_iter().chain(self.asks.iter().filter(|(_, a)| a.session == session).map(|(&id, _)| id)) {
            self.table.withdraw(id);
        }
        self.asks.retain(|_, ask| ask.session != session);
        if returns && let Some(member) = self.members.get_mut(&session) {
            member.pending = Some(pending);
        }
        self.consider_complete(session);
        world.say(client, Down::Welcome { applied, sent, epoch: self.epoch });
        for recall in self.table.recalls_of(session) {
            world.say(client, Down::Recall { target: recall.target, keep: recall.keep });
        }
        self.pump(world, defect)
    }

    fn end_of_grace(&mut self, world: &mut World, defect: Defect) {
        if self.missing.is_empty() {
            if std::mem::take(&mut self.recovers) && defect != Defect::ForgetsAnswered {
                self.reclaim_answered();
            }
            for (client, message) in std::mem::take(&mut self.later) {
                let session = world.clients[client].session();
                if self.members.get(&session).is_some_and(|member| member.attached) {
                    self.take(world, client, session, message);
                }
            }
        }
    }

    fn pump(&mut self, world: &mut World, defect: Defect) -> Result<(), Violation> {
        self.end_of_grace(world, defect);
        if !self.missing.is_empty() {
            return Ok(());
        }
        loop {
            let mut sessions: Vec<(u8, SessionId)> =
                self.members.iter().map(|(&session, member)| (member.came, session)).collect();
            sessions.sort_unstable();
            let mut moved = false;
            for (_, session) in sessions {
                while self.step(world, session, defect)? {
                    moved = true;
                }
            }
            if let Some((id, session, _)) = self.table.next_clear(NOW) {
                moved = true;
                if let Some(ask) = self.asks.remove(&id) {
                    if let Some(member) = self.members.get_mut(&session).filter(|m| m.blocked == Some(id)) {
                        member.blocked = None;
                        member.queue.pop_front();
                    }
                    self.carry_out(world, &ask);
                }
            }
            for recall in self.table.take_recalls() {
                moved = true;
                let Some(member) = self.members.get(&recall.from) else { continue };
                if member.attached {
                    world.say(member.client, Down::Recall { target: recall.target, keep: recall.keep });
                }
                self.bounce(world, recall.from, defect);
            }
            if !moved {
                return Ok(());
            }
        }
    }

    /// A session that is asked for something is not left waiting itself.
    fn bounce(&mut self, world: &mut World, session: SessionId, defect: Defect) {
        let Some(member) = self.members.get_mut(&session) else { return };
        let Some(id) = member.blocked.filter(|_| defect != Defect::KeepsBlocked) else { return };
        member.blocked = None;
        if let Some(Item::Change(Ask { change: Some((seq, ..)), .. })) = member.queue.pop_front() {
            member.applied = seq;
            world.say(member.client, Down::Retry { seq });
        }
        self.table.withdraw(id);
        self.asks.remove(&id);
    }

    /// Carries out the first of a session's queue if it can; whether it did.
    fn step(&mut self, world: &mut World, session: SessionId, defect: Defect) -> Result<bool, Violation> {
        let Some(member) = self.members.get_mut(&session) else { return Ok(false) };
        if let Some(Resumed { held, as_of, .. }) =
            member.resumed.clone().filter(|resumed| member.applied >= resumed.until)
        {
            member.resumed = None;
            self.table.resumed(session, &held, as_of);
            return Ok(true);
        }
        if member.blocked.is_some() {
            return Ok(false);
        }
        match member.queue.front().cloned() {
            None => Ok(false),
            Some(Item::GiveBack(back)) => {
                member.queue.pop_front();
                match back.target {
                    Target::Volume => self.table.gave_volume_back(session, &back.kept),
                    Target::Inode(ino) => self.table.gave_back(session, ino, back.left, back.seen),
                }
                Ok(true)
            }
            Some(Item::Change(ask)) => {
                let needs: Needs = vec![(ask.ino, Mode::Exclusive)];
                let answered = ask.change.is_some_and(|(_, _, answered)| answered);
                match self.table.claim(session, needs, NOW) {
                    Verdict::Waits(_) if answered => {
                        Err(format!("an answered change of client {} must wait", ask.client))
                    }
                    Verdict::Waits(id) if defect != Defect::GrantsEarly => {
                        if let Some(member) = self.members.get_mut(&session) {
                            member.blocked = Some(id);
                        }
                        self.asks.insert(id, ask);
                        if self.table.owes(session) {
                            self.bounce(world, session, defect);
                        }
                        Ok(true)
                    }
                    verdict => {
                        if let Verdict::Waits(id) = verdict {
                            self.table.withdraw(id);
                        }
                        if let Some(member) = self.members.get_mut(&session) {
                            member.queue.pop_front();
                        }
                        self.carry_out(world, &ask);
                        Ok(true)
                    }
                }
            }
        }
    }

    fn carry_out(&mut self, world: &mut World, ask: &Ask) {
        let Ok(at) = usize::try_from(ask.ino.0 - 1) else { return };
        let mut mode = Mode::Shared;
        let mut lend = true;
        if let Some((seq, value, answered)) = ask.change {
            mode = Mode::Exclusive;
            lend = !answered;
            self.values[at] = value;
            if !answered {
                world.truth[at] = value;
            }
            if let Some(member) = self.members.get_mut(&ask.session) {
                member.applied = seq;
            }
        }
        let grants = if lend { self.table.settle(ask.session, &[(ask.ino, mode)], NOW) } else { Vec::new() };
        if self.members.get(&ask.session).is_some_and(|member| member.attached) {
            world.answer(ask, grants, self.values[at]);
        }
        if ask.change.is_none() && self.values[at] != world.truth[at] {
            world.wrong = Some(format!(
                "client {} was told {} of inode {at}, it is {}",
                ask.client, self.values[at], world.truth[at]
            ));
        }
    }
}
