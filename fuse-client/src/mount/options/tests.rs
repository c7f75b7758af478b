#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

fn error(list: &str) -> String {
    MountOptions::parse(list).unwrap_err().to_string()
}

#[test]
fn nothing_means_the_defaults() {
    for list in ["", "rw", "defaults,_netdev,nofail,x-systemd.automount,comment=hello", "hard,async,exec"] {
        assert_eq!(MountOptions::parse(list).unwrap(), MountOptions::default(), "{list:?}");
    }
}

#[test]
fn the_last_of_two_that_contradict_counts() {
    assert!(!MountOptions::parse("ro,rw").unwrap().read_only);
    assert!(MountOptions::parse("exclusive").unwrap().exclusive);
    assert!(!MountOptions::parse("exclusive,shared").unwrap().exclusive);
    assert_eq!(MountOptions::parse("nosuid,suid").unwrap().suid, Some(true));
    assert_eq!(MountOptions::parse("noexec,exec").unwrap().flags, MsFlags::empty());
}

#[test]
fn soft_mounts_have_a_timeout() {
    assert_eq!(MountOptions::parse("soft").unwrap().patience, Patience::Soft(SOFT_TIMEOUT_DEFAULT));
    let options = MountOptions::parse("timeout=5,soft").unwrap();
    assert_eq!(options.patience, Patience::Soft(Duration::from_secs(5)));
    for (time, secs) in [("1", 1), ("90s", 90), ("5m", 300), ("5min", 300), ("24h", 86_400)] {
        let options = MountOptions::parse(&format!("soft,timeout={time}")).unwrap();
        assert_eq!(options.patience, Patience::Soft(Duration::from_secs(secs)), "{time}");
    }
    for bad in ["0", "soon", "", "s", "25h", "5ms", "-1", "1.5", "99999999999999999999h"] {
        let error = error(&format!("soft,timeout={bad}"));
        assert!(error.contains(&format!("timeout={bad}")) && error.contains("1s to 24h"), "{error}");
    }
}

#[test]
fn who_waits_how_long_is_said_without_contradiction() {
    assert_eq!(MountOptions::parse("hard").unwrap().patience, Patience::Hard);
    for both in ["soft,hard", "hard,soft", "soft,timeout=5,hard"] {
        assert!(error(both).contains("contradict"), "{both}");
    }
    for alone in ["timeout=5", "hard,timeout=5"] {
        assert!(error(alone).contains("only together with soft"), "{alone}");
    }
    // NFS counts tenths of seconds.
    assert!(error("soft,timeo=600").contains("timeout=30s"));
}

#[test]
fn values_are_checked_and_named() {
    let options = MountOptions::parse("readahead=16MiB,threads=4,tls_ca=/etc/ca.pem,log=/var/log/x").unwrap();
    assert_eq!((options.readahead, options.threads), (ByteSize(16 << 20), Some(4)));
    assert_eq!(options.tls_ca, Some("/etc/ca.pem".into()));
    assert!(error("readahead=1").contains("readahead=1"));
    assert!(error("threads=0").contains("threads=0"));
    assert!(error("tls_ca=").contains("tls_ca="));
    assert!(error("readahead=2GiB").contains("1 GiB"));
}

#[test]
fn a_cache_has_a_directory_and_a_size() {
    let options = MountOptions::parse("cache=/var/cache/holdfast").unwrap();
    assert_eq!((options.cache, options.cache_size), (Some("/var/cache/holdfast".into()), ByteSize(10 << 30)));
    assert_eq!(MountOptions::parse("cache-size=1.5TiB,cache=/c").unwrap().cache_size, ByteSize(3 << 39));
    assert!(error("cache-size=1GiB").contains("cache=DIR"));
    assert!(error("cache=").contains("directory"));
    assert!(error("cache=/c,cache-size=1MiB").contains("64 MiB"));
    assert!(error("cache=/c,cache-size=large").contains("cache-size=large"));
}

#[test]
fn what_is_not_known_is_refused() {
    assert!(error("ro,noexce").contains("noexce"));
    assert!(error("caching=yes").contains("caching=yes"));
    assert!(error("strictatime").contains("relatime"));
    assert!(error("remount").contains("unmount"));
}
