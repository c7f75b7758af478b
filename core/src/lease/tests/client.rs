//! A client of the world, and what it and the server say to each other.

use std::collections::VecDeque;

use crate::id::{InodeId, SessionId};
use crate::lease::{GiveBack, Grant, Holdings, Mode, Target};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Up {
    Hello { session: SessionId, resume: bool, held: Vec<(Target, Mode)>, pending: u8 },
    Ask(InodeId),
    Change { seq: u8, ino: InodeId, value: u8, answered: bool },
    GiveBack(GiveBack),
    Heartbeat { sent: u8 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Down {
    Welcome { applied: u8, sent: u8, epoch: u8 },
    Answer { ino: InodeId, value: u8, grants: Vec<Grant> },
    Applied { seq: u8, grants: Vec<Grant> },
    Retry { seq: u8 },
    Recall { target: Target, keep: Option<Mode> },
    Alive { sent: u8 },
    Lost,
}

/// What a client's program waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Read(InodeId),
    Change(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Logged {
    pub(super) seq: u8,
    pub(super) ino: InodeId,
    pub(super) value: u8,
    pub(super) answered: bool,
    pub(super) sent: bool,
    /// The server said "again later": it goes to the end when nothing is being given back.
    pub(super) bounced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) session: SessionId,
    pub(super) known: bool,
    pub(super) holdings: Holdings,
    pub(super) cache: Vec<u8>,
    pub(super) log: VecDeque<Logged>,
    pub(super) next_seq: u8,
    pub(super) call: Option<Call>,
    pub(super) calls: u8,
    pub(super) releases: u8,
    pub(super) trusted_until: u8,
    pub(super) epoch: u8,
    pub(super) hello_sent: u8,
    pub(super) welcome: bool,
    pub(super) dropping: Vec<Target>,
    pub(super) beating: bool,
    pub(super) beats: u8,
}

pub(super) fn session(client: usize, life: u8) -> SessionId {
    let mut id = [0; 16];
    id[0] = u8::try_from(client).unwrap_or(u8::MAX) + 1;
    id[1] = life;
    SessionId(id)
}

impl Client {
    pub(super) fn new(index: usize, inodes: usize) -> Self {
        Self {
            session: session(index, 0),
            known: false,
            holdings: Holdings::default(),
            cache: vec![0; inodes],
            log: VecDeque::new(),
            next_seq: 1,
            call: None,
            calls: 0,
            releases: 0,
            trusted_until: 0,
            epoch: 0,
            hello_sent: 0,
            welcome: false,
            dropping: Vec::new(),
            beating: false,
            beats: 0,
        }
    }

    /// A change that was put off waits until nothing is being given back.
    pub(super) fn may_flush(&self) -> bool {
        self.dropping.is_empty() || self.log.iter().any(|logged| !logged.sent && !logged.bounced)
    }

    pub(super) const fn session(&self) -> SessionId {
        self.session
    }

    pub(super) const fn hello_sent(&self) -> u8 {
        self.hello_sent
    }
}

pub(super) const fn client_is_down(client: &mut Client) {
    client.welcome = false;
    client.beating = false;
}
