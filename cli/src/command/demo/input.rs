//! Real input: a source tree made of what this machine has, and what the local disk says of it.
//!
//! Everything that the containers' answers are compared with is computed here, on the local disk,
//! by other programs than the containers'.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;

use super::program::{LONG, Verbosity, program, run};
use crate::failure::{During, Failure, Result};

/// Largest file that is taken, and all of them together, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
const TOTAL_BYTES_MAX: u64 = 512 << 20;
/// Most directories that are looked into.
const DIRECTORIES_MAX: usize = 200_000;

/// Type, permissions, owner, links, size, time, name and target of everything below, as text in a
/// fixed order; of directories not links and size, which file systems count each in its own way.
pub(super) const LISTING: &str = "/bin/find . \\( -type d -printf '%M %U:%G %T@ %p\\n' -o \
    -printf '%M %U:%G %n %s %T@ %p -> %l\\n' \\) | LC_ALL=C sort";

/// The input, and its truth.
#[derive(Debug)]
pub(super) struct Input {
    /// The tree, packed.
    pub(super) archive: PathBuf,
    /// `sha256sum` of every file.
    pub(super) manifest: PathBuf,
    /// [`LISTING`] of the tree.
    pub(super) listing: String,
    /// Regular files.
    pub(super) files: u64,
    /// Bytes in them.
    pub(super) bytes: u64,
    /// Where they come from.
    pub(super) origins: Vec<String>,
    /// How long the local disk takes to unpack it.
    pub(super) local_unpack: Duration,
}

/// A file or symbolic link, relative to its root.
#[derive(Debug)]
struct Chosen {
    root: PathBuf,
    names: Vec<PathBuf>,
    files: u64,
    bytes: u64,
}

/// Makes the input below `scratch`.
///
/// # Errors
/// Too little is found on this machine; a program fails.
pub(super) async fn make(scratch: &Path, wanted: u64, verbosity: Verbosity) -> Result<Input> {
    let chosen = choose(&roots(), wanted);
    let files: u64 = chosen.iter().map(|part| part.files).sum();
    if files < wanted {
        return Err(Failure::new(format!("only {files} of {wanted} source files were found on this machine"))
            .hint("ask for fewer with --files N, or install some sources: apt-get install libc6-dev"));
    }
    let tree = scratch.join("source");
    for (index, part) in chosen.iter().enumerate() {
        gather(part, &tree.join(format!("part-{index}")), scratch, verbosity).await?;
    }
    let archive = scratch.join("source.tar");
    let mut tar = program("tar");
    // This format keeps times to the nanosecond.
    tar.args(["--create", "--format=posix", "--pax-option=delete=atime,delete=ctime", "--sort=name"]);
    tar.args(["--numeric-owner", "--file"]).arg(&archive);
    tar.arg("--directory").arg(&tree).arg(".");
    run(tar, LONG, verbosity).await?;
    let manifest = scratch.join("manifest");
    let mut hashes = program("sh");
    hashes.args(["-c", "cd \"$1\" && find . -type f -print0 | sort -z | xargs -0 sha256sum > \"$2\"", "sh"]);
    hashes.arg(&tree).arg(&manifest);
    run(hashes, LONG, verbosity).await?;
    let hashed = fs::read_to_string(&manifest).during(|| format!("read {}", manifest.display()))?.lines().count();
    if hashed as u64 != files {
        return Err(Failure::new(format!("{files} files were chosen and {hashed} packed; did they change meanwhile?")));
    }
    let local_unpack = unpack_locally(scratch, &archive, verbosity).await?;
    Ok(Input {
        listing: list(&tree, verbosity).await?,
        archive,
        manifest,
        files,
        bytes: chosen.iter().map(|part| part.bytes).sum(),
        origins: chosen.iter().map(|part| part.root.display().to_string()).collect(),
        local_unpack,
    })
}

/// Where source files are found, the best first.
fn roots() -> Vec<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cargo = set("CARGO_HOME").or_else(|| Some(set("HOME")?.join(".cargo")));
    [PathBuf::from("/usr/include")]
        .into_iter()
        .chain(cargo.map(|cargo| cargo.join("registry/src")))
        .chain(["/usr/lib/python3", "/usr/share/doc", "/usr/share", "/usr/lib"].map(PathBuf::from))
        .collect()
}

/// Files from the roots in turn, at most half of what is wanted from the first, so that the tree is
/// mixed; the rest until there are enough.
fn choose(roots: &[PathBuf], wanted: u64) -> Vec<Chosen> {
    let (mut chosen, mut files, mut bytes) = (Vec::new(), 0, 0);
    for (index, root) in roots.iter().enumerate() {
        if files >= wanted || roots[..index].iter().any(|before| root.starts_with(before)) {
            continue;
        }
        let share = if index == 0 { wanted.div_ceil(2) } else { wanted - files };
        let part = walk(root, share, TOTAL_BYTES_MAX - bytes);
        files += part.files;
        bytes += part.bytes;
        if part.files > 0 {
            chosen.push(part);
        }
    }
    chosen
}

/// Regular files and symbolic links below a root, directory by directory in order of names.
fn walk(root: &Path, wanted: u64, bytes_max: u64) -> Chosen {
    let mut chosen = Chosen { root: root.to_owned(), names: Vec::new(), files: 0, bytes: 0 };
    let (mut waiting, mut visited) = (vec![root.to_owned()], 0);
    while let Some(directory) = waiting.pop() {
        visited += 1;
        if chosen.files >= wanted || visited > DIRECTORIES_MAX {
            break;
        }
        // What cannot be read is no source for us.
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort_unstable_by(|one, other| other.cmp(one));
        for path in entries {
            let (Ok(about), Ok(name)) = (fs::symlink_metadata(&path), path.strip_prefix(root)) else { continue };
            if !plain(name) {
                continue;
            }
            if about.is_dir() {
                waiting.push(path);
            } else if about.is_symlink() {
                chosen.names.push(name.to_owned());
            } else if about.is_file() && about.len() <= FILE_BYTES_MAX && chosen.bytes + about.len() <= bytes_max {
                if chosen.files >= wanted {
                    continue;
                }
                chosen.names.push(name.to_owned());
                chosen.files += 1;
                chosen.bytes += about.len();
            }
        }
    }
    chosen
}

/// `sha256sum` escapes other names, and the two sides' programs do so differently.
fn plain(name: &Path) -> bool {
    name.to_str()
        .is_some_and(|name| name.bytes().all(|byte| (byte.is_ascii_graphic() || byte == b' ') && byte != b'\\'))
}

/// Copies the chosen files, with their owners, permissions and times, through tar.
async fn gather(part: &Chosen, to: &Path, scratch: &Path, verbosity: Verbosity) -> Result<()> {
    fs::create_dir_all(to).during(|| format!("make {}", to.display()))?;
    let list = scratch.join("list");
    let names: Vec<u8> =
        part.names.iter().flat_map(|name| name.as_os_str().as_encoded_bytes().iter().copied().chain([0])).collect();
    fs::write(&list, names).during(|| format!("write {}", list.display()))?;
    let packed = scratch.join("part.tar");
    let mut pack = program("tar");
    pack.args(["--create", "--no-recursion", "--numeric-owner", "--null", "--file"]).arg(&packed);
    pack.arg("--directory").arg(&part.root).arg("--files-from").arg(&list);
    run(pack, LONG, verbosity).await?;
    let mut unpack = program("tar");
    unpack.args(["--extract", "--numeric-owner", "--preserve-permissions", "--file"]).arg(&packed);
    unpack.arg("--directory").arg(to);
    run(unpack, LONG, verbosity).await?;
    fs::remove_file(&packed).during(|| format!("remove {}", packed.display()))
}

/// The same program as in the container, on the local disk, to compare times.
async fn unpack_locally(scratch: &Path, archive: &Path, verbosity: Verbosity) -> Result<Duration> {
    let to = scratch.join("unpacked");
    fs::create_dir_all(&to).during(|| format!("make {}", to.display()))?;
    let mut tar = program("tar");
    tar.arg("-xf").arg(archive).arg("-C").arg(&to);
    let took = run(tar, LONG, verbosity).await?.took;
    fs::remove_dir_all(&to).during(|| format!("remove {}", to.display()))?;
    Ok(took)
}

/// [`LISTING`] on the local disk.
async fn list(tree: &Path, verbosity: Verbosity) -> Result<String> {
    let mut shell = program("sh");
    shell.arg("-c").arg(LISTING).current_dir(tree);
    Ok(run(shell, LONG, verbosity).await?.stdout)
}

/// Permissions of directories that we make for containers.
pub(super) fn usual_umask() {
    // The demo's own files and the container's must not depend on who starts it.
    let _before = nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
}
