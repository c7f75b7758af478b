//! The port: strangers, garbage, tokens, certificates; the data directory.

use std::sync::Arc;

use holdfast_core::error::ErrorKind;
use holdfast_proto::error::from_status;
use holdfast_proto::metadata::{AUTHORIZATION_KEY, bearer_value};
use holdfast_proto::v1;
use holdfast_server::config::Token;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Request;

use crate::rig::{Rig, config, create, start_plain};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_port_hurts_nobody() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    let noise: Vec<u8> = (0..25_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let half_preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\xff\x04\0\0\0\0\0";
    for bytes in [&noise[..], b"GET / HTTP/1.1\r\n\r\n", half_preface] {
        let mut stream = tokio::net::TcpStream::connect(rig.server.address()).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(100), stream.read_to_end(&mut answer)).await;
    }
    peer.act(create("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_message_is_refused() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    let request = v1::StageRequest { stage_id: 1, data: vec![0; 2 << 20].into(), blake3: vec![0; 32].into() };
    let status = peer.data().stage(peer.request(request)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::OutOfRange, "{status}");
    peer.act(create("a")).await.unwrap();
    let huge = v1::Op { op: Some(crate::rig::append(2, &vec![0; 2 << 20])), ..v1::Op::default() };
    peer.send_batch(v1::OpBatch { first_seq: 2, ops: vec![huge], received_seq: 0 }).await;
    assert_eq!(peer.hear_end().await.kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.token = Some(Token::new("a-secret-of-some-length").unwrap());
    let server = start_plain(config).await.unwrap();
    let endpoint = tonic::transport::Channel::from_shared(format!("http://{}", server.address())).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut volumes = v1::volumes_client::VolumesClient::new(channel.clone());
    for token in [None, Some("a-secret-of-some-lengtH"), Some("a-secret")] {
        let mut request = Request::new(v1::GetServerRequest {});
        if let Some(token) = token {
            request.metadata_mut().insert(AUTHORIZATION_KEY, bearer_value(token).unwrap());
        }
        let error = from_status(volumes.get_server(request).await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    }
    let mut request = Request::new(v1::GetServerRequest {});
    request.metadata_mut().insert(AUTHORIZATION_KEY, bearer_value("a-secret-of-some-length").unwrap());
    volumes.get_server(request).await.unwrap();
    // Health is for probes, which have no token.
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let answer = health.check(tonic_health::pb::HealthCheckRequest { service: String::new() }).await.unwrap();
    assert_eq!(answer.into_inner().status, i32::from(tonic_health::pb::health_check_response::ServingStatus::Serving));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_needs_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.listen = "0.0.0.0:0".parse().unwrap();
    let error = start_plain(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("holdfast tls init"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it changed the directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_server() {
    let rig = Rig::new().await;
    let error = start_plain(config(rig.dir.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.message().contains("pid"), "{error}");
    let taken = tempfile::tempdir().unwrap();
    let mut other = config(taken.path());
    other.listen = rig.server.address();
    assert_eq!(start_plain(other).await.unwrap_err().kind(), ErrorKind::InUse);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_in_the_middle_leaves_the_session() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let peers: Vec<_> = {
        let mut peers = Vec::new();
        for number in 1..=20 {
            peers.push(rig.session(&volume, number).await);
        }
        peers
    };
    let count = Arc::new(peers.len());
    drop(peers);
    let info = rig.volumes().get_server(v1::GetServerRequest {}).await.unwrap().into_inner();
    assert_eq!(info.sessions as usize, *count);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_is_written_where_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir.path().join("data"));
    let port_file = dir.path().join("port");
    config.port_file = Some(port_file.clone());
    let server = start_plain(config).await.unwrap();
    assert_eq!(std::fs::read_to_string(port_file).unwrap().trim(), server.address().to_string());
    server.stop().await.unwrap();
}
