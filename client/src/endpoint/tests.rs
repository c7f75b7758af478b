#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::path::{Path, PathBuf};

use holdfast_core::error::ErrorKind;

use super::{Endpoint, ServerAddress, TlsFiles, Token};
use crate::channel::Connector;

fn address(text: &str) -> ServerAddress {
    text.parse().unwrap()
}

#[test]
fn addresses_as_people_write_them() {
    for (text, host, port, shown) in [
        ("storage1", "storage1", 7440, "storage1:7440"),
        ("storage1.example.org:80", "storage1.example.org", 80, "storage1.example.org:80"),
        ("192.0.2.1", "192.0.2.1", 7440, "192.0.2.1:7440"),
        ("[2001:db8::1]:9", "2001:db8::1", 9, "[2001:db8::1]:9"),
        ("[::1]", "::1", 7440, "[::1]:7440"),
        ("::1", "::1", 7440, "[::1]:7440"),
    ] {
        let address = address(text);
        assert_eq!((address.host(), address.port(), address.to_string().as_str()), (host, port, shown));
    }
}

#[test]
fn addresses_that_are_none_say_how() {
    for text in [
        "",
        ":7440",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "a b",
        "http://host",
        "host/vol",
        "[::1",
        "[::1]7",
        "[host]:1",
        "::1:x",
        "h\u{e4}st",
    ] {
        let error = text.parse::<ServerAddress>().expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("write HOST or HOST:PORT"), "{error}");
    }
}

#[test]
fn loopback_is_told_from_the_rest() {
    assert!(["localhost", "127.0.0.1", "127.8.8.8:1", "[::1]:5"].iter().all(|text| address(text).is_loopback()));
    assert!(["storage1", "192.0.2.1", "[2001:db8::1]"].iter().all(|text| !address(text).is_loopback()));
}

#[test]
fn a_token_is_shown_nowhere() {
    let token = Token::new("open-sesame").unwrap();
    assert!(!format!("{token:?}").contains("sesame"));
    for text in ["", "two words", "tab\t", "ümlaut"] {
        let error = Token::new(text).unwrap_err();
        assert!(text.is_empty() || !error.message().contains(text), "{error}");
    }
}

#[test]
fn a_token_file_has_it_on_its_first_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "open-sesame\n\n").unwrap();
    assert_eq!(Token::read(&path).unwrap(), Token::new("open-sesame").unwrap());
    std::fs::write(&path, "\nlater\n").unwrap();
    assert!(Token::read(&path).unwrap_err().message().contains("token file"));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Token::read(&path).is_err());
    let missing = dir.path().join("none");
    assert!(Token::read(&missing).unwrap_err().message().contains(missing.to_str().unwrap()));
}

#[tokio::test]
async fn a_token_never_goes_out_in_the_clear() {
    let mut endpoint = Endpoint::plain(address("192.0.2.1"));
    endpoint.token = Some(Token::new("open-sesame").unwrap());
    let error = Connector::new(&endpoint).unwrap_err();
    assert!(error.message().contains("without encryption"), "{error}");
    endpoint.address = address("localhost");
    Connector::new(&endpoint).unwrap();
}

fn made(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn tls_files_are_checked_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["storage1".to_owned()]).unwrap();
    let cert = made(dir.path(), "cert.pem", &pair.cert.pem());
    let key = made(dir.path(), "key.pem", &pair.signing_key.serialize_pem());
    let garbage = made(dir.path(), "garbage.pem", "no certificate");
    let good = TlsFiles { ca: cert.clone(), cert: Some(cert.clone()), key: Some(key.clone()) };
    let connector =
        |files: TlsFiles| Connector::new(&Endpoint { tls: Some(files), ..Endpoint::plain(address("storage1")) });
    connector(good.clone()).unwrap();
    connector(TlsFiles { cert: None, key: None, ..good.clone() }).unwrap();
    for (files, named) in [
        (TlsFiles { ca: garbage.clone(), ..good.clone() }, "garbage.pem"),
        (TlsFiles { ca: dir.path().join("none.pem"), ..good.clone() }, "none.pem"),
        (TlsFiles { cert: Some(garbage.clone()), ..good.clone() }, "garbage.pem"),
        (TlsFiles { key: Some(cert), ..good.clone() }, "cert.pem"),
        (TlsFiles { key: None, ..good.clone() }, "without its key"),
        (TlsFiles { cert: None, ..good }, "without its certificate"),
    ] {
        let error = connector(files).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(named), "{error}");
    }
}
