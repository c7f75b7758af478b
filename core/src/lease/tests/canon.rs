//! One form for all states that behave alike, so that each is gone through once.
//!
//! Two states behave alike when one becomes the other by giving the clients other places, the written values
//! other names, and the grants, claims and operations other numbers in the same order. What nobody looks
//! at any more is left out: a cached value without a lease, a time that is over.
//!
//! The form is a row of bytes, of which a fingerprint is kept. That states are taken together which behave
//! alike, and no others, is itself tested: [`super::the_form_of_states_hides_nothing`].

use super::client::{Call, Client, Down, Up};
use super::world::{Defect, Limits, World, ino};
use crate::id::{InodeId, SessionId};
use crate::lease::{ClaimId, GiveBack, Grant, GrantNo, Mode, Target};

/// Marks the place of a session that its client has left: the server may keep one for a while, not more.
const LEFT: u8 = 1 << 7;

/// What is written, and how names become numbers.
#[derive(Debug, Default)]
pub(in crate::lease) struct Canon {
    bytes: Vec<u8>,
    /// The place of each client, and the session that it has.
    places: Vec<u8>,
    sessions: Vec<SessionId>,
    /// Grants that play a part and are not newer than the table's last, in order.
    grants: Vec<u64>,
    last_grant: u64,
    /// Claims that wait, in order.
    claims: Vec<u64>,
    /// Values in the order in which they were met.
    values: Vec<u8>,
    /// The number that counts as zero, among those of the operations that are being written.
    base: u8,
    /// A session that is trusted no more is not trusted later.
    trust_ends: bool,
}

impl Canon {
    pub(in crate::lease) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(in crate::lease) fn flag(&mut self, flag: bool) {
        self.bytes.push(u8::from(flag));
    }

    /// So many things follow.
    pub(in crate::lease) fn count(&mut self, count: usize) {
        self.bytes.push(u8::try_from(count).unwrap_or(u8::MAX));
    }

    pub(in crate::lease) fn mode(&mut self, mode: Option<Mode>) {
        self.bytes.push(match mode {
            None => 0,
            Some(Mode::Shared) => 1,
            Some(Mode::Exclusive) => 2,
        });
    }

    pub(in crate::lease) fn ino(&mut self, ino: InodeId) {
        self.bytes.push(u8::try_from(ino.0).unwrap_or(u8::MAX));
    }

    pub(in crate::lease) fn target(&mut self, target: Target) {
        match target {
            Target::Volume => self.byte(0),
            Target::Inode(ino) => self.ino(ino),
        }
    }

    /// The place of a session's client; of a session that its client has left, another one.
    pub(in crate::lease) fn place(&self, session: SessionId) -> u8 {
        let client = usize::from(session.0[0]) - 1;
        if self.sessions[client] == session { self.places[client] } else { self.places[client] | LEFT }
    }

    pub(in crate::lease) fn session(&mut self, session: SessionId) {
        self.byte(self.place(session));
    }

    /// Grants are compared, and the next one is newer than the last by one.
    pub(in crate::lease) fn grant(&mut self, grant: GrantNo) {
        let rank = match grant.0.checked_sub(self.last_grant) {
            Some(newer) if newer > 0 => self.grants.len() as u64 + newer,
            _ => self.grants.partition_point(|&other| other < grant.0) as u64 + 1,
        };
        self.byte(if grant.0 == 0 { 0 } else { u8::try_from(rank).unwrap_or(u8::MAX) });
    }

    pub(in crate::lease) fn claim(&mut self, claim: ClaimId) {
        self.count(self.claims.partition_point(|&other| other < claim.0));
    }

    /// Values are compared for equality.
    pub(super) fn value(&mut self, value: u8) {
        let index = self.values.iter().position(|&other| other == value).unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        });
        self.count(index);
    }

    /// Numbers of one session's operations are compared.
    pub(super) fn seq(&mut self, seq: u8) {
        self.byte(seq.wrapping_sub(self.base));
    }

    /// From here on operations are this client's, counted from what is applied; where the server does not know
    /// it, from what it has.
    pub(super) fn operations_of(&mut self, world: &World, client: usize) {
        let Client { log, next_seq, .. } = &world.clients[client];
        let own = log.front().map_or(*next_seq, |logged| logged.seq);
        self.base = world.server.applied(world.clients[client].session()).unwrap_or(own - 1);
    }

    pub(super) fn give_back(&mut self, back: &GiveBack) {
        self.target(back.target);
        self.mode(back.left);
        self.grant(back.seen);
        self.held(back.kept.iter().map(|&(ino, mode)| (Target::Inode(ino), mode)));
    }

    pub(super) fn held(&mut self, held: impl Iterator<Item = (Target, Mode)>) {
        let start = self.bytes.len();
        self.byte(0);
        for (target, mode) in held {
            self.target(target);
            self.mode(Some(mode));
            self.bytes[start] += 1;
        }
    }

    fn grants(&mut self, grants: &[Grant]) {
        self.count(grants.len());
        for grant in grants {
            self.target(grant.target);
            self.mode(Some(grant.mode));
            self.grant(grant.number);
        }
    }

    pub(super) fn up(&mut self, message: &Up) {
        match message {
            // Of whom, is said by whose queue it is in.
            Up::Hello { resume, held, pending, .. } => {
                self.byte(1);
                self.flag(*resume);
                self.held(held.iter().copied());
                self.seq(*pending);
            }
            Up::Ask(ino) => {
                self.byte(2);
                self.ino(*ino);
            }
            Up::Change { seq, ino, value, answered } => {
                self.byte(3);
                self.seq(*seq);
                self.ino(*ino);
                self.value(*value);
                self.flag(*answered);
            }
            Up::GiveBack(back) => {
                self.byte(4);
                self.give_back(back);
            }
            Up::Heartbeat { sent } => {
                self.byte(5);
                self.byte(*sent);
            }
        }
    }

    fn down(&mut self, message: &Down) {
        match message {
            Down::Welcome { applied, sent, epoch } => {
                self.byte(1);
                self.seq(*applied);
                self.byte(*sent);
                self.byte(*epoch);
            }
            Down::Answer { ino, value, grants } => {
                self.byte(2);
                self.ino(*ino);
                self.value(*value);
                self.grants(grants);
            }
            Down::Applied { seq, grants } => {
                self.byte(3);
                self.seq(*seq);
                self.grants(grants);
            }
            Down::Retry { seq } => {
                self.byte(4);
                self.seq(*seq);
            }
            Down::Recall { target, keep } => {
                self.byte(5);
                self.target(*target);
                self.mode(*keep);
            }
            Down::Alive { sent } => {
                self.byte(6);
                self.byte(*sent);
            }
            Down::Lost => self.byte(7),
        }
    }

    fn client(&mut self, world: &World, index: usize, limits: Limits) {
        self.operations_of(world, index);
        let client = &world.clients[index];
        let Client { known, welcome, beating, calls, releases, beats, epoch, next_seq, .. } = client;
        let says_hello = world.up[index].iter().any(|message| matches!(message, Up::Hello { .. }));
        for flag in [*known, *welcome, *beating, world.connected[index], says_hello] {
            self.flag(flag);
        }
        let trusted_until = if self.trust_ends { client.trusted_until.max(world.now) } else { client.trusted_until };
        for byte in [*calls, *releases, *beats, *epoch, trusted_until] {
            self.byte(byte);
        }
        self.byte(if says_hello { client.hello_sent } else { 0 });
        self.seq(*next_seq);
        match client.call {
            None => self.byte(0),
            Some(Call::Read(ino)) => {
                self.byte(1);
                self.ino(ino);
            }
            Some(Call::Change(seq)) => {
                self.byte(2);
                self.seq(seq);
            }
        }
        self.count(client.dropping.len());
        client.dropping.iter().for_each(|&target| self.target(target));
        client.holdings.canonical(self);
        for at in 0..limits.inodes {
            if client.holdings.may(ino(at), Mode::Shared) {
                self.byte(1);
                self.value(client.cache[at]);
            } else {
                self.byte(0);
            }
        }
        self.count(client.log.len());
        for logged in &client.log {
            self.seq(logged.seq);
            self.ino(logged.ino);
            self.value(logged.value);
            // Everything is sent anew on the next stream.
            let sent = logged.sent && world.connected[index];
            self.byte(u8::from(logged.answered) | u8::from(sent) << 1 | u8::from(logged.bounced) << 2);
        }
        self.count(world.up[index].len());
        world.up[index].iter().for_each(|message| self.up(message));
        self.count(world.down[index].len());
        world.down[index].iter().for_each(|message| self.down(message));
    }

    /// The whole state, with its clients in this order.
    fn world(&mut self, world: &World, order: &[usize], limits: Limits) {
        self.places = vec![0; order.len()];
        for (place, &client) in (0..).zip(order) {
            self.places[client] = place;
        }
        self.sessions = world.clients.iter().map(Client::session).collect();
        self.values.clear();
        self.byte(world.now);
        for byte in world.spent() {
            self.byte(byte);
        }
        world.truth.iter().for_each(|&value| self.value(value));
        for &client in order {
            self.client(world, client, limits);
        }
        world.server.canonical(world, limits, self);
    }
}

/// Every grant that plays a part.
fn grants_of(world: &World, found: &mut Vec<u64>) {
    let mut note = |grant: GrantNo| found.push(grant.0);
    world.server.grants(&mut note);
    for client in &world.clients {
        client.holdings.grants(&mut note);
    }
    for message in world.up.iter().flatten() {
        if let Up::GiveBack(back) = message {
            note(back.seen);
        }
    }
    for message in world.down.iter().flatten() {
        if let Down::Answer { grants, .. } | Down::Applied { grants, .. } = message {
            grants.iter().for_each(|grant| note(grant.number));
        }
    }
}

/// Every order of clients in which those come first whose own part is less; many only where parts are alike.
fn orders(parts: &[Vec<u8>]) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for _ in parts {
        let mut longer = Vec::new();
        for order in &orders {
            let left = || (0..parts.len()).filter(|client| !order.contains(client));
            let Some(least) = left().map(|client| &parts[client]).min() else { continue };
            longer.extend(left().filter(|&client| &parts[client] == least).map(|client| {
                let mut order = order.clone();
                order.push(client);
                order
            }));
        }
        orders = longer;
    }
    orders
}

/// The form of a state.
pub(super) fn form(world: &World, limits: Limits, defect: Defect) -> Vec<u8> {
    let trust_ends = defect != Defect::TrustsTooLong;
    let mut canon = Canon { last_grant: world.server.last_grant().0, trust_ends, ..Canon::default() };
    grants_of(world, &mut canon.grants);
    let last = canon.last_grant;
    canon.grants.retain(|&grant| grant > 0 && grant <= last);
    canon.grants.push(last);
    canon.grants.sort_unstable();
    canon.grants.dedup();
    canon.grants.retain(|&grant| grant > 0);
    canon.claims = world.server.claims();
    let parts: Vec<Vec<u8>> = (0..world.clients.len())
        .map(|client| {
            canon.bytes.clear();
            // Values are named by what this client alone shows of them.
            canon.values.clear();
            world.truth.iter().for_each(|&value| canon.value(value));
            canon.client(world, client, limits);
            canon.bytes.clone()
        })
        .collect();
    let mut least: Option<Vec<u8>> = None;
    for order in orders(&parts) {
        canon.bytes.clear();
        canon.world(world, &order, limits);
        if least.as_ref().is_none_or(|least| canon.bytes < *least) {
            least = Some(std::mem::take(&mut canon.bytes));
        }
    }
    least.unwrap_or_default()
}

/// 128 bits of the form of a state.
pub(super) fn fingerprint(world: &World, limits: Limits, defect: Defect) -> u128 {
    let hash = blake3::hash(&form(world, limits, defect));
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(first)
}
