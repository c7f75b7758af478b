//! Compaction that nobody has to ask for: open volumes are looked at again and again, one after the other.

use std::collections::HashMap;
use std::sync::Arc;

use holdfast_core::error::{ErrorKind, Result};
use holdfast_core::id::VolumeId;
use tokio::sync::watch;
use tracing::{info, warn};

use super::ledger::Ledger;
use super::pass::{self, Job};
use super::plan::{Disk, Memory, Plan, Segment, plan};
use crate::config::CompactPolicy;
use crate::offload::blocking;
use crate::registry::Registry;
use crate::volume::{Owner, Visit};

/// Compacts what is worth it until the server stops.
pub(crate) async fn run(registry: Arc<Registry>, policy: CompactPolicy, mut stop: watch::Receiver<bool>) {
    let Some(interval) = policy.interval else { return };
    let mut memories: HashMap<VolumeId, Memory> = HashMap::new();
    loop {
        // Over in time: the server stops, or is gone.
        if tokio::time::timeout(interval, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        let open = registry.open_owners();
        memories.retain(|id, _| open.iter().any(|(open, ..)| open == id));
        for (id, owner, ledger) in open {
            if *stop.borrow() {
                return;
            }
            if let Some(owner) = owner.upgrade().filter(|owner| owner.is_serving()) {
                look(&registry, owner, ledger, policy, memories.entry(id).or_default(), stop.clone()).await;
            }
        }
    }
}

/// Looks at one volume, and compacts it if that is worth it.
async fn look(
    registry: &Arc<Registry>,
    owner: Arc<Owner>,
    ledger: Arc<Ledger>,
    policy: CompactPolicy,
    memory: &mut Memory,
    stop: watch::Receiver<bool>,
) {
    let clock = Arc::clone(&registry.shared().clock);
    let name = owner.name().to_owned();
    let planned = match decide(&owner, policy, memory).await {
        Ok(planned) => planned,
        Err(error) => {
            warn!(volume = name, ?error, "cannot see how much of a volume's data is dead");
            ledger.failed(clock.now(), error.to_string());
            return;
        }
    };
    if let Some(bytes) = planned.no_room {
        let why = format!("no room on the disk to move {bytes} bytes; free some, or delete files");
        if ledger.failed(clock.now(), why) {
            warn!(volume = name, bytes, "dead data stays on the disk: there is no room to move what lies between it");
        }
        return;
    }
    if planned.victims.is_empty() {
        return;
    }
    // An error: it is being closed.
    let Ok(visit) = Visit::begin(owner) else { return };
    info!(volume = name, segments = planned.victims.len(), tight = planned.tight, "compaction begins");
    let job = Job {
        visit,
        plan: planned,
        rate: policy.bytes_per_second,
        ledger: Arc::clone(&ledger),
        clock: Arc::clone(&clock),
        stop,
    };
    let (left, result) = pass::run(job).await;
    left.into_iter().for_each(|(id, live)| memory.settle(id, live));
    match result {
        Ok(()) => info!(volume = name, "compaction is over"),
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            info!(volume = name, %error, "compaction was broken off; it goes on later");
        }
        Err(error) => {
            warn!(volume = name, ?error, "compaction failed; it is tried again later");
            ledger.failed(clock.now(), error.to_string());
        }
    }
}

async fn decide(owner: &Arc<Owner>, policy: CompactPolicy, memory: &mut Memory) -> Result<Plan> {
    let owner = Arc::clone(owner);
    let (accounts, (free, reserve)) =
        blocking(move || Ok((owner.store().segment_accounts(), owner.store().disk_room()?))).await?;
    let segments: Vec<Segment> =
        accounts.into_iter().map(|(id, account)| Segment { id, len: account.len, live: account.live }).collect();
    Ok(plan(&segments, memory, Disk { free, reserve }, policy.dead_percent))
}
