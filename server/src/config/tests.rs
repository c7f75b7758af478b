#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use clap::Parser as _;

use super::*;

fn read(words: &[&str]) -> Result<Config> {
    let words = ["holdfastd"].iter().chain(words);
    Config::read(Args::try_parse_from(words).unwrap())
}

fn refused(words: &[&str]) -> String {
    let error = read(words).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.message().to_owned()
}

#[test]
fn defaults_need_only_a_directory() {
    let config = read(&["--data", "/d"]).unwrap();
    assert_eq!(config.listen.to_string(), LISTEN_DEFAULT);
    assert_eq!(config.lease, LeaseTimes::default());
    assert_eq!(config.commit, CommitPolicy::default());
    assert!(refused(&[]).contains("--data"));
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("holdfastd.toml");
    std::fs::write(&path, "data = \"/from-file\"\nlease = \"20s\"\ncommit_interval = \"50ms\"\ncache = \"64MiB\"\n")
        .unwrap();
    let config = read(&["--config", path.to_str().unwrap(), "--lease", "30s"]).unwrap();
    assert_eq!(config.data, Path::new("/from-file"));
    assert_eq!(config.lease, LeaseTimes { lease: Duration::from_secs(30), heartbeat: Duration::from_secs(6) });
    assert_eq!(config.commit.age_max, Duration::from_millis(50));
    assert_eq!(config.limits.cache_bytes, 64 << 20);
}

#[test]
fn the_write_buffer_is_a_part_of_the_cache() {
    let memory = |arguments: &[&str]| {
        let limits = read(&[&["--data", "/d"], arguments].concat()).unwrap().limits;
        (limits.cache_bytes >> 20, limits.write_buffer_bytes >> 20)
    };
    assert_eq!(memory(&[]), (96, 48));
    assert_eq!(memory(&["--cache", "64MiB"]), (64, 32));
    assert_eq!(memory(&["--cache", "8MiB"]), (8, 8));
    assert_eq!(memory(&["--cache", "1GiB", "--write-buffer", "1GiB"]), (1024, 1024));
    let message = refused(&["--data", "/d", "--write-buffer", "256MiB"]);
    assert!(message.contains("do not fit in the cache"), "{message}");
}

#[test]
fn a_typing_error_in_the_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, "data = \"/d\"\nleese = \"20s\"\n").unwrap();
    let message = refused(&["--config", path.to_str().unwrap()]);
    assert!(message.contains("leese") && message.contains("c.toml"), "{message}");
    assert!(refused(&["--config", "/nonexistent.toml"]).contains("/nonexistent.toml"));
}

#[test]
fn an_address_that_others_reach_needs_tls() {
    let message = refused(&["--data", "/d", "--listen", "0.0.0.0:7440"]);
    assert!(message.contains("holdfast tls init") && message.contains("--tls-cert"), "{message}");
    for loopback in ["127.0.0.2:1", "[::1]:0", "localhost:7440"] {
        read(&["--data", "/d", "--listen", loopback]).unwrap();
    }
    let tls = ["--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c"];
    read(&[&["--data", "/d", "--listen", "0.0.0.0:7440"][..], &tls].concat()).unwrap();
    let message = refused(&[&["--data", "/d"][..], &tls[..4]].concat());
    assert!(message.contains("--tls-key"), "{message}");
}

#[test]
fn figures_out_of_bounds_are_refused() {
    for (flag, value) in [
        ("--lease", "1ms"),
        ("--lease", "10"),
        ("--lease", "1h"),
        ("--commit-interval", "0ms"),
        ("--cache", "1KiB"),
        ("--disk-reserve", "lots"),
        ("--scrub-interval", "10ms"),
        ("--scrub-interval", "never"),
        ("--scrub-rate", "1KiB"),
        ("--compact-interval", "1ms"),
        ("--compact-dead", "100"),
        ("--compact-dead", "0"),
        ("--compact-rate", "1KiB"),
        ("--max-volumes", "0"),
        ("--listen", "nowhere"),
    ] {
        refused(&["--data", "/d", flag, value]);
    }
}

#[test]
fn scrubs_are_on_unless_told_otherwise() {
    let scrub = |words: &[&str]| read(&[&["--data", "/d"], words].concat()).unwrap().scrub;
    assert_eq!(scrub(&[]), ScrubPolicy::default());
    assert_eq!(scrub(&["--scrub-interval", "off"]).interval, None);
    let often = scrub(&["--scrub-interval", "12h", "--scrub-rate", "1MiB"]);
    assert_eq!((often.interval, often.bytes_per_second), (Some(Duration::from_secs(43_200)), 1 << 20));
    assert_eq!(scrub(&["--scrub-interval", "30d"]), ScrubPolicy::default());
}

#[test]
fn compaction_is_on_unless_told_otherwise() {
    let compact = |words: &[&str]| read(&[&["--data", "/d"], words].concat()).unwrap().compact;
    assert_eq!(compact(&[]), CompactPolicy::default());
    assert_eq!(compact(&["--compact-interval", "off"]).interval, None);
    let eager = compact(&["--compact-interval", "1s", "--compact-dead", "20", "--compact-rate", "1GiB"]);
    let expected =
        CompactPolicy { interval: Some(Duration::from_secs(1)), dead_percent: 20, bytes_per_second: 1 << 30 };
    assert_eq!(eager, expected);
}

#[test]
fn a_token_is_checked_whole_and_never_shown() {
    let token = Token::new("0123456789abcdef").unwrap();
    assert!(token.matches("0123456789abcdef"));
    for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF", "x123456789abcdef"] {
        assert!(!token.matches(wrong), "{wrong}");
    }
    assert!(!format!("{token:?}").contains("0123"));
    assert!(Token::new("short").is_err() && Token::new("0123456789 abcdef").is_err());
}
