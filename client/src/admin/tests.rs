#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_core::error::{Error, ErrorKind};
use holdfast_core::id::VolumeId;
use holdfast_core::volume::{MountPolicy, Quota, Usage, VolumeInfo, VolumeSpec};
use holdfast_proto::error::to_status;
use holdfast_proto::v1;
use holdfast_proto::v1::volumes_server::{Volumes, VolumesServer};
use holdfast_proto::version::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use holdfast_proto::volume::VolumeRef;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::Client;
use crate::endpoint::{Endpoint, ServerAddress, TlsFiles};

/// What the server says of itself and its volumes.
#[derive(Clone, Debug, Default)]
struct Told {
    server: v1::GetServerResponse,
    volumes: Vec<v1::Volume>,
    endless: bool,
}

#[derive(Clone, Debug, Default)]
struct Fake(Arc<Mutex<Told>>);

fn volume(name: &str) -> v1::Volume {
    let spec = VolumeSpec {
        name: name.parse().unwrap(),
        quota: Quota::default(),
        labels: std::collections::BTreeMap::new(),
        policy: MountPolicy::default(),
    };
    let info = VolumeInfo {
        id: VolumeId([1; 16]),
        spec,
        created: holdfast_core::time::Timestamp::default(),
        usage: Usage::default(),
        sessions: 0,
    };
    v1::Volume::from(&info)
}

#[tonic::async_trait]
impl Volumes for Fake {
    async fn create_volume(
        &self,
        request: Request<v1::CreateVolumeRequest>,
    ) -> Result<Response<v1::CreateVolumeResponse>, Status> {
        let name = request.into_inner().spec.unwrap().name;
        Ok(Response::new(v1::CreateVolumeResponse { volume: Some(volume(&name)), created: true }))
    }

    async fn get_volume(&self, _: Request<v1::GetVolumeRequest>) -> Result<Response<v1::GetVolumeResponse>, Status> {
        match self.0.lock().volumes.first() {
            Some(volume) => Ok(Response::new(v1::GetVolumeResponse { volume: Some(volume.clone()) })),
            None => Err(to_status(&Error::new(ErrorKind::NotFound, "no volume is called that"))),
        }
    }

    /// One volume a page.
    async fn list_volumes(
        &self,
        request: Request<v1::ListVolumesRequest>,
    ) -> Result<Response<v1::ListVolumesResponse>, Status> {
        let told = self.0.lock();
        let page: usize = request.into_inner().page_token.parse().unwrap_or(0);
        let more = told.endless || page + 1 < told.volumes.len();
        Ok(Response::new(v1::ListVolumesResponse {
            volumes: told.volumes.get(page).cloned().into_iter().collect(),
            next_page_token: if more { (page + 1).to_string() } else { String::new() },
        }))
    }

    async fn delete_volume(
        &self,
        request: Request<v1::DeleteVolumeRequest>,
    ) -> Result<Response<v1::DeleteVolumeResponse>, Status> {
        if request.into_inner().force {
            Ok(Response::new(v1::DeleteVolumeResponse {}))
        } else {
            Err(to_status(&Error::new(ErrorKind::InUse, "it is mounted")))
        }
    }

    async fn expand_volume(
        &self,
        _: Request<v1::ExpandVolumeRequest>,
    ) -> Result<Response<v1::ExpandVolumeResponse>, Status> {
        Ok(Response::new(v1::ExpandVolumeResponse { volume: None }))
    }

    async fn get_server(&self, _: Request<v1::GetServerRequest>) -> Result<Response<v1::GetServerResponse>, Status> {
        Ok(Response::new(self.0.lock().server.clone()))
    }
}

async fn serve(fake: Fake, tls: Option<ServerTlsConfig>) -> ServerAddress {
    fake.0.lock().server.protocol = PROTOCOL_NEWEST;
    fake.0.lock().server.protocol_oldest = PROTOCOL_OLDEST;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).unwrap();
    }
    tokio::spawn(server.add_service(VolumesServer::new(fake)).serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

fn named(name: &str) -> VolumeRef {
    VolumeRef::Name(name.parse().unwrap())
}

#[tokio::test]
async fn volumes_are_made_listed_and_deleted() {
    let fake = Fake::default();
    let endpoint = Endpoint::plain(serve(fake.clone(), None).await);
    let client = Client::connect(&endpoint).await.unwrap();
    assert_eq!(client.get_volume(&named("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
    fake.0.lock().volumes = ["a", "b", "c"].map(volume).to_vec();
    let names: Vec<String> =
        client.list_volumes().await.unwrap().iter().map(|info| info.spec.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let spec = client.get_volume(&named("a")).await.unwrap().spec;
    let (made, created) = client.create_volume(&spec).await.unwrap();
    assert!(created && made.spec == spec);
    let error = client.delete_volume(&named("a"), false).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::InUse, "it is mounted"));
    client.delete_volume(&named("a"), true).await.unwrap();
}

#[tokio::test]
async fn nonsense_is_not_believed() {
    let fake = Fake::default();
    let endpoint = Endpoint::plain(serve(fake.clone(), None).await);
    let client = Client::connect(&endpoint).await.unwrap();
    let nonsense = |error: Error| assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    nonsense(client.expand_volume(&named("a"), Quota::default()).await.unwrap_err());
    fake.0.lock().volumes = vec![v1::Volume { id: "../../etc".to_owned(), ..volume("a") }];
    nonsense(client.get_volume(&named("a")).await.unwrap_err());
    fake.0.lock().volumes = Vec::new();
    fake.0.lock().endless = true;
    nonsense(client.list_volumes().await.unwrap_err());
    let too_small = Quota { bytes: Some(1), inodes: None };
    assert_eq!(client.expand_volume(&named("a"), too_small).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn another_protocol_says_whom_to_upgrade() {
    let fake = Fake::default();
    let endpoint = Endpoint::plain(serve(fake.clone(), None).await);
    fake.0.lock().server.protocol = 9;
    fake.0.lock().server.protocol_oldest = 8;
    let error = Client::connect(&endpoint).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
    assert!(error.message().ends_with("upgrade the client"), "{error}");
}

#[tokio::test]
async fn something_else_on_the_port_is_an_error_soon() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n").await;
        }
    });
    let error = Client::connect(&Endpoint::plain(address)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn somebody_who_only_listens_is_an_error_soon() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut endpoint = Endpoint::plain(listener.local_addr().unwrap().to_string().parse().unwrap());
    endpoint.connect_timeout = std::time::Duration::from_millis(100);
    let error = Client::connect(&endpoint).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

/// A private authority, and what it signed.
struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    /// Certificate and key, in PEM form.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path: &Path = self.dir.path();
        std::fs::write(path.join(name), text).unwrap();
        path.join(name)
    }

    fn files(&self) -> TlsFiles {
        let (cert, key) = self.sign("client");
        TlsFiles {
            ca: self.dir.path().join("ca.pem"),
            cert: Some(self.file("cert.pem", &cert)),
            key: Some(self.file("key.pem", &key)),
        }
    }
}

#[tokio::test]
async fn both_sides_prove_who_they_are() {
    let (ours, strange) = (Authority::new(), Authority::new());
    let (cert, key) = ours.sign("127.0.0.1");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(cert, key))
        .client_ca_root(Certificate::from_pem(ours.issuer.pem()));
    let address = serve(Fake::default(), Some(tls)).await;
    let connect = |tls: Option<TlsFiles>| {
        let endpoint = Endpoint { tls, ..Endpoint::plain(address.clone()) };
        async move { Client::connect(&endpoint).await }
    };
    connect(Some(ours.files())).await.unwrap();
    let strange_ca = TlsFiles { ca: strange.files().ca, ..ours.files() };
    let strange_client = TlsFiles { ca: ours.files().ca, ..strange.files() };
    let no_client = TlsFiles { cert: None, key: None, ..ours.files() };
    for tls in [Some(strange_ca), Some(strange_client), Some(no_client), None] {
        let error = connect(tls.clone()).await.expect_err(&format!("{tls:?}"));
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.message().contains(&address.to_string()) && error.message().ends_with('?'), "{error}");
    }
}
