//! What a calling thread may do, where the kernel leaves the rule to the file system.
//!
//! The kernel names the thread in each request, and user and group only where something is made.
//! The thread waits for its answer meanwhile, so `/proc` tells what it is. Asked for only where a
//! rule needs it: a look costs some microseconds.

use std::fs;

use holdfast_core::acl::{Acl, Subject};
use holdfast_core::attr::Attr;

/// `CAP_CHOWN`: changes any owner.
const CAP_CHOWN: u32 = 0;
/// `CAP_DAC_OVERRIDE`: writes any file.
const CAP_DAC_OVERRIDE: u32 = 1;
/// `CAP_FOWNER`: acts as the owner of any file.
const CAP_FOWNER: u32 = 3;
/// `CAP_FSETID`: keeps set-user-id and set-group-id.
const CAP_FSETID: u32 = 4;
/// `CAP_SYS_ADMIN`: sees `trusted.` attributes.
const CAP_SYS_ADMIN: u32 = 21;

/// A thread that calls, in the pid namespace of the mount; 0: not visible there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thread(pub u32);

/// A thread's ids and capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    uid: Option<u32>,
    groups: Vec<u32>,
    capabilities: u64,
}

impl Credentials {
    /// Those of a thread. Of one that cannot be seen: nobody's.
    pub(super) fn of(thread: Thread) -> Self {
        if thread.0 == 0 {
            return Self::default();
        }
        fs::read_to_string(format!("/proc/{}/status", thread.0)).map_or_else(|_| Self::default(), |text| parse(&text))
    }

    /// Whether it is this user, or acts as any.
    pub(super) fn acts_as(&self, uid: u32) -> bool {
        self.uid == Some(uid) || self.has(CAP_FOWNER)
    }

    /// Whether it may write a file with these attributes and this access list.
    pub(super) fn may_write(&self, file: &Attr, list: Option<&Acl>) -> bool {
        let subject = self.uid.map(|uid| Subject { uid, groups: &self.groups });
        self.has(CAP_DAC_OVERRIDE) || subject.is_some_and(|subject| subject.may(0o2, file, list))
    }

    /// Whether it may change the owner and group of any file.
    pub(super) const fn changes_owners(&self) -> bool {
        self.has(CAP_CHOWN)
    }

    /// Whether it keeps set-user-id and set-group-id of any file.
    pub(super) const fn keeps_privileges(&self) -> bool {
        self.has(CAP_FSETID)
    }

    /// Whether it is in this group.
    pub(super) fn is_in_group(&self, gid: u32) -> bool {
        self.groups.contains(&gid)
    }

    /// Whether it is in this group, or keeps set-group-id of any.
    pub(super) fn keeps_setgid(&self, gid: u32) -> bool {
        self.is_in_group(gid) || self.has(CAP_FSETID)
    }

    /// Whether it sees `trusted.` attributes.
    pub(super) const fn sees_trusted(&self) -> bool {
        self.has(CAP_SYS_ADMIN)
    }

    const fn has(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 == 1
    }
}

/// Reads `/proc/PID/status` (proc(5)): of four ids the last is the one for file systems.
fn parse(status: &str) -> Credentials {
    let mut found = Credentials::default();
    for line in status.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let mut numbers = value.split_ascii_whitespace().map_while(|word| word.parse::<u32>().ok());
        match key {
            "Uid" => found.uid = numbers.nth(3),
            "Gid" => found.groups.extend(numbers.nth(3)),
            "Groups" => found.groups.extend(numbers),
            "CapEff" => found.capabilities = u64::from_str_radix(value.trim(), 16).unwrap_or(0),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tcat\nUid:\t1000\t1000\t1000\t1001\nGid:\t5\t5\t5\t6\nGroups:\t7 8 \n\
                          CapEff:\t0000000000000010\n";

    #[test]
    fn ids_groups_and_capabilities_are_those_for_file_systems() {
        let found = parse(STATUS);
        assert_eq!(found, Credentials { uid: Some(1001), groups: vec![6, 7, 8], capabilities: 0x10 });
        assert!(found.acts_as(1001) && !found.acts_as(1000));
        assert!(found.keeps_privileges() && found.keeps_setgid(99) && !found.sees_trusted());
    }

    #[test]
    fn a_thread_that_cannot_be_seen_is_nobody() {
        let nobody = Credentials::of(Thread(0));
        assert!(!nobody.acts_as(0) && !nobody.keeps_setgid(0) && !nobody.sees_trusted());
    }
}
