//! Checks and scrubs over gRPC: what they tell, what they mend, and who ends them.

use holdfast_core::error::ErrorKind;
use holdfast_core::id::InodeId;
use holdfast_core::integrity::{Finding, FindingKind, Mending};
use holdfast_proto::error::from_status;
use holdfast_proto::v1::maintenance_client::MaintenanceClient;
use holdfast_proto::v1::{self, check_event, scrub_event, volume_ref::By};
use holdfast_server::meta::engine::rocksdb::{Presence, RocksEngine};
use holdfast_server::meta::engine::{Engine as _, Reader as _};
use holdfast_server::meta::keys;
use holdfast_server::meta::record::inode::Inode;
use holdfast_server::meta::record::{Record as _, decode};
use holdfast_server::meta::view::Changes;
use holdfast_server::store::SharedMemory;
use tonic::transport::Channel;

use crate::rig::{Rig, config, create, start};

fn named(name: &str) -> Option<v1::VolumeRef> {
    Some(v1::VolumeRef { by: Some(By::Name(name.into())) })
}

async fn check(channel: &Channel, repair: bool) -> (Vec<Finding>, v1::CheckReport) {
    let mut client = MaintenanceClient::new(channel.clone());
    let mut told = client.check(v1::CheckRequest { volume: named("v"), repair }).await.unwrap().into_inner();
    let mut findings = Vec::new();
    loop {
        match told.message().await.unwrap().unwrap().event.unwrap() {
            check_event::Event::Progress(_) => {}
            check_event::Event::Finding(finding) => findings.push(finding.try_into().unwrap()),
            check_event::Event::Report(report) => {
                assert!(told.message().await.unwrap().is_none(), "the report is the last");
                return (findings, report);
            }
        }
    }
}

fn scrub_request(rate: u64) -> v1::ScrubRequest {
    v1::ScrubRequest { volume: named("v"), bytes_per_second: rate, restart: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_closed_is_opened_and_a_request_that_is_wrong_is_refused() {
    let rig = Rig::new().await;
    rig.volume("v").await;
    let (findings, report) = check(&rig.channel, false).await;
    assert_eq!((findings.len(), report.inodes, report.names, report.left), (0, 1, 0, 0));
    let mut client = MaintenanceClient::new(rig.channel.clone());
    let status = client.scrub_status(v1::ScrubStatusRequest { volume: named("v") }).await.unwrap().into_inner();
    assert_eq!(status, v1::ScrubStatusResponse::default());
    let mut told = client.scrub(scrub_request(1 << 30)).await.unwrap().into_inner();
    let done = loop {
        match told.message().await.unwrap().unwrap().event.unwrap() {
            scrub_event::Event::Done(run) => break run,
            scrub_event::Event::Progress(_) => {}
            bad => panic!("nothing is bad: {bad:?}"),
        }
    };
    assert!(done.ended.is_some());
    let status = client.scrub_status(v1::ScrubStatusRequest { volume: named("v") }).await.unwrap().into_inner();
    assert_eq!((status.current, status.last), (None, Some(done)));

    let kind = |status: tonic::Status| from_status(status).kind();
    let none = v1::CheckRequest { volume: named("w"), repair: false };
    assert_eq!(kind(client.check(none).await.unwrap_err()), ErrorKind::NotFound);
    assert_eq!(kind(client.scrub(scrub_request(1)).await.unwrap_err()), ErrorKind::Invalid);
    let none = v1::ScrubStatusRequest { volume: None };
    assert_eq!(kind(client.scrub_status(none).await.unwrap_err()), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_mended_and_stays_mended() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut session = rig.session(&volume, 1).await;
    session.act(create("f")).await.unwrap();
    drop(session);
    let (dir, clock) = (rig.dir.clone(), rig.clock.clone());
    rig.server.stop().await.unwrap();
    {
        let store = dir.path().join("volumes").join(&volume).join("store/meta");
        let memory = SharedMemory::new(8 << 20, 8 << 20);
        let engine = RocksEngine::open(&store, Presence::Existing, &memory, 16).unwrap();
        let key = keys::inode(InodeId(2));
        let inode: Inode = decode(&key, &engine.get(&key).unwrap().unwrap()).unwrap();
        let mut changes = Changes::default();
        changes.put(key, Inode { nlink: 7, ..inode }.encode());
        engine.write(&changes).unwrap();
    }
    let server = start(config(dir.path()), std::sync::Arc::new(clock.clone())).await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", server.address())).unwrap().connect().await.unwrap();
    // The session that was there may still come back.
    let asked = tokio::spawn({
        let channel = channel.clone();
        async move { check(&channel, false).await }
    });
    while !asked.is_finished() {
        clock.advance(std::time::Duration::from_millis(500));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (findings, report) = asked.await.unwrap();
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!((finding.kind, finding.mending), (FindingKind::LinkCount, Mending::Safe));
    assert_eq!((finding.path.as_deref(), report.left, report.mended), (Some(&b"/f"[..]), 1, 0));
    let (findings, report) = check(&channel, true).await;
    let mended: Vec<Mending> = findings.iter().map(|finding| finding.mending).collect();
    assert_eq!((&mended[..], report.left, report.mended), (&[Mending::Done][..], 0, 1));
    assert_eq!(check(&channel, false).await.1.left, 0);
    // As after a crash: what was mended is on disk.
    server.abandon().await;
    let server = start(config(dir.path()), std::sync::Arc::new(clock)).await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", server.address())).unwrap().connect().await.unwrap();
    assert_eq!(check(&channel, false).await.1.left, 0);
    server.stop().await.unwrap();
}
