//! What a client has as part of the form of a state of the model ([`crate::lease::tests`]).

use super::{Giving, Holdings};
use crate::lease::GrantNo;
use crate::lease::tests::canon::Canon;

impl Holdings {
    /// Writes all of it.
    pub(in crate::lease) fn canonical(&self, canon: &mut Canon) {
        match &self.volume {
            None => canon.byte(0),
            Some(Giving::Not) => canon.byte(1),
            Some(Giving::But(kept)) => {
                canon.byte(2);
                canon.count(kept.len());
                for &(ino, mode) in kept {
                    canon.ino(ino);
                    canon.mode(Some(mode));
                }
            }
        }
        canon.count(self.inodes.len());
        for (&ino, held) in &self.inodes {
            canon.ino(ino);
            canon.mode(Some(held.mode));
            canon.flag(held.giving.is_some());
            canon.mode(held.giving.flatten());
        }
        canon.grant(self.seen);
    }

    /// The grant that it knows of.
    pub(in crate::lease) fn grants(&self, note: &mut dyn FnMut(GrantNo)) {
        note(self.seen);
    }
}
