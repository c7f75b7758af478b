//! A container's root file system: busybox under all its names, and some of this machine's own programs
//! with their libraries.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::needs::Tools;
use super::program::{SHORT, Verbosity, program, run};
use crate::failure::{During, Failure, Result};

/// Makes one.
///
/// # Errors
/// A file cannot be made, a library is not found.
pub(super) async fn make(root: &Path, tools: &Tools, verbosity: Verbosity) -> Result<()> {
    for directory in ["bin", "dev", "etc", "input", "proc", "sys", "tmp"] {
        let path = root.join(directory);
        fs::create_dir_all(&path).during(|| format!("make {}", path.display()))?;
    }
    copy(&tools.busybox, &root.join("bin/busybox"))?;
    let mut names = program(&tools.busybox);
    names.arg("--list");
    for name in run(names, SHORT, verbosity).await?.stdout.lines().filter(|name| *name != "busybox") {
        let path = root.join("bin").join(name);
        symlink("busybox", &path).during(|| format!("make {}", path.display()))?;
    }
    for tool in &tools.others {
        let name = tool.file_name().ok_or_else(|| Failure::new(format!("{} has no name", tool.display())))?;
        let place = root.join("bin").join(name);
        // Through busybox's name for it one would write over busybox.
        if place.is_symlink() {
            fs::remove_file(&place).during(|| format!("remove {}", place.display()))?;
        }
        copy(tool, &place)?;
        add_libraries(root, tool, verbosity).await?;
    }
    Ok(())
}

async fn add_libraries(root: &Path, tool: &Path, verbosity: Verbosity) -> Result<()> {
    let mut libraries = program("ldd");
    libraries.arg(tool);
    for library in libraries_in(&run(libraries, SHORT, verbosity).await?.stdout) {
        let inside = library.strip_prefix("/").map_err(|_| Failure::new(format!("ldd names {}", library.display())))?;
        copy(&library, &root.join(inside))?;
    }
    Ok(())
}

/// Puts a file into the container's `/input`.
///
/// # Errors
/// It cannot be copied.
pub(super) fn add_input(root: &Path, file: &Path) -> Result<()> {
    let name = file.file_name().ok_or_else(|| Failure::new(format!("{} has no name", file.display())))?;
    copy(file, &root.join("input").join(name))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(from, to));
    copied.map(drop).during(|| format!("copy {} to {}", from.display(), to.display()))
}

/// The files that ldd(1) names: `name => /path (address)` or `/path (address)`.
fn libraries_in(ldd: &str) -> Vec<PathBuf> {
    ldd.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_ldd_names() {
        let text = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\t/lib64/ld.so (0x7)\n";
        assert_eq!(libraries_in(text), [PathBuf::from("/lib/libc.so.6"), PathBuf::from("/lib64/ld.so")]);
    }
}
