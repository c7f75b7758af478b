//! pjdfstest: every case, with its counts, against the list of known failures (`known.txt`).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use holdfast_tests::bins;
use holdfast_tests::cluster::Cluster;
use holdfast_tests::command::run_limited;
use holdfast_tests::wait::Watchdog;

/// Cases of the suite's version that we install; fewer means that it did not run whole.
const CASES: usize = 398;
/// Those that may be skipped: one wants to know `LINK_MAX`, which the kernel does not tell of FUSE.
/// Only ever lower this.
const SKIPPED_MAX: usize = 1;

/// What the names of the cases have in common that remount.
const REMOUNTING: &str = "erofs";

const CONFIG: &str = r#"
[features]
posix_fallocate = {}
utimensat = {}
utime_now = {}
rename_ctime = {}
stat_st_birthtime = {}

[settings]
naptime = 0.01
allow_remount = REMOUNT

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

/// `known.txt`: case and reason.
fn known() -> BTreeMap<&'static str, &'static str> {
    let lines =
        include_str!("known.txt").lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or_else(|| panic!("no reason: {line}"))).collect()
}

#[test]
fn pjdfstest() {
    run_suite("pjdfstest", "");
}

#[test]
fn pjdfstest_on_an_exclusive_mount() {
    run_suite("pjdfstest alone", "exclusive");
}

fn run_suite(name: &str, options: &str) {
    let _watchdog = Watchdog::start(name, Duration::from_secs(580));
    let suite = bins::tool("pjdfstest", "cargo install pjdfstest --version 0.2.2 --locked");
    let cluster = Cluster::one_host();
    let _ = cluster.holdfast(&["volume", "create", "posix", "--allow-suid", "--allow-dev"]).ok();
    let mount = cluster.mount_with(0, "posix", options);
    let host = cluster.host(0);
    host.install_mount_helper();
    // The suite makes paths of the greatest length out of components; with some lengths of the
    // base path it computes one component of no length and fails by itself.
    let mut base = mount.inside.join("p");
    while (4095 - base.as_os_str().len()).is_multiple_of(127) {
        base.as_mut_os_string().push("p");
    }
    fs::create_dir(host.see(&base)).unwrap();
    fs::set_permissions(host.see(&base), fs::Permissions::from_mode(0o755)).unwrap();
    let second = host.dir("second");
    let _ = host.sh(&format!("mount -t tmpfs none {}", second.display())).ok();
    // Some cases leave files open for writing in the suite's own process, and then nothing can be
    // remounted read-only, on ext4 neither. So those that remount have a process of their own.
    let run = |remount: bool, pattern: Option<&str>| {
        let config = host.dir("config").join(format!("remount-{remount}.toml"));
        fs::write(&config, CONFIG.replace("REMOUNT", &remount.to_string())).unwrap();
        let mut command = host.command(&suite);
        command.arg("--configuration-file").arg(&config).arg("--path").arg(&base);
        command.arg("--secondary-fs").arg(&second).args(pattern);
        run_limited(command, Duration::from_secs(270)).text
    };
    let (all, remounting) = (run(false, None), run(true, Some(REMOUNTING)));
    judge(&format!("{all}\n{remounting}"));
}

/// One line a case: `name   ok|FAILED|skipped`, and a line of sums. Of a case that ran twice the later
/// result counts.
fn judge(text: &str) {
    let mut results: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with(char::is_whitespace)) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [name, result] = words[..]
            && name.contains("::")
        {
            results.insert(name, result);
        }
    }
    let count = |wanted: &str| results.values().filter(|result| **result == wanted).count();
    let (passed, skipped) = (count("ok"), count("skipped"));
    let failed: Vec<&str> =
        results.iter().filter(|(_, result)| !matches!(**result, "ok" | "skipped")).map(|(name, _)| *name).collect();
    eprintln!("pjdfstest: {passed} passed, {skipped} skipped, {} failed, of {}", failed.len(), results.len());
    assert_eq!(results.len(), CASES, "not every case ran:\n{text}");
    let known = known();
    let new: Vec<&&str> = failed.iter().filter(|name| !known.contains_key(**name)).collect();
    assert!(new.is_empty(), "cases fail that are not known to: {new:#?}\n{}", details(text, &new));
    let mended: Vec<&&str> = known.keys().filter(|name| results.get(**name) == Some(&"ok")).collect();
    assert!(mended.is_empty(), "these pass now, take them out of known.txt: {mended:#?}");
    let left_out: Vec<&&str> =
        results.iter().filter(|(_, result)| **result == "skipped").map(|(name, _)| name).collect();
    assert!(
        skipped <= SKIPPED_MAX,
        "{skipped} cases were skipped, at most {SKIPPED_MAX} may be:\n{}",
        details(text, &left_out)
    );
}

fn details(text: &str, names: &[&&str]) -> String {
    let mut shown = String::new();
    let mut on = false;
    for line in text.lines() {
        if !line.starts_with(char::is_whitespace) {
            on = names.iter().any(|name| line.starts_with(**name));
        }
        if on {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    shown
}

#[test]
fn the_list_of_known_failures_has_reasons() {
    for (case, reason) in known() {
        assert!(case.contains("::") && reason.len() > 10, "{case}: {reason:?} is no reason");
    }
}

#[test]
#[should_panic(expected = "not every case ran")]
fn a_suite_that_did_not_run_is_a_failure() {
    judge("chmod::enoent ok\n");
}
