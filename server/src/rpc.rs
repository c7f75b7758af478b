//! The gRPC edge: one thin file a service. Wire types end here.
//!
//! Every call is checked before it costs anything: token, message size, and for reads a live
//! session, which is also how its volume is found. Whatever comes in on the port, the worst that
//! happens to others is nothing.

mod auth;
mod control;
mod data;
mod incoming;
mod inspect;
mod maintenance;
mod namespace;
mod volumes;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error;
use holdfast_core::id::{InodeId, SessionId};
use holdfast_core::limits::{HELLO_BYTES_MAX, MESSAGE_BYTES_MAX};
use holdfast_proto::error::to_status;
use holdfast_proto::metadata::session_of;
use holdfast_proto::v1;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Status};

use self::auth::Auth;
pub(crate) use self::incoming::Incoming;
use crate::config::{Config, invalid};
use crate::registry::Registry;
use crate::volume::{Owner, Thing};

/// Calls at a time on one connection.
const STREAMS_MAX: u32 = 256;
/// Headers of one call, bytes.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Bytes that a peer may send ahead in one call, and on a connection.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// Largest HTTP/2 frame.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// A connection is asked whether it lives after so long, and cut after as long again without answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIME_MAX: Duration = Duration::from_secs(20);

/// What the services share.
#[derive(Clone, Debug)]
struct Service {
    registry: Arc<Registry>,
    info: Arc<About>,
}

/// What the server says of itself.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) started: holdfast_core::time::Timestamp,
    pub(crate) tls: bool,
    /// Bytes a second of a scrub that names no rate.
    pub(crate) scrub_rate: u64,
}

/// Puts the services together, under the limits of this server.
pub(crate) fn router(config: &Config, registry: &Arc<Registry>, info: About) -> error::Result<Router> {
    let auth = Auth::new(config.token.clone());
    let service = Service { registry: Arc::clone(registry), info: Arc::new(info) };
    let volumes = v1::volumes_server::VolumesServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let session = v1::session_server::SessionServer::new(service.clone()).max_decoding_message_size(HELLO_BYTES_MAX);
    let namespace =
        v1::namespace_server::NamespaceServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let inspect = v1::inspect_server::InspectServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let maintenance =
        v1::maintenance_server::MaintenanceServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let data = v1::data_server::DataServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| invalid(format!("gRPC reflection: {error}")))?;
    // Health says only that the server is there, which whoever reaches the port knows.
    let (_, health) = tonic_health::server::health_reporter();
    let mut server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIME_MAX));
    if let Some(files) = &config.tls {
        let tls = crate::tls::load(files)?;
        server = server.tls_config(tls).map_err(|error| {
            invalid(format!("the TLS files do not fit together ({}, {})", files.cert.display(), files.key.display()))
                .because(error)
        })?;
    }
    Ok(server
        .add_service(health)
        .add_service(InterceptedService::new(reflection, auth.clone()))
        .add_service(InterceptedService::new(volumes, auth.clone()))
        .add_service(InterceptedService::new(session, auth.clone()))
        .add_service(InterceptedService::new(namespace, auth.clone()))
        .add_service(InterceptedService::new(inspect, auth.clone()))
        .add_service(InterceptedService::new(maintenance, auth.clone()))
        .add_service(InterceptedService::new(data, auth.clone())))
}

impl Service {
    /// Who reads, on a volume that is open to reads.
    async fn reader<T>(&self, request: &Request<T>) -> Result<Reader, Status> {
        let session = session_of(request.metadata()).map_err(|error| to_status(&error))?;
        let owner = self.registry.shared().directory.find(session).map_err(|error| to_status(&error))?;
        owner.ready().await.map_err(|error| to_status(&error))?;
        Ok(Reader { session, owner })
    }
}

/// A session that reads, and the owner of the volume that it is on.
struct Reader {
    session: SessionId,
    owner: Arc<Owner>,
}

impl Reader {
    /// Waits until what was read of these things may be shown.
    async fn settled(&self, things: &[Thing]) -> Result<(), Status> {
        self.owner.settled(self.session, things).await.map_err(status)
    }

    /// Whether what was read of an inode may be shown now.
    fn may_show(&self, ino: InodeId) -> bool {
        self.owner.is_settled(self.session, &[Thing::Inode(ino)])
    }
}

impl Deref for Reader {
    type Target = Owner;

    fn deref(&self) -> &Owner {
        &self.owner
    }
}

/// A failure, as gRPC tells it.
fn status(error: error::Error) -> Status {
    to_status(&error)
}
