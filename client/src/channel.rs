//! Connections to a server: how they are configured, and what a failed one tells a person.
//!
//! Nothing is left to a library's defaults that could hurt: windows, message sizes, keepalive and
//! timeouts are set here, once.

use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::limits::MESSAGE_BYTES_MAX;
use holdfast_proto::metadata::{AUTHORIZATION_KEY, bearer_value};
use hyper::rt::Executor;
use tokio::runtime::Handle;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint as Transport};

use crate::endpoint::Endpoint;
use crate::network;

/// A peer is pinged after this long without a sign of life.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// It has this long to answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest frame that the other side may send us: one message of file data in one or two.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// Largest set of headers that we take.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// What a connection is for: decides how much may be on its way to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Operations, names, volumes.
    Control,
    /// Bytes of files.
    Data,
}

impl Purpose {
    /// Window of one stream and of the connection, in bytes.
    const fn windows(self) -> (u32, u32) {
        match self {
            Self::Control => (2 << 20, 4 << 20),
            Self::Data => (16 << 20, 64 << 20),
        }
    }
}

/// How to make connections to one server, read and checked once.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    endpoint: Endpoint,
    control: Transport,
    data: Transport,
    token: Option<MetadataValue<Ascii>>,
}

impl Connector {
    /// Checks an endpoint and reads its files.
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self> {
        if endpoint.token.is_some() && endpoint.tls.is_none() && !endpoint.address.is_loopback() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("refusing to send a token to {} without encryption; give the TLS files too", endpoint.address),
            ));
        }
        let token = endpoint.token.as_ref().map(|token| bearer_value(token.secret())).transpose()?;
        Ok(Self {
            control: transport(endpoint, Purpose::Control)?,
            data: transport(endpoint, Purpose::Data)?,
            endpoint: endpoint.clone(),
            token,
        })
    }

    /// The same, with connections for bytes of files served by this runtime.
    pub(crate) fn carrying_bytes_on(mut self, runtime: &Handle) -> Self {
        self.data = self.data.executor(On(runtime.clone()));
        self
    }

    /// A connection, made now.
    pub(crate) async fn connect(&self) -> Result<Channel> {
        let attempt = async {
            match &self.endpoint.network {
                None => self.control.connect().await,
                Some(network) => network::connect(&self.control, network, &self.endpoint.address).await,
            }
        };
        match tokio::time::timeout(self.endpoint.connect_timeout, attempt).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(self.refused(error)),
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{} did not answer within {:?}; is the address right and the server running?",
                    self.endpoint.address, self.endpoint.connect_timeout
                ),
            )),
        }
    }

    /// A connection that is made when it is first used.
    pub(crate) fn connect_later(&self, purpose: Purpose) -> Channel {
        let transport = match purpose {
            Purpose::Control => &self.control,
            Purpose::Data => &self.data,
        };
        match &self.endpoint.network {
            None => transport.connect_lazy(),
            Some(network) => network::connect_later(transport, network, &self.endpoint.address),
        }
    }

    /// A call with the token on it.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert(AUTHORIZATION_KEY, token.clone());
        }
        request
    }

    /// Adds to the failure of a first call what a person can look at, where it was the connection
    /// that failed: refused certificates and wrong protocols show only then.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let of_connection = std::error::Error::source(&error).is_some_and(|status| status.source().is_some());
        if error.kind() != ErrorKind::Unavailable || !of_connection {
            return error;
        }
        let message = format!("cannot talk to {}: {}; {}", self.endpoint.address, error.message(), self.hint());
        Error::new(ErrorKind::Unavailable, message).because(error)
    }

    fn refused(&self, error: tonic::transport::Error) -> Error {
        let message =
            format!("cannot connect to {}: {}; {}", self.endpoint.address, deepest_cause(&error), self.hint());
        Error::new(ErrorKind::Unavailable, message).because(error)
    }

    const fn hint(&self) -> &'static str {
        match &self.endpoint.tls {
            Some(files) if files.cert.is_some() => {
                "is holdfastd running there with TLS, and do the TLS files belong to it?"
            }
            Some(_) => "is holdfastd running there with TLS, and does it ask for a certificate of ours?",
            None => "is holdfastd running there, and does it speak without TLS?",
        }
    }
}

/// Runs a connection's tasks on one runtime, whoever makes it.
struct On(Handle);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for On {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

fn transport(endpoint: &Endpoint, purpose: Purpose) -> Result<Transport> {
    let address = &endpoint.address;
    let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
    let (stream_window, connection_window) = purpose.windows();
    let invalid = |error: tonic::transport::Error| {
        let message = format!("{address} cannot be connected to as configured: {}", deepest_cause(&error));
        Error::new(ErrorKind::Invalid, message).because(error)
    };
    let transport = Transport::from_shared(format!("{scheme}://{address}"))
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("server address {address}: {error}")))?
        .connect_timeout(endpoint.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(KEEPALIVE_INTERVAL))
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(stream_window)
        .initial_connection_window_size(connection_window)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX);
    match &endpoint.tls {
        Some(files) => transport.tls_config(files.load(address)?).map_err(invalid),
        None => Ok(transport),
    }
}

fn deepest_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Sets the limits of messages on a generated client.
macro_rules! limited {
    ($client:expr) => {
        $client
            .max_decoding_message_size($crate::channel::MESSAGE_MAX)
            .max_encoding_message_size($crate::channel::MESSAGE_MAX)
    };
}
pub(crate) use limited;

/// Longest message either way.
pub(crate) const MESSAGE_MAX: usize = MESSAGE_BYTES_MAX;
