//! Certificates on both sides.

use std::path::Path;

use holdfast_proto::v1;
use holdfast_server::config::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::rig::{config, start_plain};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn leaf(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

async fn asks(port: u16, authority: &Authority, identity: Option<(String, String)>) -> bool {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem)).domain_name("localhost");
    if let Some((cert, key)) = identity {
        tls = tls.identity(Identity::from_pem(cert, key));
    }
    let endpoint = Channel::from_shared(format!("https://127.0.0.1:{port}")).unwrap().tls_config(tls).unwrap();
    let Ok(channel) = endpoint.connect().await else { return false };
    let mut volumes = v1::volumes_client::VolumesClient::new(channel);
    volumes.get_server(v1::GetServerRequest {}).await.is_ok_and(|info| info.into_inner().tls)
}

fn files(dir: &Path, authority: &Authority) -> TlsFiles {
    let (cert, key) = authority.leaf("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    TlsFiles {
        ca: write("ca.pem", &authority.pem),
        cert: write("server.pem", &cert),
        key: write("server-key.pem", &key),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_of_the_authority_get_in() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let mut config = config(&dir.path().join("data"));
    config.listen = "0.0.0.0:0".parse().unwrap();
    config.tls = Some(files(dir.path(), &ours));
    let server = start_plain(config).await.unwrap();
    let port = server.address().port();
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    assert!(asks(port, &ours, Some(ours.leaf("host-a", client.clone()))).await);
    assert!(!asks(port, &ours, None).await, "no certificate");
    assert!(!asks(port, &ours, Some(theirs.leaf("host-a", client))).await, "a stranger's certificate");
    let plain = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await;
    if let Ok(channel) = plain {
        assert!(v1::volumes_client::VolumesClient::new(channel).get_server(v1::GetServerRequest {}).await.is_err());
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_certificates_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir.path().join("data"));
    let mut files = files(dir.path(), &Authority::new());
    std::fs::write(&files.cert, "hello").unwrap();
    config.tls = Some(files.clone());
    let error = start_plain(config.clone()).await.unwrap_err();
    assert!(error.message().contains("server.pem"), "{error}");
    files.cert = dir.path().join("absent.pem");
    config.tls = Some(files);
    let error = start_plain(config).await.unwrap_err();
    assert!(error.message().contains("absent.pem"), "{error}");
}
