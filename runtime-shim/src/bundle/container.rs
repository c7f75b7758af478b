//! The specification of a container that nobody wrote one for.
//!
//! Pure but for looking at the root directory. Its volumes are mounts of type `holdfast`, which the
//! runtime replaces.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use holdfast_core::error::{Error, ErrorKind, Result};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, Linux, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxCpuBuilder,
    LinuxDeviceCgroupBuilder, LinuxMemoryBuilder, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResources,
    LinuxResourcesBuilder, Mount, MountBuilder, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
    get_default_maskedpaths, get_default_mounts, get_default_readonly_paths,
};

use super::request::{ContainerRequest, Cpus, Network};
use crate::spec::{MOUNT_TYPE, VolumeArgument};

/// Longest host name, in bytes (Linux `__NEW_UTS_LEN`).
const HOSTNAME_BYTES_MAX: usize = 64;
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a root user in a container may do: enough to install packages and unpack archives, nothing
/// that reaches the host. The same set that container engines grant.
const CAPABILITIES: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// The specification of the container `id`.
///
/// # Errors
/// [`ErrorKind::Invalid`], naming what of the request is wrong.
pub(super) fn spec(request: &ContainerRequest, id: &str) -> Result<Spec> {
    let rootfs = rootfs(request)?;
    let hostname = match &request.hostname {
        Some(name) => checked_hostname(name)?.to_owned(),
        None => id.chars().take(HOSTNAME_BYTES_MAX).collect(),
    };
    check_texts(request)?;
    build(request, id, rootfs, hostname)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot make the container's specification").because(error))
}

fn rootfs(request: &ContainerRequest) -> Result<PathBuf> {
    let shown = request.rootfs.display();
    let path = fs::canonicalize(&request.rootfs)
        .map_err(|error| invalid(format!("cannot use root directory {shown}")).because(error))?;
    if !path.is_dir() {
        return Err(invalid(format!("root directory {shown} is no directory")));
    }
    if path.parent().is_none() {
        return Err(invalid("the host's own root cannot be a container's; unpack an image into a directory".into()));
    }
    Ok(path)
}

fn checked_hostname(name: &str) -> Result<&str> {
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    if name.len() <= HOSTNAME_BYTES_MAX && name.split('.').all(label) {
        return Ok(name);
    }
    Err(invalid(format!(
        "a host name has 1 to {HOSTNAME_BYTES_MAX} letters, digits, '-' and '.', and no '-' at an end"
    )))
}

/// What ends up in exec(2): no NUL, names before values.
fn check_texts(request: &ContainerRequest) -> Result<()> {
    match request.command.first() {
        None => return Err(invalid("a container needs a command; write it after --".into())),
        Some(program) if program.is_empty() => return Err(invalid("the name of the command is empty".into())),
        Some(_) => {}
    }
    if !request.workdir.is_absolute() {
        return Err(invalid("the working directory of a container is an absolute path".into()));
    }
    if request.command.iter().chain(&request.environment).any(|text| text.contains('\0')) {
        return Err(invalid("an argument or variable contains a NUL byte".into()));
    }
    match request.environment.iter().find(|pair| pair.find('=').is_none_or(|at| at == 0)) {
        Some(pair) => {
            let pair: String = pair.chars().take(80).collect();
            Err(invalid(format!("variable {pair:?} is not written as NAME=VALUE")))
        }
        None => Ok(()),
    }
}

fn build(
    request: &ContainerRequest,
    id: &str,
    rootfs: PathBuf,
    hostname: String,
) -> std::result::Result<Spec, OciSpecError> {
    let mut mounts = get_default_mounts();
    let mut volumes: Vec<&VolumeArgument> = request.volumes.iter().collect();
    // A volume inside another one's directory comes after it.
    volumes.sort_by_key(|volume| volume.destination.as_str());
    for volume in volumes {
        mounts.push(volume_mount(volume, request)?);
    }
    SpecBuilder::default()
        .version("1.0.2")
        .root(RootBuilder::default().path(rootfs).readonly(request.read_only).build()?)
        .hostname(hostname)
        .mounts(mounts)
        .process(process(request)?)
        .linux(linux(request, id)?)
        .build()
}

fn volume_mount(argument: &VolumeArgument, request: &ContainerRequest) -> std::result::Result<Mount, OciSpecError> {
    let volume = &argument.volume;
    let server = volume.server.as_ref().unwrap_or(&request.server);
    let subdir = volume.subdir.as_ref().map_or(String::new(), |subdir| format!("/{}", subdir.as_str()));
    MountBuilder::default()
        .destination(argument.destination.as_str())
        .typ(MOUNT_TYPE)
        .source(format!("{server}/{}{subdir}", volume.volume))
        .options(vec![if argument.read_only { "ro".to_owned() } else { "rw".to_owned() }])
        .build()
}

fn process(request: &ContainerRequest) -> std::result::Result<Process, OciSpecError> {
    let mut environment = vec![PATH.to_owned()];
    if request.terminal {
        environment.push("TERM=xterm".to_owned());
    }
    // The last of two settings is the one that counts in most programs, but not in all.
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    for pair in &request.environment {
        environment.retain(|other| name(other) != name(pair));
        environment.push(pair.clone());
    }
    ProcessBuilder::default()
        .terminal(request.terminal)
        .user(UserBuilder::default().uid(request.user.uid).gid(request.user.gid).build()?)
        .args(request.command.clone())
        .env(environment)
        .cwd(request.workdir.as_path())
        .capabilities(capabilities(request)?)
        .rlimits(Vec::new())
        .no_new_privileges(true)
        .build()
}

/// A user other than root has none of them: they only bound what can be had.
fn capabilities(request: &ContainerRequest) -> std::result::Result<LinuxCapabilities, OciSpecError> {
    let all: HashSet<Capability> = CAPABILITIES.into_iter().collect();
    let own = if request.user.uid == 0 { all.clone() } else { HashSet::new() };
    LinuxCapabilitiesBuilder::default()
        .bounding(all)
        .effective(own.clone())
        .permitted(own)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()
}

fn linux(request: &ContainerRequest, id: &str) -> std::result::Result<Linux, OciSpecError> {
    let mut namespaces = Vec::new();
    for kind in [
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Cgroup,
    ] {
        namespaces.push(LinuxNamespaceBuilder::default().typ(kind).build()?);
    }
    let network = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network);
    match &request.network {
        Network::Host => {}
        Network::None => namespaces.push(network.build()?),
        Network::Namespace(path) => namespaces.push(network.path(path).build()?),
    }
    LinuxBuilder::default()
        .namespaces(namespaces)
        .resources(resources(request)?)
        .cgroups_path(format!("/holdfast/{id}"))
        .masked_paths(get_default_maskedpaths())
        .readonly_paths(get_default_readonly_paths())
        .build()
}

fn resources(request: &ContainerRequest) -> std::result::Result<LinuxResources, OciSpecError> {
    let deny = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build()?;
    let mut resources = LinuxResourcesBuilder::default().devices(vec![deny]);
    if let Some(memory) = request.memory {
        resources = resources.memory(LinuxMemoryBuilder::default().limit(memory.bytes()).build()?);
    }
    if let Some(cpus) = request.cpus {
        let cpu = LinuxCpuBuilder::default().period(Cpus::PERIOD_MICROS).quota(cpus.quota_micros()).build()?;
        resources = resources.cpu(cpu);
    }
    resources.build()
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;
