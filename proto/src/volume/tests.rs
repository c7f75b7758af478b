#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::collections::BTreeMap;

use holdfast_core::id::VolumeId;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::{MountPolicy, Quota, Usage, VolumeInfo, VolumeSpec};

use super::{ServerInfo, VolumeRef, required};
use crate::v1;

fn info() -> VolumeInfo {
    VolumeInfo {
        id: VolumeId([9; 16]),
        spec: VolumeSpec {
            name: "data-1".parse().unwrap(),
            quota: Quota { bytes: Some(1 << 30), inodes: None },
            labels: BTreeMap::from([("team".to_owned(), "storage".to_owned())]),
            policy: MountPolicy { allow_suid: true, allow_dev: false },
        },
        created: Timestamp { secs: 1_700_000_000, nanos: 5 },
        usage: Usage { bytes: 77, inodes: 3 },
        sessions: 2,
    }
}

#[test]
fn volumes_and_servers_come_back() {
    assert_eq!(VolumeInfo::try_from(v1::Volume::from(&info())).unwrap(), info());
    let server = ServerInfo {
        version: "0.1.0".to_owned(),
        protocol: 1,
        protocol_oldest: 1,
        started: Timestamp { secs: 5, nanos: 0 },
        disk_bytes_total: 10,
        disk_bytes_free: 5,
        volumes: 2,
        sessions: 3,
        tls: true,
    };
    assert_eq!(ServerInfo::try_from(v1::GetServerResponse::from(&server)).unwrap(), server);
}

#[test]
fn references_come_back() {
    for volume in [VolumeRef::Id(VolumeId([1; 16])), VolumeRef::Name("a.b".parse().unwrap())] {
        assert_eq!(VolumeRef::try_from(v1::VolumeRef::from(&volume)).unwrap(), volume);
    }
    assert!(required(None).unwrap_err().message().contains("names no volume"));
    let by = |by| required(Some(v1::VolumeRef { by: Some(by) }));
    assert!(by(v1::volume_ref::By::Id("ABC".to_owned())).is_err());
    assert!(by(v1::volume_ref::By::Name("../etc".to_owned())).is_err());
}

#[test]
fn specifications_that_cannot_be_are_refused() {
    let refused = |bend: &dyn Fn(&mut v1::VolumeSpec)| {
        let mut wire = v1::VolumeSpec::from(&info().spec);
        bend(&mut wire);
        assert!(VolumeSpec::try_from(wire).is_err());
    };
    for name in ["", "-a", ".a", "a/b", "a b", &"x".repeat(129), "ä"] {
        refused(&|wire| wire.name = name.to_owned());
    }
    refused(&|wire| wire.quota = Some(v1::Quota { bytes: 1, inodes: 0 }));
    refused(&|wire| wire.quota = Some(v1::Quota { bytes: u64::MAX, inodes: 0 }));
    refused(&|wire| {
        wire.labels.insert(String::new(), String::new());
    });
    refused(&|wire| wire.labels = (0..65).map(|number| (number.to_string(), String::new())).collect());
}
