//! What one gRPC stream moves on this machine, with the windows, frames and messages that Holdfast
//! uses and nothing behind it: the figure that `make bench` holds reads and writes against.
//!
//! `grpc_stream [MIB]` sends so much (1024) up one stream and then down another, over loopback, and
//! prints two lines: `up_mb_s FIGURE` and `down_mb_s FIGURE`.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use holdfast_core::limits::MESSAGE_BYTES_MAX;
use holdfast_proto::v1::{StageRequest, StageResponse};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::client::Grpc as ClientGrpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{ClientStreamingService, Grpc as ServerGrpc, NamedService, ServerStreamingService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

/// One message: as much as the largest read or write.
const PIECE: usize = 1 << 20;
/// As the data connections of `holdfast-client` and `holdfastd` are set.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
const FRAME_BYTES: u32 = 1 << 20;

/// Takes pieces, or gives them.
#[derive(Clone, Debug)]
struct Mover {
    piece: Bytes,
}

impl NamedService for Mover {
    const NAME: &'static str = "holdfast.bench.Mover";
}

impl ClientStreamingService<StageRequest> for Mover {
    type Response = StageResponse;
    type Future = BoxFuture<tonic::Response<StageResponse>, Status>;

    fn call(&mut self, request: tonic::Request<Streaming<StageRequest>>) -> Self::Future {
        Box::pin(async move {
            let mut pieces = request.into_inner();
            while let Some(piece) = pieces.message().await? {
                std::hint::black_box(piece.data.len());
            }
            Ok(tonic::Response::new(StageResponse {}))
        })
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<StageRequest, Status>> + Send>>;

impl ServerStreamingService<StageRequest> for Mover {
    type Response = StageRequest;
    type ResponseStream = Pieces;
    type Future = Ready<Result<tonic::Response<Pieces>, Status>>;

    fn call(&mut self, request: tonic::Request<StageRequest>) -> Self::Future {
        let pieces = pieces(&self.piece, request.into_inner().stage_id);
        ready(Ok(tonic::Response::new(Box::pin(pieces.map(Ok)))))
    }
}

impl Service<Request<Body>> for Mover {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mover = self.clone();
        Box::pin(async move {
            Ok(if request.uri().path().ends_with("/Up") {
                let mut grpc = ServerGrpc::new(ProstCodec::<StageResponse, StageRequest>::default());
                grpc = grpc.max_decoding_message_size(MESSAGE_BYTES_MAX);
                grpc.client_streaming(mover, request).await
            } else {
                let mut grpc = ServerGrpc::new(ProstCodec::<StageRequest, StageRequest>::default());
                grpc.server_streaming(mover, request).await
            })
        })
    }
}

fn pieces(piece: &Bytes, count: u64) -> impl Stream<Item = StageRequest> + Send + 'static {
    let piece = piece.clone();
    tokio_stream::iter((0..count).map(move |stage_id| StageRequest {
        stage_id,
        data: piece.clone(),
        blake3: Bytes::new(),
    }))
}

async fn connect(address: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES);
    Ok(endpoint.connect().await?)
}

async fn client(address: &str, piece: &Bytes, count: u64) -> Result<()> {
    let mut grpc = ClientGrpc::new(connect(address).await?).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mb = (count * PIECE as u64) as f64 / 1e6;

    grpc.ready().await?;
    let start = Instant::now();
    let path = PathAndQuery::from_static("/holdfast.bench.Mover/Up");
    let codec = ProstCodec::<StageRequest, StageResponse>::default();
    grpc.client_streaming(tonic::Request::new(pieces(piece, count)), path, codec).await?;
    println!("up_mb_s {:.0}", mb / start.elapsed().as_secs_f64());

    grpc.ready().await?;
    let start = Instant::now();
    let path = PathAndQuery::from_static("/holdfast.bench.Mover/Down");
    let codec = ProstCodec::<StageRequest, StageRequest>::default();
    let ask = StageRequest { stage_id: count, ..StageRequest::default() };
    let mut answer = grpc.server_streaming(tonic::Request::new(ask), path, codec).await?.into_inner();
    let mut bytes = 0;
    while let Some(piece) = answer.message().await? {
        bytes += piece.data.len() as u64;
    }
    anyhow::ensure!(bytes == count * PIECE as u64, "only {bytes} bytes came");
    println!("down_mb_s {:.0}", mb / start.elapsed().as_secs_f64());
    Ok(())
}

/// Server and client are processes of their own in a mount; here they are two runtimes.
fn main() -> Result<()> {
    let count = match std::env::args().nth(1) {
        Some(mib) => mib.parse().context("usage: grpc_stream [MIB]")?,
        None => 1024,
    };
    let piece = Bytes::from((0..PIECE).map(|at| u8::try_from(at * 31 % 251)).collect::<Result<Vec<u8>, _>>()?);
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (server, local) = (runtime()?, runtime()?);
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?.to_string();
    let mover = Mover { piece: piece.clone() };
    let serving = Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES)
        .add_service(mover)
        .serve_with_incoming(TcpListenerStream::new(listener));
    let serving = server.spawn(serving);
    local.block_on(client(&address, &piece, count))?;
    serving.abort();
    Ok(())
}
