//! From the global options to a connected client, for commands that ask and end.

use std::time::Duration;

use holdfast_client::{Client, Endpoint, TlsFiles, Token};
use holdfast_core::error::Error;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::GlobalArgs;
use crate::failure::{During, Failure, Result};

/// How long a command that asks something may take in all.
const DEADLINE: Duration = Duration::from_secs(60);

/// The server that the global options name, and how to reach it. Files are read here.
///
/// # Errors
/// Options that do not go together, a token file that cannot be read.
pub fn endpoint(global: &GlobalArgs) -> Result<Endpoint> {
    let tls = match (&global.tls_ca, &global.tls_cert, &global.tls_key) {
        (None, None, None) => None,
        (Some(ca), cert, key) => Some(TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() }),
        (None, _, _) => {
            return Err(Failure::usage(
                "a client certificate was given without the authority that signed the server's",
            )
            .hint("add --tls-ca FILE, or set HOLDFAST_TLS_CA"));
        }
    };
    let token = global.token_file.as_deref().map(Token::read).transpose();
    let token = token.map_err(|error| Failure::of("read the token", &error))?;
    Ok(Endpoint { tls, token, ..Endpoint::plain(global.server()) })
}

/// Connects, does `work`, and tells a failure as one of `doing`.
///
/// # Errors
/// What connecting or the work fails with, or that it took too long.
pub fn with<T>(
    global: &GlobalArgs,
    doing: &str,
    work: impl AsyncFnOnce(&Client) -> std::result::Result<T, Error>,
) -> Result<T> {
    let (endpoint, runtime) = begin(global)?;
    runtime.block_on(async {
        match tokio::time::timeout(DEADLINE, connected(&endpoint, doing, work)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(format!(
                "cannot {doing}: the server at {} gave no answer within {} s",
                endpoint.address,
                DEADLINE.as_secs()
            ))
            .hint("look at the server's log; the command can be repeated")),
        }
    })
}

/// Connects and does `work`, which sees to it by itself that it does not hang, until Ctrl-C; tells a failure
/// as one of `doing`, and that one as `interrupted`.
///
/// # Errors
/// What connecting or the work fails with, or that it was interrupted.
pub fn until_interrupted<T>(
    global: &GlobalArgs,
    doing: &str,
    interrupted: &str,
    work: impl AsyncFnOnce(&Client) -> std::result::Result<T, Error>,
) -> Result<T> {
    let (endpoint, runtime) = begin(global)?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).during(|| "wait for signals".into())?;
        tokio::select! {
            result = connected(&endpoint, doing, work) => result,
            _ = tokio::signal::ctrl_c() => Err(Failure::interrupted(interrupted)),
            _ = terminated.recv() => Err(Failure::interrupted(interrupted)),
        }
    })
}

fn begin(global: &GlobalArgs) -> Result<(Endpoint, Runtime)> {
    let endpoint = endpoint(global)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok((endpoint, runtime.during(|| "start the asynchronous runtime".into())?))
}

async fn connected<T>(
    endpoint: &Endpoint,
    doing: &str,
    work: impl AsyncFnOnce(&Client) -> std::result::Result<T, Error>,
) -> Result<T> {
    let done = async { work(&Client::connect(endpoint).await?).await };
    done.await.map_err(|error| Failure::of(&format!("cannot {doing}"), &error))
}
