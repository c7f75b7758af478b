//! `holdfast version`: of this program, and of the server if one answers.

use holdfast_client::ServerInfo;
use serde::Serialize;

use crate::args::GlobalArgs;
use crate::connect;
use crate::failure::Result;
use crate::output::{Output, Report};

#[derive(Debug, Serialize)]
struct Version {
    client: &'static str,
    server: Option<ServerVersion>,
    #[serde(skip)]
    unreached: Option<String>,
}

#[derive(Debug, Serialize)]
struct ServerVersion {
    address: String,
    version: String,
    protocol: u32,
    protocol_oldest: u32,
}

/// Runs the command. A server that does not answer is said, and no failure.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let asked = connect::with(global, "ask for the server's version", async |client| client.server().await);
    let (server, unreached) = match asked {
        Ok(server) => (Some(server_version(global, server)), None),
        Err(_) => (None, Some(format!("no answer from {}", global.server()))),
    };
    output.report(&Version { client: env!("CARGO_PKG_VERSION"), server, unreached })
}

fn server_version(global: &GlobalArgs, server: ServerInfo) -> ServerVersion {
    ServerVersion {
        address: global.server().to_string(),
        version: server.version,
        protocol: server.protocol,
        protocol_oldest: server.protocol_oldest,
    }
}

impl Report for Version {
    fn text(&self) -> String {
        let server = match (&self.server, &self.unreached) {
            (Some(server), _) => format!(
                "holdfastd {} at {} (protocol {} to {})",
                server.version, server.address, server.protocol_oldest, server.protocol
            ),
            (None, Some(why)) => format!("holdfastd: {why}"),
            (None, None) => "holdfastd: unknown".into(),
        };
        format!("holdfast {}\n{server}\n", self.client)
    }
}
