//! The `Inspect` service: who uses a volume and what its data takes up, for people.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use holdfast_core::error::Result as CoreResult;
use holdfast_core::id::{InodeId, SessionId};
use holdfast_proto::inspect::{ClientView, Description, HandleView, LockView, OpenView, Process};
use holdfast_proto::segments::{CompactionView, SegmentSums, SegmentsView};
use holdfast_proto::v1::inspect_server::Inspect;
use holdfast_proto::v1::{
    GetSegmentsRequest, GetSegmentsResponse, ListLocksRequest, ListLocksResponse, ListOpensRequest, ListOpensResponse,
    LockEntry, OpenEntry, VolumeRef,
};
use holdfast_proto::volume::required;
use tonic::{Request, Response, Status};

use super::{Service, status};
use crate::offload::blocking;
use crate::store::SessionInfo;
use crate::volume::Owner;

/// Rows of an answer.
const ROWS_MAX: usize = 4096;
/// Bytes of an answer, about: under the largest message, whatever the paths.
const BYTES_MAX: usize = 768 << 10;
/// Bytes of a row beside its texts, at most.
const ROW_BYTES: usize = 160;

/// Who is there, and what they said.
struct Census {
    infos: HashMap<SessionId, SessionInfo>,
    answers: BTreeMap<SessionId, Description>,
    paths: HashMap<InodeId, Vec<u8>>,
}

#[tonic::async_trait]
impl Inspect for Service {
    async fn list_locks(&self, request: Request<ListLocksRequest>) -> Result<Response<ListLocksResponse>, Status> {
        let Some(owner) = self.user_of(request.into_inner().volume)? else {
            return Ok(Response::new(ListLocksResponse::default()));
        };
        // Who answers has told before what it has granted by itself.
        let answers = owner.ask_sessions(owner.session_infos().into_keys()).await;
        let (rows, more) = owner.lock_rows(ROWS_MAX);
        let census = Census::take(&owner, answers, rows.iter().map(|row| row.ino).collect()).await.map_err(status)?;
        let views = rows.into_iter().map(|row| LockView {
            client: census.client(row.session),
            process: census.process(row.session, row.pid),
            ino: row.ino,
            path: census.path(row.ino),
            space: row.space,
            mode: row.mode,
            range: row.range,
            waits: row.waits,
            since: row.since,
        });
        let (locks, cut) = fitting(views.map(|view| (text_bytes(&view.client, &view.path), LockEntry::from(&view))));
        Ok(Response::new(ListLocksResponse { locks, cut: cut || more || census.is_cut() }))
    }

    async fn list_opens(&self, request: Request<ListOpensRequest>) -> Result<Response<ListOpensResponse>, Status> {
        let Some(owner) = self.user_of(request.into_inner().volume)? else {
            return Ok(Response::new(ListOpensResponse::default()));
        };
        let sessions: Vec<SessionId> = owner.session_infos().into_keys().collect();
        let answers = owner.ask_sessions(sessions.into_iter()).await;
        let now = owner.wall_time();
        let mut rows: Vec<(InodeId, SessionId, Option<HandleView>)> = Vec::new();
        let mut told: HashSet<(InodeId, SessionId)> = HashSet::new();
        for (&session, description) in &answers {
            for open in &description.opens {
                told.insert((open.ino, session));
                let process = process_in(Some(description), open.pid);
                let handle = HandleView { process, access: open.access, since: now.before(open.open_for) };
                rows.push((open.ino, session, Some(handle)));
            }
        }
        let (kept, mut more) = owner.open_rows(ROWS_MAX);
        rows.extend(kept.into_iter().filter(|kept| !told.contains(kept)).map(|(ino, session)| (ino, session, None)));
        rows.sort_by_key(|(ino, session, handle)| {
            (*ino, *session, handle.as_ref().map(|handle| (handle.since, handle.process.pid)))
        });
        more |= rows.len() > ROWS_MAX;
        rows.truncate(ROWS_MAX);
        let census = Census::take(&owner, answers, rows.iter().map(|row| row.0).collect()).await.map_err(status)?;
        let views = rows.into_iter().map(|(ino, session, handle)| OpenView {
            client: census.client(session),
            ino,
            path: census.path(ino),
            handle,
        });
        let (opens, cut) = fitting(views.map(|view| (text_bytes(&view.client, &view.path), OpenEntry::from(&view))));
        Ok(Response::new(ListOpensResponse { opens, cut: cut || more || census.is_cut() }))
    }

    async fn get_segments(
        &self,
        request: Request<GetSegmentsRequest>,
    ) -> Result<Response<GetSegmentsResponse>, Status> {
        let volume = required(request.into_inner().volume).map_err(status)?;
        let done = self.registry.ledger(&volume).map_err(status)?.done();
        let sums = match self.registry.owner_if_open(&volume).map_err(status)? {
            Some(owner) => Some(blocking(move || owner.store().segment_sums()).await.map_err(status)?),
            None => None,
        };
        let view = SegmentsView {
            sums: sums.map(|sums| SegmentSums {
                segments: sums.segments,
                bytes: sums.bytes,
                live_bytes: sums.live,
                dead_bytes: sums.dead,
            }),
            compaction: CompactionView {
                running: done.running,
                freed_segments: done.segments,
                freed_bytes: done.bytes,
                moved_frames: done.frames_moved,
                moved_bytes: done.bytes_moved,
                failure: done.failure,
            },
        };
        Ok(Response::new((&view).into()))
    }
}

impl Service {
    fn user_of(&self, volume: Option<VolumeRef>) -> Result<Option<Arc<Owner>>, Status> {
        let volume = required(volume).map_err(status)?;
        self.registry.owner_if_open(&volume).map_err(status)
    }
}

impl Census {
    async fn take(
        owner: &Arc<Owner>,
        answers: BTreeMap<SessionId, Description>,
        inodes: BTreeSet<InodeId>,
    ) -> CoreResult<Self> {
        let infos = owner.session_infos();
        let owner = Arc::clone(owner);
        let paths = blocking(move || Ok(owner.paths(&inodes))).await?;
        Ok(Self { infos, answers, paths })
    }

    fn client(&self, session: SessionId) -> ClientView {
        let answered = self.answers.contains_key(&session);
        match self.infos.get(&session).cloned() {
            Some(SessionInfo { host, pid, program, .. }) => ClientView { host, pid, program, answered },
            // It has left meanwhile.
            None => ClientView { host: String::new(), pid: 0, program: String::new(), answered },
        }
    }

    fn process(&self, session: SessionId, pid: u32) -> Process {
        process_in(self.answers.get(&session), pid)
    }

    fn path(&self, ino: InodeId) -> Vec<u8> {
        self.paths.get(&ino).cloned().unwrap_or_default()
    }

    fn is_cut(&self) -> bool {
        self.answers.values().any(|answer| answer.cut)
    }
}

fn process_in(description: Option<&Description>, pid: u32) -> Process {
    let known = description.and_then(|said| said.processes.iter().find(|process| process.pid == pid));
    known.cloned().unwrap_or(Process { pid, ..Process::default() })
}

fn text_bytes(client: &ClientView, path: &[u8]) -> usize {
    client.host.len() + client.program.len() + path.len() + 2 * holdfast_proto::inspect::PROCESS_TEXT_BYTES_MAX
}

/// The rows that fit into a message, and whether some do not.
fn fitting<T>(rows: impl Iterator<Item = (usize, T)>) -> (Vec<T>, bool) {
    let (mut bytes, mut fit) = (0, Vec::new());
    for (texts, row) in rows {
        bytes += texts + ROW_BYTES;
        if bytes > BYTES_MAX {
            return (fit, true);
        }
        fit.push(row);
    }
    (fit, false)
}
