#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::symlink;

use super::*;

fn volume(server: &str, volume: &str) -> RemoteVolume {
    RemoteVolume { server: server.parse().unwrap(), volume: volume.parse().unwrap() }
}

#[test]
fn ids_differ_when_anything_differs() {
    let one = MountId::of(&volume("h:1", "v"), false);
    assert_eq!(one, MountId::of(&volume("h:1", "v"), false));
    assert_eq!(one.to_string().len(), 32);
    for other in [
        MountId::of(&volume("h:1", "v"), true),
        MountId::of(&volume("h:1", "w"), false),
        MountId::of(&volume("h:11", "v"), false),
        MountId::of(&volume("h", "1v"), false),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn the_run_directory_is_made_private() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let run = RunDir::open(&dir.path().join("a/run")).unwrap();
    assert_eq!((mode(run.path()), mode(run.path().parent().unwrap())), (0o700, 0o700));
    assert!(run.path().join("mounts").is_dir());
    // A mount's process may have made the directory before, for everybody to read.
    let open = dir.path().join("open");
    fs::create_dir_all(open.join("agent")).unwrap();
    fs::set_permissions(open.join("agent"), fs::Permissions::from_mode(0o755)).unwrap();
    let run = RunDir::open(&open).unwrap();
    assert_eq!((mode(&open.join("agent")), mode(&open)), (0o700, 0o755));
    assert!(run.path().starts_with(fs::canonicalize(&open).unwrap()));
}

#[test]
fn a_run_directory_of_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(RunDir::open(&open).unwrap_err().kind(), ErrorKind::Denied);

    symlink(dir.path(), dir.path().join("link")).unwrap();
    assert_eq!(RunDir::open(&dir.path().join("link")).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(RunDir::open(Path::new("run")).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn the_environment_chooses() {
    let with = |pairs: &'static [(&str, &str)]| {
        RunDir::choose(move |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| PathBuf::from(pair.1)))
    };
    assert_eq!(with(&[("HOLDFAST_RUN_DIR", "/x")]), Path::new("/x"));
    if Uid::effective().is_root() {
        assert_eq!(with(&[("HOLDFAST_RUN_DIR", ""), ("XDG_RUNTIME_DIR", "/u")]), Path::new(RUN_DIR_DEFAULT));
    }
}
