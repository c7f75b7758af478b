#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use clap::Parser as _;
use holdfast_core::id::VolumeId;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Usage;

use super::*;
use crate::args::Cli;

fn volume(name: &str, bytes: Option<u64>, used: u64) -> VolumeInfo {
    VolumeInfo {
        id: VolumeId([7; 16]),
        spec: VolumeSpec {
            name: name.parse().unwrap(),
            quota: Quota { bytes, inodes: None },
            labels: [("team".to_owned(), "build".to_owned())].into(),
            policy: MountPolicy { allow_suid: true, allow_dev: false },
        },
        created: Timestamp { secs: 0, nanos: 0 },
        usage: Usage { bytes: used, inodes: 12 },
        sessions: 2,
    }
}

#[test]
fn a_list_reads_as_a_table() {
    let list = VolumeList::new(vec![volume("a", Some(10 << 30), (1 << 30) + 1), volume("bb", None, 0)]);
    let expected = "\
NAME    SIZE   USED  USE%  INODES  MOUNTS  CREATED
a     10 GiB  1 GiB   11%      12       2  1970-01-01T00:00:00Z
bb         -    0 B     -      12       2  1970-01-01T00:00:00Z
";
    assert_eq!(list.text(), expected);
    assert!(VolumeList::new(Vec::new()).text().contains("volume create"));
}

#[test]
fn a_volume_reads_as_pairs() {
    let text = VolumeView::from(volume("a", Some(10 << 30), 5 << 30)).text();
    for line in ["name:     a", "used:     5 GiB of 10 GiB (50%)", "allows:   suid", "labels:   team=build"] {
        assert!(text.lines().any(|have| have == line), "{line:?} in\n{text}");
    }
}

#[test]
fn json_keeps_exact_figures() {
    let json = serde_json::to_value(VolumeView::from(volume("a", None, 12_345_678_901))).unwrap();
    assert_eq!(json["used_bytes"], 12_345_678_901_u64);
    assert_eq!(json["size_bytes"], serde_json::Value::Null);
    assert_eq!(json["id"], "07".repeat(16));
}

#[test]
fn what_cannot_be_meant_is_refused_before_a_server_is_asked() {
    for arguments in [
        &["create", "no/slash"][..],
        &["create", ""],
        &["create", "v", "--size", "10XB"],
        &["create", "v", "--size", "99999999EiB"],
        &["create", "v", "--label", "novalue"],
        &["create", "v", "--inodes", "-1"],
        &["expand", "v"],
    ] {
        let parsed = Cli::try_parse_from(["holdfast", "volume"].iter().chain(arguments));
        assert!(parsed.is_err(), "{arguments:?}");
    }
}

#[test]
fn labels_split_at_the_first_sign() {
    assert_eq!(parse_label("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
    assert_eq!(parse_label("a=").unwrap(), ("a".to_owned(), String::new()));
    assert!(parse_label("=b").is_err());
}
