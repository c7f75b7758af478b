#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::symlink;
use std::sync::atomic::Ordering;
use std::thread;

use nix::mount::{MsFlags, mount};

use super::super::fixture::{Host, acquire, private_mounts, reference, volume};
use super::super::mountinfo;
use super::*;

fn release(id: &str) -> Release {
    Release { reference: reference(id) }
}

#[test]
fn one_mount_for_all_and_none_for_nobody() {
    let host = Host::new();
    let registry = host.registry();
    let first = registry.acquire(&acquire("v", None, "a")).unwrap();
    let second = registry.acquire(&acquire("v", None, "b")).unwrap();
    assert_eq!(first, second);
    assert!(first.created && first.nosuid && !first.nodev);
    assert_eq!(host.fake.mounts.load(Ordering::Relaxed), 1);
    assert!(registry.holds(&reference("a")).unwrap() && !registry.holds(&reference("c")).unwrap());

    assert_eq!(registry.release(&release("a")).unwrap(), Released { released: 1, unmounted: 0 });
    assert!(mountinfo::at(&first.path).unwrap().is_some());
    assert_eq!(registry.release(&release("b")).unwrap(), Released { released: 1, unmounted: 1 });
    assert_eq!(mountinfo::at(&first.path).unwrap(), None);
    assert_eq!(host.remains(), [""; 0]);
    assert_eq!(registry.release(&release("b")).unwrap(), Released::default());
}

#[test]
fn asking_again_changes_nothing() {
    let host = Host::new();
    let registry = host.registry();
    let first = registry.acquire(&acquire("v", None, "a")).unwrap();
    let again = registry.acquire(&acquire("v", None, "a")).unwrap();
    assert_eq!((again.path, again.created), (first.path, false));
    assert_eq!(registry.release(&release("a")).unwrap(), Released { released: 1, unmounted: 1 });
}

#[test]
fn volumes_and_access_are_kept_apart() {
    let host = Host::new();
    let registry = host.registry();
    let mut read_only = acquire("v", None, "a");
    read_only.read_only = true;
    let paths = [acquire("v", None, "a"), read_only, acquire("w", None, "a")].map(|request| {
        let path = registry.acquire(&request).unwrap().path;
        assert_eq!(fs::write(path.join("x"), "x").is_err(), request.read_only);
        path
    });
    assert_eq!(paths.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    assert_eq!(registry.list().unwrap().len(), 3);
    assert_eq!(registry.release(&release("a")).unwrap(), Released { released: 3, unmounted: 3 });
    assert_eq!(host.remains(), [""; 0]);
}

#[test]
fn a_dead_mount_is_replaced() {
    let host = Host::new();
    let registry = host.registry();
    let path = registry.acquire(&acquire("v", None, "a")).unwrap().path;
    host.fake.dead.lock().unwrap().insert(path.clone());
    assert_eq!(registry.acquire(&acquire("v", None, "b")).unwrap().path, path);
    assert_eq!(host.fake.mounts.load(Ordering::Relaxed), 2);
    // One that died is let go without asking it to write back.
    host.fake.dead.lock().unwrap().insert(path.clone());
    registry.release(&release("a")).unwrap();
    assert_eq!(registry.release(&release("b")).unwrap().unmounted, 1);
    assert_eq!(host.fake.unmounts.load(Ordering::Relaxed), 0);
    assert_eq!(host.remains(), [""; 0]);
}

#[test]
fn what_is_foreign_is_left_alone() {
    let host = Host::new();
    let registry = host.registry();
    let target = host.run_dir().mount_point(MountId::of(&volume("v"), false));
    fs::create_dir(&target).unwrap();
    mount(Some("other"), &target, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    fs::write(target.join("x"), "kept").unwrap();
    let error = registry.acquire(&acquire("v", None, "a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "kept");
    assert!(!registry.holds(&reference("a")).unwrap());
}

#[test]
fn a_failed_mount_leaves_nothing() {
    let host = Host::new();
    let registry = host.registry();
    host.fake.fails.store(true, Ordering::Relaxed);
    let error = registry.acquire(&acquire("v", None, "a")).unwrap_err();
    assert_eq!(error.message(), "told to fail");
    assert_eq!(host.remains(), [""; 0]);
    host.fake.fails.store(false, Ordering::Relaxed);
    registry.acquire(&acquire("v", None, "a")).unwrap();
}

#[test]
fn a_busy_mount_stays_for_the_next() {
    let host = Host::new();
    let registry = host.registry();
    let path = registry.acquire(&acquire("v", None, "a")).unwrap().path;
    host.fake.busy.store(true, Ordering::Relaxed);
    assert_eq!(registry.release(&release("a")).unwrap_err().kind(), ErrorKind::InUse);
    assert!(!registry.holds(&reference("a")).unwrap());
    let report = registry.list().unwrap();
    assert!(report[0].references.is_empty() && matches!(report[0].state, MountState::Live(_)));

    assert_eq!(registry.acquire(&acquire("v", None, "b")).unwrap().path, path);
    assert_eq!(host.fake.mounts.load(Ordering::Relaxed), 1);
    registry.release(&release("b")).unwrap_err();
    host.fake.busy.store(false, Ordering::Relaxed);
    assert_eq!(registry.sweep().unwrap(), Released { released: 0, unmounted: 1 });
    assert_eq!(host.remains(), [""; 0]);
}

#[test]
fn after_a_crash_the_next_request_mends() {
    let host = Host::new();
    let registry = host.registry();
    // Died after the record, before the mount.
    let records = Records::at(host.run_dir().state(MountId::of(&volume("v"), false)));
    records.begin(&volume("v"), false).unwrap();
    let mut record = Reference::new(reference("a"), None);
    record.add(None);
    records.put(&record).unwrap();
    let again = registry.acquire(&acquire("v", None, "a")).unwrap();
    assert!(!again.created && mountinfo::at(&again.path).unwrap().is_some());
    // Died after the record was removed, before the unmount.
    records.remove(&reference("a")).unwrap();
    assert_eq!(registry.sweep().unwrap(), Released { released: 0, unmounted: 1 });
    assert_eq!(host.remains(), [""; 0]);
}

#[test]
fn who_is_gone_is_swept() {
    let host = Host::new();
    let registry = host.registry();
    let witness = host.dir.path().join("witness");
    let mut gone = acquire("v", None, "gone");
    gone.witness = Some(witness.clone());
    let mut waiting = acquire("v", None, "waiting");
    waiting.witness = Some(witness);
    registry.acquire(&gone).unwrap();
    registry.acquire(&waiting).unwrap();
    registry.acquire(&acquire("v", None, "no witness")).unwrap();
    // The process that asked is this one: alive, so nobody is stale yet.
    assert_eq!(registry.sweep().unwrap(), Released::default());

    let records = Records::at(host.run_dir().state(MountId::of(&volume("v"), false)));
    let mut record = records.get(&reference("gone")).unwrap().unwrap();
    record.holder.1 += 1; // a process of that number, but another one
    records.put(&record).unwrap();
    let stale: Vec<String> = registry.list().unwrap()[0]
        .references
        .iter()
        .filter(|reference| reference.stale)
        .map(|reference| reference.id.to_string())
        .collect();
    assert_eq!(stale, ["gone"]);
    assert_eq!(registry.sweep().unwrap(), Released { released: 1, unmounted: 0 });
}

#[test]
fn a_damaged_record_is_told_and_still_counts() {
    let host = Host::new();
    let registry = host.registry();
    registry.acquire(&acquire("v", None, "a")).unwrap();
    let record = host
        .run_dir()
        .state(MountId::of(&volume("v"), false))
        .join(format!("refs/{}.json", reference_name(&reference("a"))));
    for (text, kind) in [("{", ErrorKind::Damaged), ("{\"version\":2}", ErrorKind::Version)] {
        fs::write(&record, text).unwrap();
        assert_eq!(registry.acquire(&acquire("v", None, "a")).unwrap_err().kind(), kind);
        assert_eq!(registry.list().unwrap_err().kind(), kind);
    }
    assert_eq!(registry.release(&release("a")).unwrap(), Released { released: 1, unmounted: 1 });
}

#[test]
fn a_directory_of_a_volume() {
    let host = Host::new();
    let registry = host.registry();
    let whole = registry.acquire(&acquire("v", None, "keeper")).unwrap().path;
    fs::create_dir_all(whole.join("a/b")).unwrap();
    fs::write(whole.join("a/b/file"), "inside").unwrap();
    let part = registry.acquire(&acquire("v", Some("a/b"), "c")).unwrap();
    assert_eq!(fs::read_to_string(part.path.join("file")).unwrap(), "inside");
    assert!(part.path.starts_with(host.run_dir().path().join("binds")) && part.nosuid);
    assert_eq!(registry.acquire(&acquire("v", Some("a/b"), "c")).unwrap().path, part.path);
    assert_ne!(registry.acquire(&acquire("v", Some("a"), "c")).unwrap().path, part.path);
    assert!(mountinfo::at(&part.path).unwrap().unwrap().has("nosuid"));

    // Whatever its path becomes, the directory that was opened stays.
    fs::rename(whole.join("a"), whole.join("moved")).unwrap();
    symlink("/etc", whole.join("a")).unwrap();
    assert_eq!(fs::read_to_string(part.path.join("file")).unwrap(), "inside");

    assert_eq!(registry.release(&release("c")).unwrap(), Released { released: 1, unmounted: 0 });
    assert!(!part.path.exists());
    registry.release(&release("keeper")).unwrap();
    assert_eq!(host.remains(), [""; 0]);
}

#[test]
fn a_directory_that_cannot_be_had() {
    let host = Host::new();
    let registry = host.registry();
    let whole = registry.acquire(&acquire("v", None, "keeper")).unwrap().path;
    fs::write(whole.join("file"), "").unwrap();
    symlink("/etc", whole.join("absolute")).unwrap();
    symlink("../../..", whole.join("up")).unwrap();
    symlink(".", whole.join("self")).unwrap();
    fs::create_dir(whole.join("mounted")).unwrap();
    mount(Some("other"), &whole.join("mounted"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    for (path, kind) in [
        ("nowhere", ErrorKind::NotFound),
        ("file", ErrorKind::Invalid),
        ("file/x", ErrorKind::Invalid),
        ("absolute", ErrorKind::Denied),
        ("absolute/ssl", ErrorKind::Denied),
        ("up/etc", ErrorKind::Denied),
        ("self", ErrorKind::Denied),
        ("mounted", ErrorKind::Denied),
    ] {
        let before = host.remains();
        let error = registry.acquire(&acquire("v", Some(path), "c")).unwrap_err();
        assert_eq!(error.kind(), kind, "{path}: {error}");
        assert_eq!(host.remains(), before);
        assert!(!registry.holds(&reference("c")).unwrap());
    }
}

/// Two hosts that are namespaces of one machine share files and not mounts.
#[test]
fn mount_namespaces_are_kept_apart() {
    let host = Host::new();
    let here = host.registry();
    let path = here.acquire(&acquire("v", None, "a")).unwrap().path;
    thread::scope(|scope| {
        scope.spawn(|| {
            private_mounts();
            let there = host.registry();
            assert_ne!(there.acquire(&acquire("v", None, "b")).unwrap().path, path);
            assert!(!there.holds(&reference("a")).unwrap());
            assert_eq!(there.release(&release("b")).unwrap(), Released { released: 1, unmounted: 1 });
        });
    });
    assert!(mountinfo::at(&path).unwrap().is_some());
    assert_eq!(here.release(&release("a")).unwrap(), Released { released: 1, unmounted: 1 });
}

#[test]
fn many_at_once() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 25;
    let host = Host::new();
    let failures = AtomicFailures::default();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (host, failures) = (&host, &failures);
            // The thread inherits the mounts of this one.
            scope.spawn(move || {
                let registry = host.registry();
                let id = format!("c{thread}");
                for round in 0..ROUNDS {
                    let name = if round % 3 == 0 { "w" } else { "v" };
                    let path = match registry.acquire(&acquire(name, None, &id)) {
                        Ok(acquired) => acquired.path,
                        Err(error) => return failures.add(format!("{error:?}")),
                    };
                    // While it is held it is there, whatever the others do.
                    let file = path.join(&id);
                    if let Err(error) = fs::write(&file, &id).and_then(|()| fs::remove_file(&file)) {
                        return failures.add(format!("{error}"));
                    }
                    if let Err(error) = registry.release(&release(&id)) {
                        return failures.add(format!("{error:?}"));
                    }
                }
            });
        }
    });
    assert_eq!(*failures.0.lock().unwrap(), [""; 0]);
    assert_eq!(host.remains(), [""; 0]);
    assert_eq!(host.fake.mounts.load(Ordering::Relaxed), host.fake.unmounts.load(Ordering::Relaxed));
}

#[derive(Default)]
struct AtomicFailures(std::sync::Mutex<Vec<String>>);

impl AtomicFailures {
    fn add(&self, failure: String) {
        self.0.lock().unwrap().push(failure);
    }
}

#[test]
fn a_held_lock_ends_in_a_timeout() {
    let host = Host::new();
    let state = host.run_dir().state(MountId::of(&volume("v"), false));
    let _held = MountLock::take(&state, Deadline::after(Duration::from_secs(1))).unwrap();
    let timeouts = Timeouts { acquire: Duration::from_millis(50), ..Timeouts::default() };
    let registry = Registry::new(host.run_dir(), &host.fake, timeouts);
    assert_eq!(registry.acquire(&acquire("v", None, "a")).unwrap_err().kind(), ErrorKind::Timeout);
}
