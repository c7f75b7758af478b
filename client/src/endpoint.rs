//! Where a server is, and how to prove who we are: address, TLS files, token.
//!
//! Everything is read and checked here, before a connection is tried, so that an error names the
//! file or the text that is wrong. A token is never shown, not even by `Debug`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::network::Network;

/// Port of a server, where an address names none.
pub const PORT_DEFAULT: u16 = 7440;
/// How long a connection may take to be made, where nothing else is asked for.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Longest TLS or token file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// Host and port: `host`, `host:port`, `192.0.2.1:7440`, `[2001:db8::1]:7440`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl ServerAddress {
    /// A server on this machine, at the usual port.
    #[must_use]
    pub fn local() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: PORT_DEFAULT }
    }

    /// The host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it can only be this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ServerAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            invalid(format!(
                "server address {text:?}: {why}; write HOST or HOST:PORT, for example storage1:{PORT_DEFAULT}"
            ))
        };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| wrong("a ']' is missing"))?;
                let port = match rest {
                    "" => None,
                    _ => Some(rest.strip_prefix(':').ok_or_else(|| wrong("after ']' only :PORT can follow"))?),
                };
                let v6: std::net::Ipv6Addr =
                    host.parse().map_err(|_| wrong("there is no IPv6 address in the brackets"))?;
                (v6.to_string(), port)
            }
            None if text.parse::<std::net::Ipv6Addr>().is_ok() => (text.to_owned(), None),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port)),
                None => (text.to_owned(), None),
            },
        };
        let port = match port {
            None => PORT_DEFAULT,
            Some(port) => {
                port.parse().ok().filter(|&port| port != 0).ok_or_else(|| wrong("the port is not 1 to 65535"))?
            }
        };
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let named = !host.is_empty() && host.len() <= 253 && host.bytes().all(letter);
        if !named && !host.contains(':') {
            return Err(wrong("this is no host name"));
        }
        if host.contains(':') && host.parse::<IpAddr>().is_err() {
            return Err(wrong("put an IPv6 address in brackets"));
        }
        Ok(Self { host, port })
    }
}

/// The secret that a server may ask for. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token: printable ASCII without spaces.
    ///
    /// # Errors
    /// `Invalid` when it is empty or has other characters. The message does not repeat it.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if text.is_empty() || text.len() > 4096 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("a token has 1 to 4096 printable characters without spaces".to_owned()));
        }
        Ok(Self(text))
    }

    /// Reads a token from the first line of a file.
    ///
    /// # Errors
    /// `Invalid`, naming the file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_file(path, "token file")?;
        let text =
            String::from_utf8(bytes).map_err(|_| invalid(format!("token file {}: it is not text", path.display())))?;
        let line = text.lines().next().unwrap_or_default().trim();
        Self::new(line).map_err(|error| invalid(format!("token file {}: {error}", path.display())))
    }

    /// The secret itself, to be sent.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Files in PEM form that make a connection private and prove both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signed the server's certificate.
    pub ca: PathBuf,
    /// Our certificate. Servers of a private network ask for one.
    pub cert: Option<PathBuf>,
    /// Its key. Goes with `cert`.
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// `Invalid`, naming the file and what is wrong with it.
    pub(crate) fn load(&self, server: &ServerAddress) -> Result<ClientTlsConfig> {
        let ca = read_certificates(&self.ca, "TLS authority")?;
        let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name(server.host());
        match (&self.cert, &self.key) {
            (None, None) => Ok(config),
            (Some(cert), Some(key)) => {
                let cert = read_certificates(cert, "TLS certificate")?;
                let pem = read_file(key, "TLS key")?;
                PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
                    invalid(format!("TLS key {}: it holds no private key in PEM form: {error}", key.display()))
                })?;
                Ok(config.identity(Identity::from_pem(cert, pem)))
            }
            (Some(_), None) => Err(invalid("a TLS certificate was given without its key; give both".to_owned())),
            (None, Some(_)) => Err(invalid("a TLS key was given without its certificate; give both".to_owned())),
        }
    }
}

fn read_certificates(path: &Path, what: &str) -> Result<Vec<u8>> {
    let pem = read_file(path, what)?;
    let certificates: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(pem),
        Ok(_) => Err(invalid(format!("{what} {}: it holds no certificate in PEM form", path.display()))),
        Err(error) => Err(invalid(format!("{what} {}: it is not in PEM form: {error}", path.display()))),
    }
}

fn read_file(path: &Path, what: &str) -> Result<Vec<u8>> {
    let failed =
        |error: std::io::Error| invalid(format!("cannot read {what} {}: {error}", path.display())).because(error);
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(invalid(format!("{what} {}: {size} bytes are too many for such a file", path.display())));
    }
    std::fs::read(path).map_err(failed)
}

/// A server, and how to reach it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: ServerAddress,
    /// Files for a private connection; without them it is plain.
    pub tls: Option<TlsFiles>,
    /// The secret that it may ask for.
    pub token: Option<Token>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// Who makes connections; without one they are TCP.
    pub network: Option<Arc<dyn Network>>,
}

impl Endpoint {
    /// A server without TLS and token, with the default timeout.
    #[must_use]
    pub const fn plain(address: ServerAddress) -> Self {
        Self { address, tls: None, token: None, connect_timeout: CONNECT_TIMEOUT_DEFAULT, network: None }
    }
}

#[cfg(test)]
mod tests;
