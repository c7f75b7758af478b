//! A private certificate authority, as PEM texts: a server proves its names with it, a client that
//! it may connect at all.
//!
//! No file is touched here and no clock is read; `command/tls.rs` does both. Keys are ECDSA P-256,
//! chosen because every TLS library speaks it.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::date::Date;
use crate::failure::{During, Failure, Result};

/// Longest server or client name, in bytes (a host name's limit; RFC 1035 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// The days on which a certificate counts, both included.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// First day.
    pub from: Date,
    /// Last day.
    pub until: Date,
}

/// A certificate and its private key, both PEM.
pub struct Identity {
    /// May be shown to anybody.
    pub certificate: String,
    /// A secret.
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority, and what is to be kept of it.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn create(validity: Validity) -> Result<(Self, Identity)> {
        let key = KeyPair::generate().during(|| "make a key".into())?;
        let mut params = params("Holdfast private CA", validity);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).during(|| "sign the authority's certificate".into())?;
        let identity = Identity { certificate: certificate.pem(), key: key.serialize_pem() };
        Ok((Self { issuer: Issuer::new(params, key) }, identity))
    }

    /// The authority that was kept.
    ///
    /// # Errors
    /// When the texts are not a certificate and its key.
    pub fn load(certificate: &str, key: &str) -> Result<Self> {
        check_pair(certificate, key)?;
        let key = KeyPair::from_pem(key).during(|| "read the authority's key".into())?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).during(|| "read the authority's certificate".into())?;
        Ok(Self { issuer })
    }

    /// A certificate with which a server proves that it is each of `names`: host names or addresses.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn server(&self, names: &[String], validity: Validity) -> Result<Identity> {
        let Some(first) = names.first() else {
            return Err(Failure::usage("a server's certificate needs at least one name or address"));
        };
        names.iter().try_for_each(|name| check_server_name(name))?;
        let alternatives = CertificateParams::new(names).during(|| format!("use the names {}", names.join(", ")))?;
        let mut params = params(first, validity);
        params.subject_alt_names = alternatives.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A certificate with which a client proves that it may connect, and as whom.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn client(&self, name: &str, validity: Validity) -> Result<Identity> {
        check_client_name(name)?;
        let mut params = params(name, validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Identity> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().during(|| "make a key".into())?;
        let certificate = params.signed_by(&key, &self.issuer).during(|| "sign a certificate".into())?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn params(common_name: &str, validity: Validity) -> CertificateParams {
    let day = |date: Date| date_time_ymd(date.year, date.month, date.day);
    let mut params = CertificateParams::default();
    params.not_before = day(validity.from);
    params.not_after = day(validity.until);
    params.distinguished_name = rcgen::DistinguishedName::new();
    // X.520 allows 64 characters for a common name; the names that count are the alternatives.
    params.distinguished_name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    params
}

/// That both are what they should be, and belong together.
fn check_pair(certificate: &str, key: &str) -> Result<()> {
    let certificate =
        CertificateDer::from_pem_slice(certificate.as_bytes()).during(|| "read the authority's certificate".into())?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).during(|| "read the authority's key".into())?;
    CertifiedKey::from_der(vec![certificate], key, &rustls::crypto::ring::default_provider())
        .during(|| "use the authority's certificate with its key".into())?;
    Ok(())
}

/// A host name (RFC 1123), one that begins with `*.`, or an IP address.
fn check_server_name(name: &str) -> Result<()> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host = name.strip_prefix("*.").unwrap_or(name);
    if name.parse::<IpAddr>().is_ok() || (name.len() <= NAME_BYTES_MAX && host.split('.').all(label)) {
        return Ok(());
    }
    Err(Failure::usage(format!("{name:?} is no host name or address"))
        .hint("give what clients will connect to, without a port: storage.example.org or 10.0.0.5"))
}

/// What can also be a file's name: letters, digits, `.`, `_`, `-`, the first a letter or digit.
///
/// # Errors
/// Any other name.
pub fn check_client_name(name: &str) -> Result<()> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && name.len() <= 64 && name.bytes().all(word) {
        return Ok(());
    }
    Err(Failure::usage(format!("{name:?} is no name for a certificate"))
        .hint("use 1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit, such as web-1"))
}

#[cfg(test)]
mod tests;
