#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::*;

fn init_args(dir: &Path, names: &[&str]) -> InitArgs {
    InitArgs {
        place: Place { dir: dir.to_owned(), days: 30 },
        server_name: names.iter().map(|name| (*name).to_owned()).collect(),
        client_name: "client".into(),
        ca_days: 60,
    }
}

#[test]
fn files_that_tls_libraries_accept_and_nobody_else_reads() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("deep/tls");
    let made = init(&init_args(&tls, &["localhost", "10.0.0.5"])).unwrap();
    assert_eq!(made.files.len(), 6);
    for file in &made.files {
        let mode = fs::metadata(&file.path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if file.secret { 0o600 } else { 0o644 }, "{}", file.path.display());
    }
    let client = ClientArgs { name: "web-1".into(), place: Place { dir: tls.clone(), days: 30 } };
    super::client(&client).unwrap();
    for leaf in ["server.pem", "client.pem", "web-1.pem"] {
        let verified =
            Command::new("openssl").arg("verify").arg("-CAfile").arg(tls.join("ca.pem")).arg(tls.join(leaf)).output();
        let verified = verified.unwrap();
        assert!(verified.status.success(), "{leaf}: {}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[test]
fn nothing_is_written_over_and_a_failed_try_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("client.pem"), "mine").unwrap();
    let failure = init(&init_args(dir.path(), &["a"])).unwrap_err();
    assert!(failure.message().contains("client.pem"), "{failure:?}");
    assert!(failure.next_step().is_some());
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["client.pem"]);
    assert_eq!(fs::read_to_string(dir.path().join("client.pem")).unwrap(), "mine");
}

#[test]
fn a_client_needs_an_authority() {
    let dir = tempfile::tempdir().unwrap();
    let args = ClientArgs { name: "web-1".into(), place: Place { dir: dir.path().to_owned(), days: 1 } };
    let failure = client(&args).unwrap_err();
    assert!(failure.message().contains("ca.pem") && failure.next_step().is_some(), "{failure:?}");
}

#[test]
fn a_wrong_name_makes_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("tls");
    assert!(init(&init_args(&tls, &["a b"])).unwrap_err().is_usage());
    assert!(!tls.exists());
}
