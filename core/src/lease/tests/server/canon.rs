//! The server as part of the form of a state.

use super::super::canon::Canon;
use super::super::world::{Limits, World};
use super::{Ask, Item, Member, Resumed, Server};
use crate::id::SessionId;
use crate::lease::GrantNo;

impl Server {
    /// The last operation of a session that was applied; none of one that is not known.
    pub(in crate::lease::tests) fn applied(&self, session: SessionId) -> Option<u8> {
        self.members.get(&session).map(|member| member.applied)
    }

    /// Whether the server waits for a session that its client has left: time ends that.
    pub(in crate::lease::tests) fn keeps_what_was_left(&self, world: &World) -> bool {
        self.members.iter().any(|(&session, member)| world.clients[member.client].session() != session)
    }

    pub(in crate::lease::tests) fn last_grant(&self) -> GrantNo {
        self.table.last_grant()
    }

    /// Every grant that plays a part.
    pub(in crate::lease::tests) fn grants(&self, note: &mut dyn FnMut(GrantNo)) {
        self.table.grants(note);
        for member in self.members.values() {
            member.resumed.iter().for_each(|resumed| note(resumed.as_of));
            for item in &member.queue {
                if let Item::GiveBack(back) = item {
                    note(back.seen);
                }
            }
        }
        for (_, message) in &self.later {
            if let super::Up::GiveBack(back) = message {
                note(back.seen);
            }
        }
    }

    /// Claims that wait, in order.
    pub(in crate::lease::tests) fn claims(&self) -> Vec<u64> {
        self.table.waiting()
    }

    /// Writes what plays a part.
    pub(in crate::lease::tests) fn canonical(&self, world: &World, limits: Limits, canon: &mut Canon) {
        self.values.iter().for_each(|&value| canon.value(value));
        canon.flag(self.recovers);
        let mut members: Vec<(u8, &SessionId)> = self.members.keys().map(|s| (canon.place(*s), s)).collect();
        members.sort_unstable();
        canon.count(members.len());
        for (place, session) in members {
            let member = &self.members[session];
            canon.byte(place);
            canon.operations_of(world, member.client);
            canon.seq(member.applied);
            // No session ends any more when no time is left.
            canon.byte(if world.now < limits.ticks { member.deadline } else { 0 });
            canon.flag(self.missing.contains(session));
            self.member(member, self.missing.contains(session), canon);
        }
        self.table.canonical(canon);
        canon.count(self.asks.len());
        for (&claim, ask) in &self.asks {
            canon.claim(claim);
            canon.operations_of(world, ask.client);
            write_ask(ask, canon);
        }
        canon.count(self.later.len());
        for (client, message) in &self.later {
            canon.session(world.clients[*client].session());
            canon.operations_of(world, *client);
            canon.up(message);
        }
    }

    fn member(&self, member: &Member, is_missing: bool, canon: &mut Canon) {
        canon.flag(member.attached);
        // While it is waited for.
        let pending = member.pending.filter(|_| is_missing);
        canon.flag(pending.is_some());
        pending.iter().for_each(|&pending| canon.seq(pending));
        canon.count(self.members.values().filter(|other| other.came < member.came).count());
        canon.count(member.queue.len());
        for item in &member.queue {
            match item {
                Item::Change(ask) => {
                    canon.byte(1);
                    write_ask(ask, canon);
                }
                Item::GiveBack(back) => {
                    canon.byte(2);
                    canon.give_back(back);
                }
            }
        }
        canon.flag(member.blocked.is_some());
        member.blocked.iter().for_each(|&claim| canon.claim(claim));
        match &member.resumed {
            None => canon.byte(0),
            Some(Resumed { held, as_of, until }) => {
                canon.byte(1);
                canon.held(held.iter().copied());
                canon.grant(*as_of);
                canon.seq(*until);
            }
        }
    }
}

fn write_ask(ask: &Ask, canon: &mut Canon) {
    canon.session(ask.session);
    canon.ino(ask.ino);
    match ask.change {
        None => canon.byte(0),
        Some((seq, value, answered)) => {
            canon.byte(1);
            canon.seq(seq);
            canon.value(value);
            canon.flag(answered);
        }
    }
}
