#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn prepared(source: &str, words: &[&str], global: &GlobalArgs) -> Result<Prepared> {
    prepare(source, Path::new("/mnt/x"), words.iter().map(|word| (*word).to_owned()).collect(), global)
}

#[test]
fn the_source_says_where_the_server_is_and_the_options_who_we_are() {
    let global = GlobalArgs {
        server: Some("elsewhere:1".parse().unwrap()),
        tls_ca: Some("/global/ca.pem".into()),
        tls_cert: Some("/global/cert.pem".into()),
        ..GlobalArgs::default()
    };
    let ready = prepared("s:/data/logs", &["ro", "tls_cert=/own/cert.pem"], &global).unwrap();
    assert_eq!(ready.shown_source(), "s:/data/logs");
    assert_eq!(ready.global.tls_ca.as_deref(), Some(Path::new("/global/ca.pem")));
    assert_eq!(ready.global.tls_cert.as_deref(), Some(Path::new("/own/cert.pem")));
    assert!(ready.options.read_only);
    assert_eq!(prepared("data/logs", &[], &global).unwrap().shown_source(), "elsewhere:1:/data/logs");
    assert_eq!(prepared("data", &[], &GlobalArgs::default()).unwrap().shown_source(), "127.0.0.1:/data");
    assert_eq!(prepared("s/data", &[], &GlobalArgs::default()).unwrap().shown_source(), "s:/data");
}

#[test]
fn the_child_reads_what_the_parent_meant() {
    for (source, server) in [("data/logs", Some("s:1")), ("a/b/c", None), ("[fd00::1]:9/v", None), ("v", None)] {
        let global = GlobalArgs { server: server.map(|server| server.parse().unwrap()), ..GlobalArgs::default() };
        let parent = prepared(source, &[], &global).unwrap();
        let child = prepared(&parent.shown_source(), &[], &parent.global).unwrap();
        assert_eq!(child.shown_source(), parent.shown_source(), "{source}");
        assert_eq!((child.source.volume, child.source.subdir), (parent.source.volume, parent.source.subdir));
    }
}

#[test]
fn mistakes_are_told_before_anything_is_tried() {
    let global = GlobalArgs::default();
    for (source, words) in
        [("", &[][..]), ("/data", &[]), ("s:/", &[]), ("s:/v/..", &[]), ("s:/v", &["rO"]), ("s:/v", &["timeout=5"])]
    {
        assert!(prepared(source, words, &global).unwrap_err().is_usage(), "{source:?} {words:?}");
    }
}

#[test]
fn words_that_name_files_become_absolute() {
    let here = std::env::current_dir().unwrap();
    assert_eq!(absolute_word("tls_ca=ca.pem").unwrap(), format!("tls_ca={}/ca.pem", here.display()));
    assert_eq!(absolute_word("log=/x").unwrap(), "log=/x");
    assert_eq!(absolute_word("timeout=5").unwrap(), "timeout=5");
}

#[test]
fn sloppy_means_that_unknown_words_are_dropped() {
    let known = ["ro", "hard", "soft", "timeout=5", "cache-size=1GiB", "_netdev", "x-systemd.automount"];
    assert!(known.into_iter().all(is_known));
    assert!(!is_known("vers=4"));
}

#[test]
fn a_log_is_named_after_the_directory() {
    assert_eq!(log_name(Path::new("/mnt/data")), "mnt-data.log");
    assert_eq!(log_name(Path::new("/mnt/a b/ü")), "mnt-a-b-ü.log");
    let long = log_name(Path::new(&format!("/{}/end", "ü".repeat(300))));
    assert!(long.len() <= LOG_NAME_BYTES_MAX + 4 && long.ends_with("-end.log"), "{long}");
}
