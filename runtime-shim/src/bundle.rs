//! A container from a directory and a command, without an engine: builds a bundle, and runs it
//! through `holdfast-runtime` as an engine would.

mod container;
mod request;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use holdfast_core::error::{Error, ErrorKind, Result};

pub use request::{ContainerName, ContainerRequest, Cpus, Memory, Network, User};

use crate::supervise;

/// The environment variable that names the `holdfast-runtime` binary.
pub const PROGRAM_VARIABLE: &str = "HOLDFAST_RUNTIME";
/// Where to look for it when `PATH` is not set.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The `holdfast-runtime` program: what `HOLDFAST_RUNTIME` names, else beside this executable, else in `PATH`.
///
/// `variable` reads the environment.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is none.
pub fn find_program(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let usable =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if let Some(set) = variable(PROGRAM_VARIABLE).filter(|set| !set.is_empty()) {
        let missing = || {
            Error::new(ErrorKind::NotFound, format!("{PROGRAM_VARIABLE} names {}, which is no program", set.display()))
        };
        return Some(PathBuf::from(&set)).filter(usable).ok_or_else(missing);
    }
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("holdfast-runtime")));
    let path = variable("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
    let in_path = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("holdfast-runtime"));
    beside.into_iter().chain(in_path).find(usable).ok_or_else(|| {
        let message = format!(
            "cannot find the program 'holdfast-runtime', which starts containers; install it beside this one or in PATH, or set {PROGRAM_VARIABLE} to it"
        );
        Error::new(ErrorKind::NotFound, message)
    })
}

/// Runs a container to its end: its standard streams are ours, signals reach it, and nothing of it
/// is left afterwards.
///
/// `environment` is for the runtime and for the mounts that it makes, not for the container.
///
/// # Errors
/// What is wrong with the request, or why no bundle can be made. How the container ended, also
/// when it could not start, is the exit status.
pub fn run(program: &Path, request: &ContainerRequest, environment: &[(OsString, OsString)]) -> Result<ExitStatus> {
    let failed = |what: &'static str| move |error: std::io::Error| Error::new(ErrorKind::Internal, what).because(error);
    let bundle = tempfile::Builder::new().prefix("holdfast-").tempdir().map_err(failed("cannot make a bundle"))?;
    let id = match &request.name {
        Some(name) => name.to_string(),
        None => bundle.path().file_name().unwrap_or_default().to_string_lossy().replace('.', "_"),
    };
    let spec = container::spec(request, &id)?;
    spec.save(bundle.path().join("config.json"))
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot write the bundle").because(error))?;
    let mut command = Command::new(program);
    command.arg("run").arg("--bundle").arg(bundle.path()).arg(&id).envs(environment.iter().cloned());
    let status = supervise::run(&mut command)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("cannot run {}", program.display())).because(error))?;
    bundle.close().map_err(failed("cannot remove the bundle"))?;
    Ok(status)
}
