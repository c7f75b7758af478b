//! Bad input on the wire itself: a server must not trust its clients.

use std::time::Duration;

use holdfast_proto::v1::client_message::Message as FromClient;
use holdfast_proto::v1::data_client::DataClient;
use holdfast_proto::v1::namespace_client::NamespaceClient;
use holdfast_proto::v1::server_message::Message as FromServer;
use holdfast_proto::v1::{
    Create, FileKind, GetAttrRequest, Heartbeat, Hello, LookupRequest, Op, PosixError, ReadFilesRequest,
    ReadRangesRequest, ReadRequest, Rename, StageRequest, Write, op,
};
use holdfast_tests::cluster::Cluster;
use holdfast_tests::wait::Watchdog;
use tonic::Status;

use crate::raw::{Control, Raw, message};

fn cluster(name: &str) -> (Watchdog, Cluster, Raw) {
    let watchdog = Watchdog::start(name, Duration::from_secs(120));
    let cluster = Cluster::machine();
    cluster.volume("v");
    let raw = Raw::connect(&cluster);
    (watchdog, cluster, raw)
}

fn open(raw: &Raw, hello: Hello) -> Result<Control, Status> {
    let (control, answer) = raw.control(message(FromClient::Hello(hello)))?;
    match answer {
        FromServer::Welcome(_) => Ok(control),
        FromServer::Farewell(farewell) => Err(Status::aborted(farewell.reason)),
        other => panic!("the first answer is {other:?}"),
    }
}

fn create(name: &[u8]) -> Op {
    let create = Create {
        parent: 1,
        name: name.to_vec().into(),
        kind: FileKind::Regular.into(),
        mode: 0o644,
        ..Create::default()
    };
    Op { op: Some(op::Op::Create(create)), ..Op::default() }
}

const BAD_NAMES: [&[u8]; 6] = [b"", b".", b"..", b"a/b", b"a\0b", &[b'n'; 256]];

#[test]
fn bad_names_are_refused() {
    let (_watchdog, mut cluster, raw) = cluster("names on the wire");
    for name in BAD_NAMES {
        // The answer is an errno, or the end of a session that broke the rules; never a file.
        let mut control =
            open(&raw, raw.hello("v")).or_else(|_| open(&Raw::connect(&cluster), raw.hello("v"))).unwrap();
        let fresh = Raw::connect(&cluster);
        if let Ok(outcome) = raw.operate(&mut control, 1, vec![create(name)]) {
            assert_ne!(outcome.error, i32::from(PosixError::Unspecified), "{name:?} was made");
        }
        drop(control);
        let mut control = open(&fresh, fresh.hello("v")).unwrap();
        let rename = Rename { parent: 1, name: name.to_vec().into(), new_parent: 1, new_name: "ok".into(), mode: 0 };
        let rename = Op { op: Some(op::Op::Rename(rename)), ..Op::default() };
        if let Ok(outcome) = fresh.operate(&mut control, 1, vec![rename]) {
            assert_ne!(outcome.error, i32::from(PosixError::Unspecified), "{name:?} was renamed");
        }
        break_off(&fresh, control);
    }
    let last = Raw::connect(&cluster);
    let _control = open(&last, last.hello("v")).unwrap();
    let lookup = |name: &[u8]| {
        let request = last.request(LookupRequest { parent: 1, name: name.to_vec().into() });
        last.runtime.block_on(NamespaceClient::new(last.channel.clone()).lookup(request))
    };
    for name in [&b"a/b"[..], b"a\0b", &[b'n'; 256]] {
        let status = lookup(name).unwrap_err();
        assert!(!status.message().is_empty(), "{name:?}: {status:?}");
    }
    assert_eq!(cluster.show("v").inodes, 1, "nothing was made");
    assert!(cluster.server().ended().is_none() && !cluster.server_log().contains("panicked"));
}

fn break_off(raw: &Raw, control: Control) {
    let _ = raw.runtime.block_on(control.send.send(message(FromClient::Goodbye(holdfast_proto::v1::Goodbye {}))));
}

#[test]
fn another_version_of_the_protocol_is_refused() {
    let (_watchdog, _cluster, raw) = cluster("version");
    for (oldest, newest) in [(999, 999), (0, 0), (5, 2)] {
        let hello = Hello { protocol: newest, protocol_oldest: oldest, ..raw.hello("v") };
        let status = open(&raw, hello).err().unwrap();
        assert!(status.message().contains("protocol"), "{oldest} to {newest}: {status:?}");
    }
    drop(open(&raw, Hello { protocol: 999, protocol_oldest: 1, ..raw.hello("v") }).unwrap());
}

#[test]
fn a_stream_that_does_not_begin_with_hello_is_refused() {
    let (_watchdog, cluster, raw) = cluster("first message");
    let first = message(FromClient::Heartbeat(Heartbeat { id: 1 }));
    assert!(raw.control(first).is_err());
    for hello in [
        Hello { volume_id: "0".repeat(32), ..raw.hello("v") },
        Hello { volume_id: "../v".into(), ..raw.hello("v") },
        Hello { session_id: vec![1; 5].into(), ..raw.hello("v") },
    ] {
        let status = open(&raw, hello).err().unwrap();
        assert!(!status.message().is_empty(), "{status:?}");
    }
    assert!(!cluster.server_log().contains("panicked"));
}

#[test]
fn calls_without_a_session_are_refused() {
    let (_watchdog, _cluster, raw) = cluster("no session");
    let request = raw.request(GetAttrRequest { ino: 1 });
    let status = raw.runtime.block_on(NamespaceClient::new(raw.channel.clone()).get_attr(request)).unwrap_err();
    assert!(status.message().contains("session"), "{status:?}");
    let bare = tonic::Request::new(GetAttrRequest { ino: 1 });
    let status = raw.runtime.block_on(NamespaceClient::new(raw.channel.clone()).get_attr(bare)).unwrap_err();
    assert!(status.message().contains("token"), "{status:?}");
}

#[test]
fn messages_past_the_limits_are_refused() {
    let (_watchdog, mut cluster, raw) = cluster("sizes");
    let mut control = open(&raw, raw.hello("v")).unwrap();
    let mut data = DataClient::new(raw.channel.clone());
    for len in [0, (1 << 20) + 1, 8 << 20] {
        let stage = StageRequest { stage_id: 1, data: vec![1; len].into(), blake3: vec![0; 32].into() };
        let request = raw.request(stage);
        assert!(raw.runtime.block_on(data.stage(request)).is_err(), "{len} bytes were staged");
    }
    let damaged = StageRequest { stage_id: 2, data: vec![1; 100].into(), blake3: vec![0; 32].into() };
    assert!(raw.runtime.block_on(data.stage(raw.request(damaged))).is_err(), "a wrong checksum was taken");
    let read = ReadRequest { ino: 1, offset: 0, len: u32::MAX };
    assert!(raw.runtime.block_on(data.read(raw.request(read))).is_err());
    for (inos, len) in [(vec![2; 257], 1), (vec![2], (1 << 20) + 1), (vec![0], 1)] {
        let files = ReadFilesRequest { inos, len };
        assert!(raw.runtime.block_on(data.read_files(raw.request(files.clone()))).is_err(), "{files:?}");
    }
    let range = |len| ReadRequest { ino: 2, offset: 0, len };
    for ranges in [vec![range(1); 65], vec![range(64 << 10); 17], vec![range((64 << 10) + 1)]] {
        let ranges = ReadRangesRequest { ranges };
        assert!(raw.runtime.block_on(data.read_ranges(raw.request(ranges.clone()))).is_err(), "{ranges:?}");
    }
    let made = raw.operate(&mut control, 1, vec![create(b"f")]).unwrap();
    assert_eq!(made.error, 0);
    let ino = made.attr.unwrap().ino;
    let past = Write { ino, offset: Some(i64::MAX as u64 - 10), data: vec![1; 100].into(), ..Write::default() };
    if let Ok(outcome) = raw.operate(&mut control, 2, vec![Op { op: Some(op::Op::Write(past)), ..Op::default() }]) {
        assert_eq!(outcome.error, i32::from(PosixError::FileTooLarge));
    }
    assert!(cluster.server().ended().is_none() && !cluster.server_log().contains("panicked"));
}
