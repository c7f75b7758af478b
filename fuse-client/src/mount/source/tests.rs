#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

fn parse(text: &str, default: Option<&str>) -> (Option<String>, String, String) {
    let default = default.map(|server| server.parse().unwrap());
    let source = MountSource::parse(text, default.as_ref()).unwrap();
    (source.server.map(|server| server.to_string()), source.volume.to_string(), source.subdir.to_string())
}

fn source(server: &str, volume: &str, subdir: &str) -> (Option<String>, String, String) {
    (Some(server.to_owned()), volume.to_owned(), subdir.to_owned())
}

#[test]
fn with_colon_the_server_is_never_in_doubt() {
    for default in [None, Some("other:1")] {
        assert_eq!(parse("s1:/vol", default), source("s1:7440", "vol", ""));
        assert_eq!(parse("s1:7000:/vol/a/b/", default), source("s1:7000", "vol", "/a/b"));
        assert_eq!(parse("[::1]:7000:/vol//a", default), source("[::1]:7000", "vol", "/a"));
        assert_eq!(parse("10.0.0.1:7000/vol", default), source("10.0.0.1:7000", "vol", ""));
        assert_eq!(parse("10.0.0.1/vol/x", default), source("10.0.0.1:7440", "vol", "/x"));
    }
}

#[test]
fn without_a_default_the_first_part_is_the_server() {
    assert_eq!(parse("s1/vol", None), source("s1:7440", "vol", ""));
    assert_eq!(parse("vol", None), (None, "vol".to_owned(), String::new()));
    assert_eq!(parse("vol/", None), (None, "vol".to_owned(), String::new()));
}

#[test]
fn with_a_default_the_first_part_is_the_volume() {
    assert_eq!(parse("vol", Some("s9")), source("s9:7440", "vol", ""));
    assert_eq!(parse("vol/a", Some("s9")), source("s9:7440", "vol", "/a"));
    assert_eq!(parse("s9/vol", Some("s9")), source("s9:7440", "vol", ""));
    assert_eq!(parse("localhost/vol", Some("s9")), source("localhost:7440", "vol", ""));
}

#[test]
fn an_id_names_a_volume_too() {
    let id = "0123456789abcdef0123456789abcdef";
    assert!(matches!(MountSource::parse(id, None).unwrap().volume, VolumeRef::Id(_)));
}

#[test]
fn nonsense_is_named() {
    for text in ["", "/vol", "s1:/", "s1:/.hidden", "s1:/vol/../x", "s1:/v ol", "s1:99999:/vol"] {
        let error = MountSource::parse(text, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text:?}");
        assert!(error.to_string().len() > 20, "{error}");
    }
}

#[test]
fn what_is_shown_can_be_read_back() {
    for text in ["s1:7440:/vol/a/b", "[::1]:7440:/vol", "vol"] {
        let source = MountSource::parse(text, None).unwrap();
        assert_eq!(MountSource::parse(&source.to_string(), None).unwrap(), source);
    }
    assert_eq!(MountSource::parse("s1:7440:/vol/a", None).unwrap().to_string(), "s1:/vol/a");
    assert_eq!(MountSource::parse("[::1]:/vol", None).unwrap().to_string(), "[::1]:/vol");
    assert_eq!(MountSource::parse("s1:7441:/vol", None).unwrap().to_string(), "s1:7441:/vol");
}
