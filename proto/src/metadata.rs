//! Metadata of calls: whose session, and the token.

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::SessionId;
use tonic::metadata::{Ascii, Binary, MetadataMap, MetadataValue};

use crate::error::invalid;

/// Binary metadata of `Namespace` and `Data` calls: the 16 bytes of the session's id.
pub const SESSION_KEY: &str = "holdfast-session-bin";
/// Text metadata of every call to a server that wants a token: `Bearer <token>`.
pub const AUTHORIZATION_KEY: &str = "authorization";
/// What stands before the token in [`AUTHORIZATION_KEY`].
pub const BEARER: &str = "Bearer ";

/// A session's id as metadata; it is a secret, so it is marked as one.
#[must_use]
pub fn session_value(session: SessionId) -> MetadataValue<Binary> {
    let mut value = MetadataValue::from_bytes(&session.0);
    value.set_sensitive(true);
    value
}

/// The session that a call names.
///
/// # Errors
/// `Invalid` when the metadata is absent or not 16 bytes.
pub fn session_of(metadata: &MetadataMap) -> Result<SessionId> {
    let value = metadata
        .get_bin(SESSION_KEY)
        .ok_or_else(|| invalid(format!("the call names no session (metadata {SESSION_KEY})")))?;
    let bytes = value.to_bytes().map_err(|_| invalid(format!("metadata {SESSION_KEY} is not base64")))?;
    SessionId::try_from(&bytes[..]).map_err(|error| invalid(format!("metadata {SESSION_KEY}: {error}")))
}

/// A token as metadata, marked as a secret.
///
/// # Errors
/// `Invalid` when it holds bytes that a header cannot carry. The message does not repeat it.
pub fn bearer_value(token: &str) -> Result<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("{BEARER}{token}")
        .parse()
        .map_err(|_| invalid("the token has characters that are not printable ASCII"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The token that a call bears.
///
/// # Errors
/// `Unauthenticated` when there is none, or not in the form `Bearer <token>`.
pub fn bearer_of(metadata: &MetadataMap) -> Result<&str> {
    metadata.get(AUTHORIZATION_KEY).and_then(|value| value.to_str().ok()?.strip_prefix(BEARER)).ok_or_else(|| {
        Error::new(ErrorKind::Unauthenticated, "the call bears no token; give the client the server's token file")
    })
}
