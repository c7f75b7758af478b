//! The seam to the network: how a connection to a server is made where it is no plain TCP, and how tonic is
//! given one.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint as Transport, Error};
use tower::service_fn;

use crate::endpoint::ServerAddress;

/// A stream of bytes both ways.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<W: AsyncRead + AsyncWrite + Unpin + Send> Wire for W {}

/// Makes connections: for simulations, and for networks that are reached in another way than by TCP.
pub trait Network: fmt::Debug + Send + Sync {
    /// Connects to a server.
    ///
    /// # Errors
    /// As connect(2) fails.
    fn connect(&self, to: &ServerAddress) -> BoxFuture<'static, io::Result<Box<dyn Wire>>>;
}

/// A connection over this network, made now.
///
/// # Errors
/// When it cannot be made within the transport's time.
pub(crate) async fn connect(
    transport: &Transport,
    network: &Arc<dyn Network>,
    to: &ServerAddress,
) -> Result<Channel, Error> {
    transport.connect_with_connector(service_fn(dial(network, to))).await
}

/// A connection over this network that is made when it is first used.
pub(crate) fn connect_later(transport: &Transport, network: &Arc<dyn Network>, to: &ServerAddress) -> Channel {
    transport.connect_with_connector_lazy(service_fn(dial(network, to)))
}

fn dial<T>(
    network: &Arc<dyn Network>,
    to: &ServerAddress,
) -> impl Fn(T) -> BoxFuture<'static, io::Result<TokioIo<Box<dyn Wire>>>> + Send + use<T> {
    let (network, to) = (Arc::clone(network), to.clone());
    move |_| {
        let connected = network.connect(&to);
        Box::pin(async move { connected.await.map(TokioIo::new) })
    }
}
