//! `holdfast run`: a container with volumes, without an engine.
//!
//! The container goes the way that engines' containers go: a bundle, handed to `holdfast-runtime`.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use holdfast_runtime::bundle::{self, ContainerName, ContainerRequest, Cpus, Memory, Network, User};
use holdfast_runtime::spec::VolumeArgument;
use holdfast_runtime::supervise::exit_code;

use crate::args::GlobalArgs;
use crate::failure::{Failure, Result};

/// `holdfast run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Directory that becomes the container's root, such as an unpacked image
    #[arg(long, value_name = "DIR")]
    rootfs: PathBuf,
    /// A volume and its place in the container, as in data:/data, data/logs:/logs:ro (repeat for more)
    #[arg(long = "volume", short = 'v', value_name = "VOLUME[/DIR]:/PATH[:ro]")]
    volumes: Vec<VolumeArgument>,
    /// Memory that it may use, as in 4g; without it there is no limit
    #[arg(long, short, value_name = "SIZE")]
    memory: Option<Memory>,
    /// Processors that it may use, as in 1.5; without it there is no limit
    #[arg(long, value_name = "N")]
    cpus: Option<Cpus>,
    /// Its host name; by default its name
    #[arg(long)]
    hostname: Option<String>,
    /// A variable of its environment (repeat for more)
    #[arg(long = "env", short, value_name = "NAME=VALUE")]
    environment: Vec<String>,
    /// Directory that the command starts in
    #[arg(long, short, value_name = "DIR", default_value = "/")]
    workdir: PathBuf,
    /// User and group that the command runs as, in numbers
    #[arg(long, short, value_name = "UID[:GID]", default_value = "0:0")]
    user: User,
    /// Its root cannot be written to; volumes can
    #[arg(long)]
    read_only: bool,
    /// Name, unique among this host's containers
    #[arg(long)]
    name: Option<ContainerName>,
    /// What it sees of the network: none, host, or what a network namespace sees
    #[arg(long, value_name = "none|host|/PATH", default_value = "none")]
    network: Network,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs a container to its end. The result is what its command ended with, as a shell has it.
///
/// # Errors
/// When there is nothing to run, or nothing to run it with. That the container could not start
/// is told by the runtime, on standard error.
pub fn run(args: RunArgs, global: &GlobalArgs) -> Result<ExitCode> {
    let program = bundle::find_program(|name| std::env::var_os(name))
        .map_err(|error| Failure::of("cannot run a container", &error))?;
    let request = ContainerRequest {
        rootfs: args.rootfs,
        read_only: args.read_only,
        volumes: args.volumes,
        server: global.server(),
        memory: args.memory,
        cpus: args.cpus,
        hostname: args.hostname,
        environment: args.environment,
        workdir: args.workdir,
        user: args.user,
        name: args.name,
        network: args.network,
        terminal: io::stdin().is_terminal() && io::stdout().is_terminal(),
        command: args.command,
    };
    let status = bundle::run(&program, &request, &environment(global)?)
        .map_err(|error| Failure::of("cannot run the container", &error))?;
    Ok(exit_code(status))
}

/// The global options as the mounts' own command reads them. Its working directory is another, so
/// paths are made absolute.
fn environment(global: &GlobalArgs) -> Result<Vec<(OsString, OsString)>> {
    let mut pairs = vec![("HOLDFAST_SERVER".into(), global.server().to_string().into())];
    for (name, file) in [
        ("HOLDFAST_TOKEN_FILE", &global.token_file),
        ("HOLDFAST_TLS_CA", &global.tls_ca),
        ("HOLDFAST_TLS_CERT", &global.tls_cert),
        ("HOLDFAST_TLS_KEY", &global.tls_key),
    ] {
        if let Some(file) = file {
            let file = std::path::absolute(file)
                .map_err(|error| Failure::usage(format!("{} is no path", file.display())).because(&error))?;
            pairs.push((name.into(), file.into_os_string()));
        }
    }
    Ok(pairs)
}
