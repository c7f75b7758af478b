#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::date::{day_of, now};

fn validity() -> Validity {
    let today = day_of(now());
    Validity { from: Date::from_days(today - 1), until: Date::from_days(today + 30) }
}

fn roots(ca: &Identity) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.certificate.as_bytes()).unwrap()).unwrap();
    Arc::new(roots)
}

fn chain(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    (vec![certificate], PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap())
}

/// A whole handshake in memory, certificates on both sides, then a word each way.
fn talk(
    trusted_by_server: &Identity,
    server: &Identity,
    trusted_by_client: &Identity,
    client: &Identity,
    name: &str,
) -> std::result::Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(trusted_by_server), provider.clone()).build().unwrap();
    let (certificates, key) = chain(server);
    let server_config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates, key)?;
    let (certificates, key) = chain(client);
    let client_config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(trusted_by_client))
        .with_client_auth_cert(certificates, key)?;
    let mut server = ServerConnection::new(Arc::new(server_config))?;
    let mut client = ClientConnection::new(Arc::new(client_config), ServerName::try_from(name.to_owned()).unwrap())?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    client.writer().write_all(b"ping").unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets()?;
    let mut word = [0; 4];
    server.reader().read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ping");
    Ok(())
}

#[test]
fn both_sides_prove_who_they_are() {
    let (authority, ca) = Authority::create(validity()).unwrap();
    let server = authority.server(&["storage.example.org".into(), "10.0.0.5".into(), "fd00::5".into()], validity());
    let (server, client) = (server.unwrap(), authority.client("web-1", validity()).unwrap());
    for name in ["storage.example.org", "10.0.0.5", "fd00::5"] {
        talk(&ca, &server, &ca, &client, name).unwrap();
    }
    assert!(talk(&ca, &server, &ca, &client, "other.example.org").is_err(), "a name that is not in it");
    assert!(talk(&ca, &server, &ca, &client, "10.0.0.6").is_err(), "an address that is not in it");
    assert!(talk(&ca, &client, &ca, &client, "web-1").is_err(), "a client's certificate is none for a server");
    assert!(talk(&ca, &server, &ca, &server, "10.0.0.5").is_err(), "nor the other way round");
}

#[test]
fn another_authority_does_not_count() {
    let (ours, our_ca) = Authority::create(validity()).unwrap();
    let (theirs, their_ca) = Authority::create(validity()).unwrap();
    let server = ours.server(&["a".into()], validity()).unwrap();
    let ours_client = ours.client("a", validity()).unwrap();
    let their_client = theirs.client("a", validity()).unwrap();
    talk(&our_ca, &server, &our_ca, &ours_client, "a").unwrap();
    assert!(talk(&our_ca, &server, &our_ca, &their_client, "a").is_err());
    assert!(talk(&our_ca, &server, &their_ca, &ours_client, "a").is_err());
}

#[test]
fn an_authority_that_was_kept_signs_on() {
    let (authority, ca) = Authority::create(validity()).unwrap();
    let server = authority.server(&["a".into()], validity()).unwrap();
    let kept = Authority::load(&ca.certificate, &ca.key).unwrap();
    talk(&ca, &server, &ca, &kept.client("later", validity()).unwrap(), "a").unwrap();
    let (_, other) = Authority::create(validity()).unwrap();
    assert!(Authority::load(&ca.certificate, &other.key).is_err(), "a key of another authority");
    assert!(Authority::load("", "").is_err());
}

#[test]
fn names_that_cannot_be_certified() {
    let (authority, _) = Authority::create(validity()).unwrap();
    for name in ["", "a b", "http://a", "a:7440", "-a", "a/b", "a..b", "ä", &"a".repeat(64), "a.*"] {
        assert!(authority.server(&[name.to_owned()], validity()).unwrap_err().is_usage(), "{name:?}");
    }
    for name in ["", ".", "..", "../x", "a/b", "-x", "a b", &"a".repeat(65)] {
        assert!(authority.client(name, validity()).unwrap_err().is_usage(), "{name:?}");
    }
    assert!(authority.server(&[], validity()).unwrap_err().is_usage());
}
