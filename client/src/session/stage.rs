//! Data of large writes, on its way to the server beside the operation that names it.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind};
use holdfast_core::hash::Framed;
use holdfast_core::id::SessionId;
use holdfast_proto::data::frame_hashes_to_wire;
use holdfast_proto::error::from_status;
use holdfast_proto::metadata::{SESSION_KEY, session_value};
use holdfast_proto::v1::{self, data_client::DataClient};
use tonic::Request;

use crate::channel::limited;
use crate::session::backoff::Backoff;
use crate::session::shared::Shared;
use crate::session::state::StageJob;

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server may take to answer the operation itself after it refused its data.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(1);

/// Stages until it is done, the stream is another (which stages anew what is still needed), or the
/// server refuses: then the operation is taken back, so that nothing waits for ever.
pub(crate) async fn stage(shared: Arc<Shared>, job: StageJob) {
    let request = v1::StageRequest {
        stage_id: job.seq.0,
        data: job.data.clone(),
        blake3: frame_hashes_to_wire(Framed::from(job.data.clone()).hashes()),
    };
    let mut backoff = Backoff::new();
    let mut damaged_before = false;
    loop {
        if !shared.look(|state| state.generation == job.generation && state.awaits(&job)) {
            return;
        }
        let mut client = limited!(DataClient::new(shared.channels().data()));
        let call = session_call(&shared, job.session, request.clone());
        match client.stage(call).await.map_err(from_status) {
            Ok(_) => return,
            Err(error) if is_passing(&error) => {
                tracing::debug!(seq = job.seq.0, %error, "staging again");
                tokio::time::sleep(backoff.next_delay()).await;
            }
            // Damaged on the way, perhaps: once more.
            Err(error) if error.kind() == ErrorKind::Damaged && !damaged_before => {
                damaged_before = true;
                tracing::warn!(seq = job.seq.0, %error, "staging again, the data came damaged");
            }
            Err(error) => return refused(&shared, &job, error).await,
        }
    }
}

/// Whether the same call may succeed later. A lost session is the stream's to find out.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::SessionLost)
}

/// The server will not have the data. Usually it answers the operation with the reason; if not,
/// the operation is replaced, and said again on a new stream.
async fn refused(shared: &Arc<Shared>, job: &StageJob, error: Error) {
    let poll = VERDICT_TIMEOUT / 20;
    for _ in 0..20 {
        if !shared.look(|state| state.awaits(job)) {
            return;
        }
        tokio::time::sleep(poll).await;
    }
    tracing::warn!(seq = job.seq.0, %error, "the server refused the data of a write");
    if let Some(effects) = shared.update(|state| state.withdraw(job, error)) {
        shared.carry_out(effects);
        shared.kick.notify_one();
    }
}

/// A call that names its session.
pub(crate) fn session_call<T>(shared: &Shared, session: SessionId, message: T) -> Request<T> {
    let mut request = shared.connector.request(message);
    request.metadata_mut().insert_bin(SESSION_KEY, session_value(session));
    request.set_timeout(ATTEMPT_TIMEOUT);
    request
}
