//! What the demo needs of the machine, checked before anything is made.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{During, Failure, Result};

/// Programs that the demo runs, by what they are called and the Debian package they come in.
const PROGRAMS: [(&str, &str); 10] = [
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("flock", "util-linux"),
    ("tar", "tar"),
    ("find", "findutils"),
    ("sha256sum", "coreutils"),
    ("ldd", "libc-bin"),
    ("busybox", "busybox-static"),
];

/// Where the programs of this machine are.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    /// This program.
    pub(super) holdfast: PathBuf,
    /// The server, beside this program.
    pub(super) holdfastd: PathBuf,
    /// The containers' whole user land.
    pub(super) busybox: PathBuf,
    /// Programs that go into the containers beside busybox: flock(1), which Debian's busybox lacks,
    /// and tar(1) and find(1), which restore and tell more. They are called by their paths, since
    /// the shell of busybox prefers its own.
    pub(super) others: [PathBuf; 3],
}

/// Finds everything.
///
/// # Errors
/// Names all that is missing at once, and how to get it.
pub(super) fn check() -> Result<Tools> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new("the demo makes name spaces, mounts and containers, which takes root")
            .hint("run it as root: sudo holdfast demo"));
    }
    if !Path::new("/dev/fuse").exists() {
        return Err(Failure::new("there is no /dev/fuse on this machine, so nothing can be mounted")
            .hint("load the kernel module with `modprobe fuse`; in a container, start it with --device /dev/fuse"));
    }
    let missing: Vec<(&str, &str)> = PROGRAMS.into_iter().filter(|(program, _)| find(program).is_none()).collect();
    let runtime_missing = find("runc").is_none() && find("crun").is_none();
    if !missing.is_empty() || runtime_missing {
        let runtime = runtime_missing.then_some(("runc", "runc"));
        let (programs, mut packages): (Vec<_>, Vec<_>) = missing.into_iter().chain(runtime).unzip();
        packages.dedup();
        return Err(Failure::new(format!("missing on this machine: {}", programs.join(", ")))
            .hint(format!("apt-get install {}", packages.join(" "))));
    }
    let found = |program: &str| find(program).ok_or_else(|| Failure::new(format!("{program} went away")));
    let busybox = found("busybox")?;
    check_static(&busybox)?;
    let holdfast = env::current_exe().during(|| "find this program's own file".into())?;
    let beside = |name: &str| {
        let path = holdfast.with_file_name(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(Failure::new(format!("{name} is not beside {}", holdfast.display()))
            .hint("build or install all of Holdfast: `make build` or `make install`"))
    };
    beside("holdfast-runtime")?;
    Ok(Tools {
        holdfastd: beside("holdfastd")?,
        others: [found("flock")?, found("tar")?, found("find")?],
        busybox,
        holdfast: holdfast.clone(),
    })
}

/// The file of a program, as a shell with the administrator's directories would find it.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// A container has no libraries for it: ldd(1) succeeds only for programs that need some.
fn check_static(busybox: &Path) -> Result<()> {
    let ldd = Command::new("ldd").arg(busybox).output().during(|| "run ldd".into())?;
    if ldd.status.success() {
        return Err(Failure::new(format!("{} needs libraries, and containers have none", busybox.display()))
            .hint("apt-get install busybox-static"));
    }
    Ok(())
}
