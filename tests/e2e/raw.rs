//! A client without manners: speaks the wire directly, so that it can send what ours never would.

use std::fs;
use std::time::Duration;

use holdfast_proto::metadata::{AUTHORIZATION_KEY, SESSION_KEY, bearer_value};
use holdfast_proto::v1::client_message::Message as FromClient;
use holdfast_proto::v1::server_message::Message as FromServer;
use holdfast_proto::v1::session_client::SessionClient;
use holdfast_proto::v1::volumes_client::VolumesClient;
use holdfast_proto::v1::{
    ClientMessage, GetVolumeRequest, Hello, Op, OpBatch, OpOutcome, ServerMessage, VolumeRef, volume_ref,
};
use holdfast_proto::version::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use holdfast_tests::cluster::Cluster;
use holdfast_tests::wait;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Binary, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(20);

/// A connection, and the runtime that drives it.
pub(crate) struct Raw {
    pub(crate) runtime: Runtime,
    pub(crate) channel: Channel,
    token: String,
    session: [u8; 16],
}

/// An open control stream.
pub(crate) struct Control {
    pub(crate) send: Sender<ClientMessage>,
    pub(crate) receive: Streaming<ServerMessage>,
}

impl Raw {
    pub(crate) fn connect(cluster: &Cluster) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = format!("http://{}", cluster.address());
        let channel = runtime.block_on(Channel::from_shared(address).unwrap().timeout(LIMIT).connect()).unwrap();
        let token = fs::read_to_string(cluster.token_file()).unwrap();
        let mut session = [0; 16];
        getrandom::fill(&mut session).unwrap();
        Self { runtime, channel, token, session }
    }

    /// A request with token and session.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(AUTHORIZATION_KEY, bearer_value(&self.token).unwrap());
        let session: MetadataValue<Binary> = MetadataValue::from_bytes(&self.session);
        metadata.insert_bin(SESSION_KEY, session);
        request
    }

    pub(crate) fn volume_id(&self, name: &str) -> String {
        let by = Some(volume_ref::By::Name(name.to_owned()));
        let request = self.request(GetVolumeRequest { volume: Some(VolumeRef { by }) });
        let answer = self.runtime.block_on(VolumesClient::new(self.channel.clone()).get_volume(request)).unwrap();
        answer.into_inner().volume.unwrap().id
    }

    pub(crate) fn hello(&self, volume: &str) -> Hello {
        Hello {
            protocol: PROTOCOL_NEWEST,
            protocol_oldest: PROTOCOL_OLDEST,
            volume_id: self.volume_id(volume),
            session_id: self.session.to_vec().into(),
            host: "raw".into(),
            pid: 1,
            program: "tests".into(),
            next_seq: 1,
            ..Hello::default()
        }
    }

    /// Opens the control stream with this as its first message, and waits for the first answer.
    pub(crate) fn control(&self, first: ClientMessage) -> Result<(Control, FromServer), Status> {
        self.runtime.block_on(async {
            let (send, messages) = channel(16);
            send.send(first).await.unwrap();
            let call = self.request(ReceiverStream::new(messages));
            let receive = SessionClient::new(self.channel.clone()).control(call).await?.into_inner();
            let mut control = Control { send, receive };
            let answer = control.next().await?;
            Ok((control, answer))
        })
    }

    /// Sends operations and waits for the outcome of the first, or the error that ends the stream.
    pub(crate) fn operate(&self, control: &mut Control, first_seq: u64, ops: Vec<Op>) -> Result<OpOutcome, Status> {
        self.runtime.block_on(async {
            let batch = OpBatch { first_seq, ops, received_seq: first_seq - 1 };
            control.send.send(message(FromClient::Ops(batch))).await.unwrap();
            loop {
                if let FromServer::Applied(applied) = control.next().await? {
                    return Ok(applied.outcomes.into_iter().find(|outcome| outcome.seq == first_seq).unwrap());
                }
            }
        })
    }
}

impl Control {
    async fn next(&mut self) -> Result<FromServer, Status> {
        let message = tokio::time::timeout(wait::SOON, self.receive.message()).await;
        let message = message.map_err(|_| Status::deadline_exceeded("no answer"))??;
        message.and_then(|message| message.message).ok_or_else(|| Status::aborted("the stream ended"))
    }
}

pub(crate) fn message(message: FromClient) -> ClientMessage {
    ClientMessage { message: Some(message) }
}
