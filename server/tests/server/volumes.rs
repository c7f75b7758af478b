//! Volumes: made, found, listed, expanded, deleted.

use holdfast_core::error::{Error, ErrorKind, PosixError};
use holdfast_proto::error::from_status;
use holdfast_proto::v1;
use holdfast_proto::v1::client_message::Message as Say;
use holdfast_proto::version::PROTOCOL_NEWEST;

use crate::rig::{Rig, append, create};

fn by_name(name: &str) -> Option<v1::VolumeRef> {
    Some(v1::VolumeRef { by: Some(v1::volume_ref::By::Name(name.into())) })
}

fn by_id(id: &str) -> Option<v1::VolumeRef> {
    Some(v1::VolumeRef { by: Some(v1::volume_ref::By::Id(id.into())) })
}

async fn delete(rig: &Rig, volume: Option<v1::VolumeRef>, force: bool) -> Result<(), Error> {
    rig.volumes().delete_volume(v1::DeleteVolumeRequest { volume, force }).await.map(drop).map_err(from_status)
}

async fn get(rig: &Rig, volume: Option<v1::VolumeRef>) -> Result<v1::Volume, Error> {
    let answer = rig.volumes().get_volume(v1::GetVolumeRequest { volume }).await.map_err(from_status)?;
    Ok(answer.into_inner().volume.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_is_idempotent_and_another_spec_is_a_conflict() {
    let rig = Rig::new().await;
    let spec = |bytes| v1::CreateVolumeRequest {
        spec: Some(v1::VolumeSpec {
            name: "data".into(),
            quota: Some(v1::Quota { bytes, inodes: 0 }),
            labels: [("team".to_owned(), "a".to_owned())].into(),
            policy: None,
        }),
    };
    let first = rig.volumes().create_volume(spec(1 << 30)).await.unwrap().into_inner();
    let again = rig.volumes().create_volume(spec(1 << 30)).await.unwrap().into_inner();
    assert!(first.created && !again.created);
    assert_eq!(first.volume, again.volume);
    let other = from_status(rig.volumes().create_volume(spec(2 << 30)).await.unwrap_err());
    assert_eq!(other.kind(), ErrorKind::AlreadyExists);
    for (name, bytes) in [("", 0), ("../x", 0), ("ok", 5)] {
        let spec =
            v1::VolumeSpec { name: name.into(), quota: Some(v1::Quota { bytes, inodes: 0 }), ..Default::default() };
        let error = rig.volumes().create_volume(v1::CreateVolumeRequest { spec: Some(spec) }).await.unwrap_err();
        assert_eq!(from_status(error).kind(), ErrorKind::Invalid, "{name}");
    }
    // All of it is there after a restart.
    let rig = rig.restarted().await;
    let volume = get(&rig, by_name("data")).await.unwrap();
    assert_eq!(Some(volume), first.volume);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_by_pages() {
    let rig = Rig::new().await;
    for name in ["c", "a", "b", "e", "d"] {
        rig.volume(name).await;
    }
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListVolumesRequest { page_size: 2, page_token };
        let page = rig.volumes().list_volumes(request).await.unwrap().into_inner();
        assert!(page.volumes.len() <= 2);
        names.extend(page.volumes.into_iter().map(|volume| volume.spec.unwrap().name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let wrong = v1::ListVolumesRequest { page_size: 0, page_token: "/".into() };
    assert_eq!(from_status(rig.volumes().list_volumes(wrong).await.unwrap_err()).kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_in_use_is_deleted_only_by_force() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    let info = get(&rig, by_name("v")).await.unwrap();
    assert_eq!((info.sessions, info.usage.unwrap().inodes), (1, 1));
    let error = delete(&rig, by_name("v"), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.message().contains("1 sessions"), "{error}");
    delete(&rig, by_name("v"), true).await.unwrap();
    assert_eq!(peer.hear_end().await.kind(), ErrorKind::SessionLost);
    assert_eq!(delete(&rig, by_name("v"), false).await.unwrap_err().kind(), ErrorKind::NotFound);
    delete(&rig, by_id(&volume), false).await.unwrap();
    assert_eq!(get(&rig, by_id(&volume)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(rig.dir.path().join("volumes")).unwrap().count(), 0);
    // The name is free again.
    assert_ne!(rig.volume("v").await, volume);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_their_way_back_keep_a_volume_from_deletion() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let peer = rig.session(&volume, 1).await;
    let rig = rig.killed().await;
    assert_eq!(delete(&rig, by_name("v"), false).await.unwrap_err().kind(), ErrorKind::InUse);
    peer.cut();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_and_can_be_raised_while_in_use() {
    let rig = Rig::new().await;
    let volume = rig.volume_with("v", v1::Quota { bytes: 1 << 20, inodes: 3 }).await;
    let mut peer = rig.session(&volume, 1).await;
    let ino = peer.act(create("a")).await.unwrap().attr.unwrap().ino;
    peer.act(create("b")).await.unwrap();
    let full = peer.act(create("c")).await.unwrap_err();
    assert!(matches!(full, PosixError::QuotaExceeded | PosixError::NoSpace), "{full:?}");
    for _ in 0..16 {
        peer.act(append(ino, &[1; 65_536])).await.unwrap();
    }
    assert!(peer.act(append(ino, &[1; 65_536])).await.is_err());
    let expand =
        |bytes, inodes| v1::ExpandVolumeRequest { volume: by_name("v"), quota: Some(v1::Quota { bytes, inodes }) };
    let lower = from_status(rig.volumes().expand_volume(expand(0, 2)).await.unwrap_err());
    assert_eq!(lower.kind(), ErrorKind::InUse);
    let raised = rig.volumes().expand_volume(expand(2 << 20, 0)).await.unwrap().into_inner().volume.unwrap();
    assert_eq!(raised.spec.unwrap().quota.unwrap(), v1::Quota { bytes: 2 << 20, inodes: 3 });
    peer.act(append(ino, &[1; 65_536])).await.unwrap();
    assert!(peer.act(create("c")).await.is_err());
    let rig = rig.restarted().await;
    let info = get(&rig, by_name("v")).await.unwrap();
    assert_eq!(info.spec.unwrap().quota.unwrap().bytes, 2 << 20);
    assert!(info.usage.unwrap().bytes >= 17 * 65_536);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_volume_is_closed_and_opens_again() {
    let rig = Rig::new().await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    peer.act(create("a")).await.unwrap();
    let epoch = peer.epoch;
    peer.say(Say::Goodbye(v1::Goodbye {})).await;
    peer.hear_end().await;
    // The server counts the time of nobody's presence from its own ticks.
    let record = rig.dir.path().join("volumes").join(&volume).join("volume.json");
    let before = std::fs::read_to_string(&record).unwrap();
    rig.clock.advance(std::time::Duration::from_secs(31));
    for _ in 0..200 {
        if std::fs::read_to_string(&record).unwrap() != before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let peer = rig.session(&volume, 2).await;
    assert!(peer.epoch > epoch, "it was not closed");
    assert_eq!(peer.names().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_of_itself() {
    let rig = Rig::new().await;
    rig.volume("v").await;
    let info = rig.volumes().get_server(v1::GetServerRequest {}).await.unwrap().into_inner();
    assert_eq!((info.volumes, info.sessions, info.protocol, info.tls), (1, 0, PROTOCOL_NEWEST, false));
    assert!(info.disk_bytes_total > info.disk_bytes_free && info.disk_bytes_free > 0);
}
