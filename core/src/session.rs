//! How long a session may be trusted, on either side.
//!
//! A client renews its session with heartbeats on the control stream. The client counts from the
//! *sending* of the last heartbeat that was answered and stops early; the server counts from the
//! *receipt* and waits longer. Both use a clock that counts during suspend. As long as the two
//! clocks' rates differ by less than [`DRIFT_PERCENT`], the client never believes in a session
//! that the server has given up.

use std::time::Duration;

/// Default length of a session without renewal.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(10);
/// Default time between two heartbeats.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(2);
/// How far the rates of two clocks may differ, in percent.
pub const DRIFT_PERCENT: u32 = 1;

/// A point on a boot-time clock (`CLOCK_BOOTTIME`), from an origin of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(pub Duration);

/// When a client must stop to trust its session: early by the drift.
#[must_use]
pub fn client_trusts_until(sent: BootTime, lease: Duration) -> BootTime {
    BootTime(sent.0 + lease - lease * DRIFT_PERCENT / 100)
}

/// When a server may give the session up: late by the drift and one heartbeat.
#[must_use]
pub fn server_waits_until(received: BootTime, lease: Duration, heartbeat: Duration) -> BootTime {
    BootTime(received.0 + lease + lease * DRIFT_PERCENT / 100 + heartbeat)
}
