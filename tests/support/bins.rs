//! The programs under test, and the tools that the tests need.

use std::env;
use std::path::{Path, PathBuf};

/// A binary of this workspace, beside the test program: `target/release/NAME`.
///
/// # Panics
/// When it was not built; says how to.
#[must_use]
pub fn ours(name: &str) -> PathBuf {
    let folder = env::var_os("HOLDFAST_TEST_BINS").map_or_else(
        || {
            let exe = env::current_exe().unwrap_or_else(|error| panic!("no path of the test program: {error}"));
            exe.ancestors().nth(2).unwrap_or_else(|| Path::new("/")).to_owned()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not there: run `cargo build --release` first (make test does)", path.display());
    path
}

/// A tool in the search path, or in the cache that `make` fills (`HOLDFAST_TOOLS`).
///
/// # Panics
/// When it is not installed; says how to.
#[must_use]
pub fn tool(name: &str, install: &str) -> PathBuf {
    let cache = env::var_os("HOLDFAST_TOOLS").map(PathBuf::from).or_else(|| {
        let home = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
            .map(|at| at.join("holdfast/tools"))
    });
    let paths = env::var_os("PATH").unwrap_or_default();
    let found = cache.map(|cache| cache.join("bin")).into_iter().chain(env::split_paths(&paths));
    let found = found.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: run `{install}`"))
}
