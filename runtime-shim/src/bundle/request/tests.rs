#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

#[test]
fn limits() {
    assert_eq!("4g".parse::<Memory>().unwrap().bytes(), 4 << 30);
    for bad in ["", "1m", "-4g", "x", "8E", "15E"] {
        assert!(bad.parse::<Memory>().is_err(), "{bad:?}");
    }
    for (text, micros) in [("1", 100_000), ("0.5", 50_000), ("1.25", 125_000), ("0.01", 1_000), ("8192", 819_200_000)] {
        assert_eq!(text.parse::<Cpus>().unwrap().quota_micros(), micros, "{text}");
    }
    for bad in ["", "0", "0.001", "-1", "1.", ".5", "1.2345", "8193", "1e3", "99999999999999999999"] {
        assert!(bad.parse::<Cpus>().is_err(), "{bad:?}");
    }
}

#[test]
fn users_names_networks() {
    assert_eq!("1000".parse::<User>().unwrap(), User { uid: 1000, gid: 0 });
    assert_eq!("1000:7".parse::<User>().unwrap(), User { uid: 1000, gid: 7 });
    for bad in ["", ":", "1:", ":1", "root", "-1", "+1", "4294967295", "4294967296", "1:2:3"] {
        assert!(bad.parse::<User>().is_err(), "{bad:?}");
    }
    assert_eq!("a-1.b_c".parse::<ContainerName>().unwrap().to_string(), "a-1.b_c");
    for bad in ["", ".", "..", "-a", "a/b", "a b", "é", &"a".repeat(129)] {
        assert!(bad.parse::<ContainerName>().is_err(), "{bad:?}");
    }
    assert_eq!("/run/netns/a".parse::<Network>().unwrap(), Network::Namespace("/run/netns/a".into()));
    assert!("bridge".parse::<Network>().is_err());
}
