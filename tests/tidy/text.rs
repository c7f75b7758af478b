//! What files look like: length, headers, leftovers, unsafe.

use super::tree::{files, has_word, report};

/// Lines that no file may pass.
const LINES_MAX: usize = 1000;
/// Lines that a file should not pass.
const LINES_AIM: usize = 500;
/// How many files pass that today. Only ever lower this.
const FILES_OVER_AIM: usize = 0;
/// Rust files longer than this open with a `//!` header.
const HEADER_FROM: usize = 150;

/// The modules that may say `unsafe`, each with its reason.
const UNSAFE: &[(&str, &str)] = &[
    ("fuse-client/src/fuse/clone.rs", "the ioctl that adds a queue to a FUSE connection"),
    ("fuse-client/src/fuse/grow.rs", "nothing safe names memory that cannot be read"),
    ("fuse-client/src/fuse/sched.rs", "sched_setscheduler(2) has no safe wrapper"),
    ("proto/src/allocator.rs", "mallopt(3) has no safe wrapper"),
    ("runtime-shim/src/supervise/death.rs", "the parent-death signal is set between fork and exec"),
    ("server/src/segment/writeback.rs", "sync_file_range(2) has no safe wrapper"),
    ("volume-plugin/src/agent/kernel.rs", "fork and ioctl have no safe wrappers"),
    ("tests/differential/sys.rs", "system calls that nix does not wrap"),
    ("tests/simulate/determinism.rs", "it takes the place of three functions of libc"),
    ("tests/support/sys.rs", "system calls that nix does not wrap"),
];

#[test]
fn files_fit_the_reader() {
    let mut broken = Vec::new();
    let mut over = Vec::new();
    for file in files().iter().filter(|file| file.is_rust() || file.path.ends_with(".proto")) {
        let lines = file.lines().count();
        if lines > LINES_MAX {
            broken.push(format!("{}: {lines} lines, at most {LINES_MAX}", file.path));
        } else if lines > LINES_AIM {
            over.push(format!("{}: {lines} lines", file.path));
        }
    }
    if over.len() != FILES_OVER_AIM {
        broken.push(format!(
            "{} files over {LINES_AIM} lines, FILES_OVER_AIM is {FILES_OVER_AIM}: split what is new, or lower the figure\n  {}",
            over.len(),
            over.join("\n  ")
        ));
    }
    report("files fit the reader", &broken);
}

#[test]
fn long_files_open_with_a_header() {
    let broken: Vec<String> = files()
        .iter()
        .filter(|file| file.is_rust() && !file.is_test() || file.path.starts_with("tests/") && file.is_rust())
        .filter(|file| !file.path.ends_with("/tests.rs"))
        .filter(|file| file.lines().count() > HEADER_FROM && !file.text.starts_with("//!"))
        .map(|file| file.path.clone())
        .collect();
    report("files over 150 lines say what they are (//!)", &broken);
}

#[test]
fn nothing_is_left_over() {
    // Written in parts, so that this file does not find itself.
    let leftovers = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")];
    let calls = [concat!("todo", "!"), concat!("unimplemented", "!"), concat!("dbg", "!")];
    let mut broken = Vec::new();
    for file in files() {
        for (number, line) in file.lines() {
            let marker = leftovers.iter().find(|marker| has_word(line, marker));
            let call = calls.iter().find(|call| file.is_rust() && line.contains(*call));
            if let Some(found) = marker.or(call) {
                broken.push(format!("{}:{number}: {found}", file.path));
            }
        }
    }
    report("nothing is left over", &broken);
}

#[test]
fn unsafe_stays_in_its_modules() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        if UNSAFE.iter().any(|(path, _)| file.path == *path) {
            continue;
        }
        let uses = file.code().into_iter().filter(|(_, line)| has_word(line, "unsafe"));
        broken.extend(uses.map(|(number, _)| format!("{}:{number}", file.path)));
    }
    report("unsafe stays in the modules of the list", &broken);
    for (path, _) in UNSAFE {
        assert!(files().iter().any(|file| file.path == *path), "{path} is gone: take it off the list");
    }
}

#[test]
fn modules_have_one_shape() {
    let broken: Vec<String> = files()
        .iter()
        .filter(|file| file.path.ends_with("/mod.rs"))
        .map(|file| format!("{}: use name.rs and name/", file.path))
        .collect();
    report("no mod.rs", &broken);
}

#[test]
fn lints_are_expected_not_allowed() {
    let marker = concat!("allow", "(");
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        let uses = file
            .code()
            .into_iter()
            .filter(|(_, line)| line.contains(&format!("#[{marker}")) || line.contains(&format!("#![{marker}")));
        broken.extend(uses.map(|(number, _)| format!("{}:{number}", file.path)));
    }
    report("#[expect(.., reason = ..)] instead of an allow", &broken);
}

#[test]
fn the_tree_knows_no_machine() {
    // In parts again.
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home", "/")];
    let hosts = [concat!("replace-", "with"), concat!("artifact", "ory"), concat!("jfr", "og")];
    let mut broken = Vec::new();
    for file in files() {
        for (number, line) in file.lines() {
            if let Some(found) = paths.iter().chain(&hosts).find(|text| line.contains(*text)) {
                broken.push(format!("{}:{number}: {found}", file.path));
            }
        }
    }
    let lock = std::fs::read_to_string(super::tree::root().join("Cargo.lock")).unwrap();
    let foreign = lock
        .lines()
        .filter(|line| line.starts_with("source = ") && !line.contains("github.com/rust-lang/crates.io-index"));
    broken.extend(foreign.map(|line| format!("Cargo.lock: {line}")));
    report("no path or host of one machine", &broken);
}

#[test]
fn every_call_of_the_wire_is_documented() {
    let mut broken = Vec::new();
    let mut calls = 0;
    for file in files().iter().filter(|file| file.path.ends_with(".proto")) {
        let mut before = "";
        for (number, line) in file.lines() {
            if line.trim_start().starts_with("rpc ") {
                calls += 1;
                if !before.trim_start().starts_with("//") {
                    broken.push(format!("{}:{number}: {}", file.path, line.trim()));
                }
            }
            before = line;
        }
    }
    assert!(calls > 10, "only {calls} calls found");
    report("every rpc has a comment with its errors", &broken);
}
