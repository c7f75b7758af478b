//! `holdfast status`: the server, its volumes, and this host's mounts, on one page.

use holdfast_client::ServerInfo;
use holdfast_core::size::ByteSize;
use holdfast_core::volume::VolumeInfo;
use holdfast_fuse::mount::table;
use serde::Serialize;

use super::volume::view::VolumeList;
use crate::args::GlobalArgs;
use crate::failure::{During, Result};
use crate::output::table::{Align, Table, pairs};
use crate::output::{Output, Report};
use crate::{connect, date};

#[derive(Debug, Serialize)]
struct Status {
    server: ServerView,
    volumes: VolumeList,
    mounts: Vec<Mount>,
}

/// A mount of this host, as its kernel lists it.
#[derive(Debug, Serialize)]
struct Mount {
    source: String,
    directory: String,
}

#[derive(Debug, Serialize)]
struct ServerView {
    address: String,
    version: String,
    protocol: u32,
    protocol_oldest: u32,
    started: String,
    tls: bool,
    disk_bytes_total: u64,
    disk_bytes_free: u64,
    volumes: u32,
    mounts: u32,
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be reached; this host's mounts are shown on standard error then.
pub fn run(global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let mounts = mounts_here()?;
    let asked = connect::with(global, "ask for the status", async |client| {
        Ok((client.server().await?, client.list_volumes().await?))
    });
    match asked {
        Ok((server, volumes)) => output.report(&Status::new(global, server, volumes, mounts)),
        Err(failure) => {
            for mount in &mounts {
                output.note(&format!("mounted here: {} on {}", mount.source, mount.directory));
            }
            Err(failure)
        }
    }
}

fn mounts_here() -> Result<Vec<Mount>> {
    let all = table::read().during(|| "read this host's mounts in /proc".into())?;
    let ours = all.into_iter().filter(table::MountEntry::is_holdfast);
    Ok(ours.map(|mount| Mount { source: mount.source, directory: mount.point.display().to_string() }).collect())
}

impl Status {
    fn new(global: &GlobalArgs, server: ServerInfo, volumes: Vec<VolumeInfo>, mounts: Vec<Mount>) -> Self {
        let server = ServerView {
            address: global.server().to_string(),
            version: server.version,
            protocol: server.protocol,
            protocol_oldest: server.protocol_oldest,
            started: date::rfc3339(server.started),
            tls: server.tls,
            disk_bytes_total: server.disk_bytes_total,
            disk_bytes_free: server.disk_bytes_free,
            volumes: server.volumes,
            mounts: server.sessions,
        };
        Self { server, volumes: VolumeList::new(volumes), mounts }
    }

    fn mounts_text(&self) -> String {
        if self.mounts.is_empty() {
            return "  none\n".into();
        }
        let mut table = Table::new(&[("VOLUME", Align::Left), ("DIRECTORY", Align::Left)]);
        for mount in &self.mounts {
            table.row([mount.source.clone(), mount.directory.clone()]);
        }
        table.text(2)
    }
}

impl Report for Status {
    fn text(&self) -> String {
        let server = &self.server;
        let protection = if server.tls { "TLS" } else { "no TLS" };
        let (free, total) = (ByteSize(server.disk_bytes_free), ByteSize(server.disk_bytes_total));
        let server_text = pairs(&[
            ("server", format!("{} ({protection}), holdfastd {}", server.address, server.version)),
            ("protocol", format!("{} to {}", server.protocol_oldest, server.protocol)),
            ("up since", server.started.clone()),
            ("disk", format!("{free} free of {total}")),
            ("mounts", format!("{} of {} volumes", server.mounts, server.volumes)),
        ]);
        let volumes = if self.volumes.is_empty() { "  none\n".to_owned() } else { self.volumes.table(2) };
        format!("{server_text}\nvolumes:\n{volumes}\nmounts on this host:\n{}", self.mounts_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page() {
        let server = ServerInfo {
            version: "0.1.0".into(),
            protocol: 1,
            protocol_oldest: 1,
            started: holdfast_core::time::Timestamp { secs: 0, nanos: 0 },
            disk_bytes_total: 10 << 30,
            disk_bytes_free: 4 << 30,
            volumes: 3,
            sessions: 2,
            tls: true,
        };
        let mount = Mount { directory: "/mnt".into(), source: "s:/v".into() };
        let status = Status::new(&GlobalArgs::default(), server, Vec::new(), vec![mount]);
        let expected = "\
server:    127.0.0.1:7440 (TLS), holdfastd 0.1.0
protocol:  1 to 1
up since:  1970-01-01T00:00:00Z
disk:      4 GiB free of 10 GiB
mounts:    2 of 3 volumes

volumes:
  none

mounts on this host:
  VOLUME  DIRECTORY
  s:/v    /mnt
";
        assert_eq!(status.text(), expected);
    }
}
