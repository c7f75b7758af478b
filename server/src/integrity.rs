//! Looks at whole volumes: that their metadata agrees with itself ([`check`]), and that their data is
//! what was written ([`scrub`]).
//!
//! - A volume stays in use meanwhile. Both look at it as of a commit, through a snapshot of the
//!   engine, and hold nobody up; a volume that is closed is opened for it.
//! - Each ends soon when its caller goes away, and when the volume is to be closed.
//! - A volume has at most one scrub at a time. Where it is, is kept on disk: whoever begins the next
//!   one goes on there.
//! - Nothing is changed unless a repair is asked for, and then only what is safe to mend.

pub(crate) mod check;
mod chunk;
pub(crate) mod desk;
mod naming;
pub(crate) mod pace;
mod record;
pub(crate) mod schedule;
pub(crate) mod scrub;

pub(crate) use self::record::read as read_record;
