//! Who may use whom. DESIGN: cli, fuse-client, volume-plugin, runtime-shim -> client -> proto ->
//! core, and server -> proto -> core; the client never sees the server; nothing sees the tests.

use std::fs;

use super::tree::{File, files, has_word, report, root};

/// Package, its folder, and the packages of ours that it may name in its manifest.
const ARROWS: &[(&str, &str, &[&str])] = &[
    ("holdfast-core", "core", &[]),
    ("holdfast-archive", "archive", &["holdfast-core"]),
    ("holdfast-proto", "proto", &["holdfast-core"]),
    ("holdfast-client", "client", &["holdfast-core", "holdfast-proto"]),
    ("holdfast-server", "server", &["holdfast-core", "holdfast-archive", "holdfast-proto"]),
    ("holdfast-fuse", "fuse-client", &["holdfast-core", "holdfast-proto", "holdfast-client"]),
    ("holdfast-plugin", "volume-plugin", &["holdfast-core", "holdfast-proto", "holdfast-client", "holdfast-fuse"]),
    ("holdfast-runtime", "runtime-shim", &["holdfast-core", "holdfast-proto", "holdfast-client", "holdfast-plugin"]),
    (
        "holdfast-cli",
        "cli",
        &[
            "holdfast-core",
            "holdfast-archive",
            "holdfast-proto",
            "holdfast-client",
            "holdfast-fuse",
            "holdfast-plugin",
            "holdfast-runtime",
        ],
    ),
];

/// Whether a library may be named in this file.
type Allowed = fn(&str) -> bool;

/// A library, the only files that may name it, and why.
const CONFINED: &[(&str, Allowed, &str)] = &[
    (
        "fuser",
        |path| path == "tests/bench/memfs.rs",
        "the kernel side is our own; fuser is what it is measured against",
    ),
    ("rocksdb", |path| path.starts_with("server/src/meta/engine"), "engines stay behind the engine seam"),
    (
        "tonic",
        |path| !path.starts_with("core/") && !path.starts_with("fuse-client/src/fs"),
        "core and the file system know nothing of the wire",
    ),
    ("tokio", |path| !path.starts_with("core/"), "core is pure: no IO, no async"),
];

fn manifest(folder: &str) -> toml::Table {
    fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap().parse().unwrap()
}

#[test]
fn packages_depend_one_way() {
    let mut broken = Vec::new();
    for (package, folder, allowed) in ARROWS {
        let manifest = manifest(folder);
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for name in table.keys().filter(|name| name.starts_with("holdfast-")) {
                if !allowed.contains(&name.as_str()) {
                    broken.push(format!("{folder}/Cargo.toml [{section}]: {package} may not use {name}"));
                }
            }
        }
    }
    report("dependencies point one way", &broken);
}

#[test]
fn every_member_is_in_the_map() {
    let workspace = manifest(".");
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let unknown: Vec<String> = members
        .iter()
        .filter_map(toml::Value::as_str)
        .filter(|member| *member != "tests" && !ARROWS.iter().any(|(_, folder, _)| folder == member))
        .map(|member| format!("{member} has no line in ARROWS"))
        .collect();
    report("every package has its place", &unknown);
}

#[test]
fn versions_are_written_once() {
    let mut broken = Vec::new();
    for (_, folder, _) in ARROWS {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let manifest = manifest(folder);
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for (name, spec) in table {
                if spec.get("workspace").is_none() {
                    broken.push(format!("{folder}/Cargo.toml [{section}] {name}: use workspace = true"));
                }
            }
        }
    }
    report("versions stand in the root manifest", &broken);
}

#[test]
fn libraries_stay_behind_their_seams() {
    let mut broken = Vec::new();
    let ours = |file: &&File| file.is_rust() && !file.path.starts_with("tests/");
    for file in files().iter().filter(ours) {
        for (library, allowed, reason) in CONFINED {
            for (number, line) in file.code() {
                // A module of ours may have the library's name: only the head of a path counts.
                let line = line.replace(&format!("::{library}"), "");
                if has_word(&line, library) && !allowed(&file.path) {
                    broken.push(format!("{}:{number}: {library} ({reason})", file.path));
                }
            }
        }
    }
    report("libraries stay behind their seams", &broken);
}
