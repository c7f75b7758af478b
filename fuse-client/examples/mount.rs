//! Mounts a volume in the foreground and prints what the mount counted when it ends:
//! `mount SERVER/VOLUME DIR [OPTIONS]`. For work on the mount itself; people use `holdfast mount`.

use std::error::Error;
use std::path::PathBuf;

use holdfast_client::Endpoint;
use holdfast_fuse::mount::{MountConfig, MountOptions, MountSource, default_run_dir, run_mount};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(point)) = (arguments.next(), arguments.next()) else {
        return Err("usage: mount SERVER/VOLUME DIR [OPTIONS]".into());
    };
    let source = MountSource::parse(&source, None)?;
    let server = source.server.clone().ok_or("name a server")?;
    let config = MountConfig {
        source,
        point: PathBuf::from(point),
        options: MountOptions::parse(&arguments.next().unwrap_or_default())?,
        host: "example".to_owned(),
        program: "mount-example".to_owned(),
        run_dir: Some(default_run_dir()),
    };
    let mut stats = None;
    let ended = run_mount(&Endpoint::plain(server), &config, |mount| {
        stats = Some(mount.stats().clone());
        println!("ready {}", mount.point().display());
    });
    if let Some(stats) = stats {
        println!("{}", serde_json::to_string_pretty(&stats.snapshot())?);
    }
    Ok(ended?)
}
