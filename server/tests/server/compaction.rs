//! Compaction by the server itself: space comes back, damage stays where it is, figures are told.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::ErrorKind;
use holdfast_proto::error::from_status;
use holdfast_proto::v1::client_message::Message as Say;
use holdfast_proto::v1::inspect_client::InspectClient;
use holdfast_proto::v1::{self, volume_ref::By};
use holdfast_server::clock::ManualClock;
use holdfast_server::config::Config;
use tonic::transport::Channel;

use crate::rig::{Peer, Rig, config, create, start_plain, unlink, write_staged};

const FILES: u64 = 20;
const MIB: u64 = 1 << 20;
/// First inode number of a file.
const FIRST: u64 = 2;

async fn rig(dir: Arc<tempfile::TempDir>, interval: Option<Duration>) -> Rig {
    let mut config: Config = config(dir.path());
    config.compact.interval = interval;
    config.compact.bytes_per_second = 1 << 30;
    let server = start_plain(config).await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", server.address())).unwrap().connect().await.unwrap();
    Rig { dir, clock: ManualClock::default(), server, channel }
}

fn content(number: u64) -> Vec<u8> {
    (0..MIB).map(|at| u8::try_from((at * 7 + at / 251 + number * 31) % 256).unwrap()).collect()
}

/// A volume with 20 MiB of which every fifth is in use, closed; its id.
async fn scattered(dir: Arc<tempfile::TempDir>) -> String {
    let rig = rig(dir, None).await;
    let volume = rig.volume("v").await;
    let mut peer = rig.session(&volume, 1).await;
    for number in 0..FILES {
        peer.act(create(&format!("f{number}"))).await.unwrap();
        peer.stage(number + 1, &content(number)).await.unwrap();
        let ino = peer.lookup(&format!("f{number}")).await.unwrap().ino;
        peer.act(write_staged(ino, 0, number + 1, u32::try_from(MIB).unwrap())).await.unwrap();
    }
    for number in (0..FILES).filter(|number| number % 5 != 0) {
        peer.act(unlink(&format!("f{number}"))).await.unwrap();
    }
    peer.sync().await;
    peer.say(Say::Goodbye(v1::Goodbye {})).await;
    peer.hear_end().await;
    rig.server.stop().await.unwrap();
    volume
}

async fn segments(channel: &Channel, name: &str) -> Result<v1::GetSegmentsResponse, tonic::Status> {
    let volume = Some(v1::VolumeRef { by: Some(By::Name(name.into())) });
    let request = v1::GetSegmentsRequest { volume };
    InspectClient::new(channel.clone()).get_segments(request).await.map(tonic::Response::into_inner)
}

/// Waits until compaction has come so far.
async fn until(rig: &Rig, peer: &mut Peer, far: impl Fn(&v1::Compaction) -> bool) -> v1::GetSegmentsResponse {
    for _ in 0..400 {
        let told = segments(&rig.channel, "v").await.unwrap();
        if told.compaction.as_ref().is_some_and(&far) {
            return told;
        }
        peer.heartbeat().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("compaction does nothing: {:?}", segments(&rig.channel, "v").await);
}

fn segment_files(dir: &Path, volume: &str) -> Vec<PathBuf> {
    let dir = dir.join("volumes").join(volume).join("store/segments");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn kept_are_whole(peer: &Peer, kept: impl Iterator<Item = u64>) {
    for number in kept {
        let attr = peer.lookup(&format!("f{number}")).await.unwrap();
        assert!(attr.ino >= FIRST && peer.content(attr.ino).await == content(number), "f{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_mostly_dead_is_freed() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let volume = scattered(Arc::clone(&dir)).await;
    let before = segment_files(dir.path(), &volume);
    assert_eq!(before.len(), 1);
    let rig = rig(Arc::clone(&dir), Some(Duration::from_millis(100))).await;
    let closed = segments(&rig.channel, "v").await.unwrap();
    assert_eq!((closed.sums, closed.compaction), (None, Some(v1::Compaction::default())));
    assert_eq!(from_status(segments(&rig.channel, "w").await.unwrap_err()).kind(), ErrorKind::NotFound);
    let mut peer = rig.session(&volume, 2).await;
    let times = peer.lookup("f5").await.unwrap();
    let told = until(&rig, &mut peer, |done| done.freed_segments > 0 && !done.running).await;
    let (sums, done) = (told.sums.unwrap(), told.compaction.unwrap());
    assert_eq!((done.freed_segments, done.moved_frames, done.moved_bytes), (1, 64, 4 * MIB));
    assert!(done.freed_bytes > 20 * MIB && done.failure.is_empty(), "{done:?}");
    assert_eq!((sums.segments, sums.live_bytes, sums.bytes), (1, 4 * MIB, 4 * MIB + 64 * 64));
    assert_eq!(sums.dead_bytes, 64 * 64);
    assert_eq!(peer.lookup("f5").await.unwrap(), times, "no time and no version has changed");
    kept_are_whole(&peer, (0..FILES).step_by(5)).await;
    let after = segment_files(dir.path(), &volume);
    assert!(after.len() == 1 && after != before, "{after:?}");
    // As after a crash.
    rig.server.abandon().await;
    let rig = self::rig(dir, None).await;
    let (peer, _) = rig.hello(v1::Hello { resume: true, ..crate::rig::hello(&volume, 2) }).await.unwrap();
    kept_are_whole(&peer, (0..FILES).step_by(5)).await;
    rig.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_with_a_damaged_frame_is_left_alone_and_told() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let volume = scattered(Arc::clone(&dir)).await;
    let before = segment_files(dir.path(), &volume);
    let file = std::fs::OpenOptions::new().write(true).open(&before[0]).unwrap();
    // A byte of the first file, behind the first header.
    file.write_all_at(&[content(0)[1000] ^ 1], 64 + 1000).unwrap();
    let rig = rig(Arc::clone(&dir), Some(Duration::from_millis(100))).await;
    let mut peer = rig.session(&volume, 2).await;
    let told = until(&rig, &mut peer, |done| !done.failure.is_empty() && !done.running).await;
    let (sums, done) = (told.sums.unwrap(), told.compaction.unwrap());
    assert!(done.failure.contains("checksum") && done.failed.is_some(), "{done:?}");
    assert_eq!((done.freed_segments, sums.live_bytes), (0, 4 * MIB));
    assert!(segment_files(dir.path(), &volume).contains(&before[0]));
    // It is left alone from then on.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        peer.heartbeat().await;
    }
    let later = segments(&rig.channel, "v").await.unwrap().compaction.unwrap();
    assert_eq!((later.moved_bytes, later.failed), (done.moved_bytes, done.failed));
    kept_are_whole(&peer, (5..FILES).step_by(5)).await;
    rig.server.stop().await.unwrap();
}
