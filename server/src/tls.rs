//! Certificates of the server, read and checked before it listens.

use std::path::Path;
use std::time::Duration;

use holdfast_core::error::Result;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::config::{TlsFiles, invalid};

/// Longest TLS handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Reads the files. Clients must show a certificate of the authority.
///
/// # Errors
/// `Invalid`, naming the file.
pub(crate) fn load(files: &TlsFiles) -> Result<ServerTlsConfig> {
    let ca = read(&files.ca, "CERTIFICATE")?;
    let cert = read(&files.cert, "CERTIFICATE")?;
    let key = read(&files.key, "PRIVATE KEY")?;
    Ok(ServerTlsConfig::new()
        .identity(Identity::from_pem(cert, key))
        .client_ca_root(Certificate::from_pem(ca))
        .timeout(HANDSHAKE_TIME_MAX))
}

fn read(path: &Path, what: &str) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| invalid(format!("cannot read {}: {error}", path.display())).because(error))?;
    if text.contains(&format!("{what}-----")) {
        Ok(text)
    } else {
        Err(invalid(format!("{} holds no PEM {}", path.display(), what.to_lowercase())))
    }
}
