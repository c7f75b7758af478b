//! Clients, the network and time around [`super::server::Server`], and what must be true of it all.
//!
//! Each inode is a register; each change writes a number that was never written before. `truth` is
//! what a read must give at this moment: a local change takes place when it is answered, another one
//! when the server applies it.

use std::collections::VecDeque;

use super::client::{Call, Client, Down, Logged, Up, client_is_down, session};
use super::server::{Ask, Server};
use crate::id::{InodeId, SessionId};
use crate::lease::{GiveBack, Grant, Mode, Step, Target};

/// Ticks that a client trusts its session after the sending of a heartbeat.
pub(super) const TRUST: u8 = 1;
/// Ticks that the server waits from receipt.
pub(super) const WAIT: u8 = 2;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) clients: usize,
    pub(super) inodes: usize,
    /// Reads and changes of each client.
    pub(super) calls: u8,
    pub(super) breaks: u8,
    pub(super) restarts: u8,
    pub(super) ticks: u8,
    /// Heartbeats of each client.
    pub(super) beats: u8,
    pub(super) releases: u8,
}

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    None,
    /// The server does not wait for what it recalled.
    GrantsEarly,
    /// A client trusts its session longer than the server waits.
    TrustsTooLong,
    /// The server believes a session that it has fenced.
    ReclaimsOnFaith,
    /// A resumed session's leases go before what it answered under them is applied.
    ReleasesTooEarly,
    /// A session that must give back stays stuck behind its own waiting operation.
    KeepsBlocked,
    /// After a restart the server does not wait for all the sessions that it knows.
    OpensEarly,
    /// After a restart the server waits only for those who were there when it ended.
    ForgetsAbsent,
    /// After a restart a session has no lease for what it had answered, where it does not claim one.
    ForgetsAnswered,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) now: u8,
    pub(super) server: Server,
    pub(super) clients: Vec<Client>,
    pub(super) up: Vec<VecDeque<Up>>,
    pub(super) down: Vec<VecDeque<Down>>,
    pub(super) connected: Vec<bool>,
    pub(super) truth: Vec<u8>,
    /// Something wrong that was met where it could not be said.
    pub(super) wrong: Option<Violation>,
    next_value: u8,
    breaks: u8,
    restarts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Event {
    Read(usize, usize),
    Change(usize, usize),
    Release(usize, usize),
    Flush(usize),
    Dropped(usize),
    Up(usize),
    Down(usize),
    Beat(usize),
    Break(usize),
    Connect(usize),
    Tick,
    Restart,
}

/// Something that must never be.
pub(super) type Violation = String;

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            now: 0,
            server: Server::new(limits.inodes),
            clients: (0..limits.clients).map(|index| Client::new(index, limits.inodes)).collect(),
            up: vec![VecDeque::new(); limits.clients],
            down: vec![VecDeque::new(); limits.clients],
            connected: vec![false; limits.clients],
            truth: vec![0; limits.inodes],
            wrong: None,
            next_value: 1,
            breaks: 0,
            restarts: 0,
        }
    }

    /// What can happen now.
    pub(super) fn events(&self, limits: Limits) -> Vec<Event> {
        let mut events = Vec::new();
        for (index, client) in self.clients.iter().enumerate() {
            if !self.connected[index] {
                events.push(Event::Connect(index));
                // Programs go on with what the leases allow.
            }
            let free = client.call.is_none() && client.calls < limits.calls && client.known;
            for inode in 0..limits.inodes {
                let local = |mode| client.holdings.may(ino(inode), mode) && self.trusts(client, Defect::None);
                if free && (client.welcome || local(Mode::Shared)) {
                    events.push(Event::Read(index, inode));
                }
                if free && (client.welcome || local(Mode::Exclusive)) {
                    events.push(Event::Change(index, inode));
                }
                if client.releases < limits.releases && client.welcome {
                    events.push(Event::Release(index, inode));
                }
            }
            if client.welcome && client.log.iter().any(|logged| !logged.sent) && client.may_flush() {
                events.push(Event::Flush(index));
            }
            if !client.dropping.is_empty() {
                events.push(Event::Dropped(index));
            }
            if client.welcome && !client.beating && client.beats < limits.beats {
                events.push(Event::Beat(index));
            }
            if !self.up[index].is_empty() {
                events.push(Event::Up(index));
            }
            if !self.down[index].is_empty() {
                events.push(Event::Down(index));
            }
            if self.connected[index] && self.breaks < limits.breaks {
                events.push(Event::Break(index));
            }
        }
        if self.now < limits.ticks {
            events.push(Event::Tick);
        }
        if self.restarts < limits.restarts {
            events.push(Event::Restart);
        }
        events
    }

    /// Lets it happen.
    pub(super) fn happen(&mut self, event: Event, defect: Defect) -> Result<(), Violation> {
        match event {
            Event::Read(client, inode) => self.read(client, inode, defect)?,
            Event::Change(client, inode) => self.change(client, inode, defect),
            Event::Release(client, inode) => {
                self.clients[client].releases += 1;
                if let Some(dropped) = self.clients[client].holdings.release(ino(inode)) {
                    self.clients[client].dropping.push(dropped.target);
                }
            }
            Event::Flush(client) => self.flush(client),
            Event::Dropped(client) => {
                let target = self.clients[client].dropping.remove(0);
                if let Some(back) = self.clients[client].holdings.dropped(target) {
                    self.give_back(client, back);
                }
            }
            Event::Up(client) => {
                if let Some(message) = self.up[client].pop_front() {
                    let mut server = std::mem::replace(&mut self.server, Server::new(0));
                    let result = server.hear(self, client, message, defect);
                    self.server = server;
                    result?;
                }
            }
            Event::Down(client) => {
                if let Some(message) = self.down[client].pop_front() {
                    self.hear(client, message, defect)?;
                }
            }
            Event::Beat(client) => {
                let sent = self.now;
                self.clients[client].beating = true;
                self.clients[client].beats += 1;
                self.up[client].push_back(Up::Heartbeat { sent });
            }
            Event::Break(client) => {
                self.breaks += 1;
                self.disconnect(client);
            }
            Event::Connect(client) => self.connect(client),
            Event::Tick => {
                self.now += 1;
                let mut server = std::mem::replace(&mut self.server, Server::new(0));
                let result = server.tick(self, defect);
                self.server = server;
                result?;
            }
            Event::Restart => {
                self.restarts += 1;
                // Before their streams break.
                let missing = self.server.waits_for(defect);
                for client in 0..self.clients.len() {
                    self.disconnect(client);
                }
                self.server.restart(self.now, missing);
            }
        }
        self.check(defect)
    }

    /// Breaks and restarts so far.
    pub(super) const fn spent(&self) -> [u8; 2] {
        [self.breaks, self.restarts]
    }

    /// Whether somebody waits although every message was delivered and nobody is away.
    pub(super) fn is_stuck(&self, events: &[Event]) -> bool {
        let quiet = !events.iter().any(|event| {
            matches!(event, Event::Flush(_) | Event::Dropped(_) | Event::Up(_) | Event::Down(_) | Event::Connect(_))
        });
        let waits = self.clients.iter().any(|client| client.call.is_some());
        quiet && waits && !self.server.keeps_what_was_left(self)
    }

    fn trusts(&self, client: &Client, defect: Defect) -> bool {
        let more = if defect == Defect::TrustsTooLong { WAIT + 1 } else { 0 };
        client.known && self.now < client.trusted_until + more
    }

    fn read(&mut self, index: usize, inode: usize, defect: Defect) -> Result<(), Violation> {
        let client = &self.clients[index];
        let local = client.holdings.may(ino(inode), Mode::Shared) && self.trusts(client, defect);
        if local {
            let value = client.cache[inode];
            if value != self.truth[inode] {
                return Err(format!("client {index} read {value} of inode {inode}, it is {}", self.truth[inode]));
            }
        } else if client.welcome {
            self.flush(index);
            self.clients[index].call = Some(Call::Read(ino(inode)));
            self.up[index].push_back(Up::Ask(ino(inode)));
        }
        self.clients[index].calls += 1;
        Ok(())
    }

    fn change(&mut self, index: usize, inode: usize, defect: Defect) {
        let value = self.next_value;
        self.next_value += 1;
        let local =
            self.clients[index].holdings.may(ino(inode), Mode::Exclusive) && self.trusts(&self.clients[index], defect);
        let client = &mut self.clients[index];
        client.calls += 1;
        let seq = client.next_seq;
        client.next_seq += 1;
        client.log.push_back(Logged { seq, ino: ino(inode), value, answered: local, sent: false, bounced: false });
        if local {
            client.cache[inode] = value;
            self.truth[inode] = value;
        } else {
            client.call = Some(Call::Change(seq));
            self.flush(index);
        }
    }

    fn flush(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if !client.welcome {
            return;
        }
        if client.may_flush()
            && let Some(at) = client.log.iter().position(|logged| logged.bounced)
            && let Some(mut logged) = client.log.remove(at)
        {
            // Its old number is used up.
            logged.seq = client.next_seq;
            logged.bounced = false;
            logged.sent = false;
            client.next_seq += 1;
            client.call = Some(Call::Change(logged.seq));
            client.log.push_back(logged);
        }
        for logged in client.log.iter_mut().filter(|logged| !logged.sent && !logged.bounced) {
            logged.sent = true;
            let Logged { seq, ino, value, answered, .. } = *logged;
            self.up[index].push_back(Up::Change { seq, ino, value, answered });
        }
    }

    fn give_back(&mut self, index: usize, back: GiveBack) {
        self.flush(index);
        if self.clients[index].welcome {
            self.up[index].push_back(Up::GiveBack(back));
        }
    }

    fn connect(&mut self, index: usize) {
        self.connected[index] = true;
        let now = self.now;
        let client = &mut self.clients[index];
        client.hello_sent = now;
        let resume = client.known;
        let held = if resume { client.holdings.claims() } else { Vec::new() };
        let pending = client.next_seq - 1;
        let session = client.session;
        for logged in &mut client.log {
            logged.sent = false;
        }
        self.up[index].push_back(Up::Hello { session, resume, held, pending });
    }

    pub(super) fn disconnect(&mut self, index: usize) {
        self.connected[index] = false;
        self.up[index].clear();
        self.down[index].clear();
        let client = &mut self.clients[index];
        client.welcome = false;
        client.beating = false;
        if let Some(Call::Read(_)) = client.call {
            // It asks again on the next stream; here: it is given up.
            client.call = None;
        }
        self.server.disconnected(client.session);
    }

    fn hear(&mut self, index: usize, message: Down, defect: Defect) -> Result<(), Violation> {
        let now = self.now;
        let client = &mut self.clients[index];
        match message {
            Down::Welcome { applied, sent, epoch } => {
                client.known = true;
                client.welcome = true;
                client.trusted_until = client.trusted_until.max(sent + TRUST);
                if client.epoch != epoch {
                    client.holdings.renumber();
                    client.epoch = epoch;
                }
                let done = |logged: &Logged| logged.seq <= applied && !logged.bounced;
                if client.log.iter().any(|logged| done(logged) && client.call == Some(Call::Change(logged.seq))) {
                    client.call = None;
                }
                client.log.retain(|logged| !done(logged));
                self.flush(index);
            }
            Down::Answer { ino, value, grants } => {
                if client.call != Some(Call::Read(ino)) {
                    return Ok(());
                }
                client.call = None;
                for grant in grants {
                    client.holdings.granted(grant);
                }
                self.learn(index, ino, value);
            }
            Down::Applied { seq, grants } => {
                let Some(logged) = client.log.iter().find(|logged| logged.seq == seq).cloned() else { return Ok(()) };
                client.log.retain(|logged| logged.seq != seq);
                if client.call == Some(Call::Change(seq)) {
                    client.call = None;
                    for grant in grants {
                        client.holdings.granted(grant);
                    }
                    self.learn(index, logged.ino, logged.value);
                }
            }
            Down::Retry { seq } => {
                if let Some(logged) = client.log.iter_mut().find(|logged| logged.seq == seq) {
                    if logged.answered {
                        return Err(format!("client {index}: an answered change was put off"));
                    }
                    logged.bounced = true;
                    logged.sent = false;
                }
            }
            Down::Recall { target, keep } => {
                let used: Vec<(InodeId, Mode)> =
                    (0..self.truth.len()).take(1).map(|i| (ino(i), Mode::Shared)).collect();
                match client.holdings.recalled(target, keep, &used) {
                    Step::Drop(dropped) => client.dropping.push(dropped.target),
                    Step::GiveBack(back) => self.give_back(index, back),
                    Step::Wait => {}
                }
            }
            Down::Alive { sent } => {
                client.beating = false;
                client.trusted_until = client.trusted_until.max(sent + TRUST);
            }
            Down::Lost => {
                let life = client.session.0[1] + 1;
                client.session = session(index, life);
                client.known = false;
                client.holdings.lost();
                client.dropping.clear();
                client.log.clear();
                client.next_seq = 1;
                client.call = None;
                client.trusted_until = 0;
                self.connected[index] = false;
                self.up[index].clear();
                self.down[index].clear();
                client_is_down(&mut self.clients[index]);
            }
        }
        let _ = (now, defect);
        Ok(())
    }

    /// What came with an answer is kept only under a lease; the value was true when it was sent, and
    /// the lease has held since.
    fn learn(&mut self, index: usize, which: InodeId, value: u8) {
        let client = &mut self.clients[index];
        let Ok(at) = usize::try_from(which.0 - 1) else { return };
        if client.holdings.may(which, Mode::Shared) {
            client.cache[at] = value;
        }
        // The volume's lease comes with everything: in this world the rest is fetched at once.
        if client.holdings.claims() == [(Target::Volume, Mode::Exclusive)] {
            let pending = |ino: InodeId| client.log.iter().rev().find(|l| l.ino == ino && l.answered).map(|l| l.value);
            let fresh: Vec<u8> = (0..client.cache.len())
                .map(|i| if i == at { value } else { pending(ino(i)).unwrap_or(self.server.value(i)) })
                .collect();
            client.cache = fresh;
        }
    }

    fn check(&self, defect: Defect) -> Result<(), Violation> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        for inode in 0..self.truth.len() {
            let believes =
                |client: &&Client, mode| client.holdings.may(ino(inode), mode) && self.trusts(client, defect);
            let any = self.clients.iter().filter(|client| believes(client, Mode::Shared)).count();
            let one = self.clients.iter().any(|client| believes(&client, Mode::Exclusive));
            if one && any > 1 {
                return Err(format!("an exclusive lease on inode {inode} beside another one"));
            }
        }
        Ok(())
    }

    /// The answered changes of a session are lost with it: what the server has is true again.
    pub(super) fn fenced(&mut self, session: SessionId, values: &[u8]) {
        for client in self.clients.iter().filter(|client| client.session == session) {
            for logged in client.log.iter().filter(|logged| logged.answered) {
                let Ok(at) = usize::try_from(logged.ino.0 - 1) else { continue };
                if self.truth[at] == logged.value {
                    self.truth[at] = values[at];
                }
            }
            // An earlier change of the same session may have been overwritten by a later one.
            for (at, value) in values.iter().enumerate() {
                if client.log.iter().any(|l| l.answered && l.value == self.truth[at]) {
                    self.truth[at] = *value;
                }
            }
        }
    }

    pub(super) fn answer(&mut self, ask: &Ask, grants: Vec<Grant>, value: u8) {
        let message = match ask.change {
            None => Down::Answer { ino: ask.ino, value, grants },
            Some((seq, _, _)) => Down::Applied { seq, grants },
        };
        self.say(ask.client, message);
    }

    pub(super) fn say(&mut self, client: usize, message: Down) {
        if self.connected[client] {
            self.down[client].push_back(message);
        }
    }
}

pub(super) const fn ino(index: usize) -> InodeId {
    InodeId(index as u64 + 1)
}
