//! `holdfastd dump`: files out of a data directory whose server is dead, and whose disk may be.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use holdfast_tests::bins;
use holdfast_tests::command::{Outcome, run_limited};
use holdfast_tests::process::mortal;
use holdfast_tests::random::{self, Random};

use super::tree::{look, plant};
use super::{Place, WARNINGS, but_for_tar, same, text, verify};

const FRAME: usize = 65_536;

fn dump(place: &Place, words: &[&str]) -> Outcome {
    let mut command = mortal(bins::ours("holdfastd"));
    command.args(["dump", "--data", &text(&place.cluster.data())]).args(words);
    run_limited(command, Duration::from_secs(300))
}

/// Content and time of every file: what must not change.
fn state(dir: &Path) -> BTreeMap<String, (Vec<u8>, i64, i64, u64)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::metadata(&path).unwrap();
        let times = (metadata.mtime(), metadata.mtime_nsec());
        if metadata.is_dir() {
            files.extend(state(&path));
            files.insert(text(&path), (Vec::new(), times.0, times.1, 0));
        } else {
            files.insert(text(&path), (fs::read(&path).unwrap(), times.0, times.1, metadata.len()));
        }
    }
    files
}

#[test]
fn a_dump_after_a_kill_has_what_was_synced() {
    let mut place = Place::new("dump");
    let mount = place.cluster.mount_with(0, "v", "noatime");
    plant(&mount.path, &mut Random::new(random::seed("dump")));
    // All of it is on the server's disk.
    fs::File::open(&mount.path).unwrap().sync_all().unwrap();
    let planted = look(&mount.path);
    let file = place.file("v.tar");
    dump(&place, &["v", "-o", &text(&file)]).refused(&["in use", "pid", "stop that server"]);
    place.cluster.kill();
    mount.kill();

    let before = state(&place.cluster.data());
    assert!(before.len() > 8, "{:?}", before.keys());
    let listed = dump(&place, &[]).ok();
    assert!(listed.contains('v') && listed.contains("NAME"), "{listed}");
    dump(&place, &["absent"]).refused(&["absent", "lists"]);
    let said = dump(&place, &["v", "-o", &text(&file)]).ok();
    eprintln!("{said}");
    assert!(state(&place.cluster.data()) == before, "a dump wrote into the data directory");

    let finish = verify(&file);
    assert_eq!(finish.ending.unwrap().members, planted.len() as u64);
    same(&planted, &place.unpack(&file), but_for_tar);

    // From a disk that cannot be written, and by the volume's id when its record is broken.
    let id = before.keys().find_map(|path| path.strip_suffix("/volume.json")?.rsplit('/').next()).unwrap().to_owned();
    let record = place.cluster.data().join("volumes").join(&id).join("volume.json");
    fs::write(&record, "{ broken").unwrap();
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && ! touch \"$1/x\" 2>&1 && shift && exec \"$@\"";
    let data = text(&place.cluster.data());
    let holdfastd = text(&bins::ours("holdfastd"));
    let second = place.file("by-id.tar");
    let mut command = mortal("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        script,
        "sh",
        &data,
        &holdfastd,
        "dump",
        "--data",
        &data,
        &id,
        "-o",
        &text(&second),
    ]);
    let outcome = run_limited(command, Duration::from_secs(300));
    assert_eq!(outcome.code, WARNINGS, "{}", outcome.text);
    assert!(outcome.text.contains("volume.json") && outcome.text.contains("Read-only"), "{}", outcome.text);
    let (first, again) = (fs::read(&file).unwrap(), fs::read(&second).unwrap());
    let end = usize::try_from(finish.ending.unwrap().bytes).unwrap();
    let members = |bytes: &[u8]| bytes.windows(2).position(|two| two == b"./").unwrap();
    let (from, other) = (members(&first) / 512 * 512, members(&again) / 512 * 512);
    assert!(first[from..end] == again[other..other + end - from], "the same files by id");
    // And back into a volume.
    fs::write(&record, &before[&text(&record)].0).unwrap();
    place.cluster.start();
    let _ = place.import("w", &file).ok();
    same(&planted, &place.volume("w"), |_, _| {});
    eprintln!(
        "{} members dumped, from {} files of a data directory that stayed as they were",
        planted.len(),
        before.len()
    );
}

#[test]
fn a_dump_names_what_is_damaged_and_gives_the_rest() {
    let mut place = Place::new("damaged");
    let mut random = Random::new(random::seed("damaged"));
    let mount = place.cluster.mount(0, "v");
    let contents: Vec<Vec<u8>> = (0..4).map(|number| random.bytes((1 + number) * 5 * FRAME + 1234)).collect();
    for (number, content) in contents.iter().enumerate() {
        fs::write(mount.at(&format!("f{number}")), content).unwrap();
    }
    fs::write(mount.at("inline"), b"in the metadata").unwrap();
    mount.unmount(&place.cluster, 0);
    place.cluster.stop();

    // Bytes of frames 2 and 3 of one file, and of frame 7 of another, are others on the disk.
    let marks = [(1, 2 * FRAME + 500), (1, 3 * FRAME), (3, 7 * FRAME + FRAME - 16)];
    let mut flipped = 0;
    for path in state(&place.cluster.data()).keys().filter(|path| path.ends_with(".seg")) {
        let mut bytes = fs::read(path).unwrap();
        for (file, at) in marks {
            let wanted = &contents[file][at..at + 16];
            if let Some(found) = bytes.windows(16).position(|window| window == wanted) {
                bytes[found] ^= 1;
                flipped += 1;
            }
        }
        fs::write(path, bytes).unwrap();
    }
    assert_eq!(flipped, marks.len(), "the bytes to damage were found");

    let dumped = place.file("dumped.tar");
    let outcome = dump(&place, &["v", "-o", &text(&dumped)]);
    assert_eq!(outcome.code, WARNINGS, "{}", outcome.text);
    let (second, third) = (2 * FRAME, 7 * FRAME);
    let words = [
        format!("f1: bytes {second} to {} are damaged", second + 2 * FRAME - 1),
        format!("f3: bytes {third} to {} are damaged", third + FRAME - 1),
        "blake3".to_owned(),
        "2 damaged ranges".to_owned(),
    ];
    outcome.refused(&words.each_ref().map(String::as_str));
    check(&place, &dumped, &contents, (second, third));

    // A running server's export tells the same.
    place.cluster.start();
    let exported = place.file("exported.tar");
    let outcome = place.export("v", &exported);
    assert_eq!(outcome.code, WARNINGS, "{}", outcome.text);
    outcome.refused(&[&words[0], &words[1], &words[3]]);
    check(&place, &exported, &contents, (second, third));
    eprintln!("{flipped} bytes flipped, 2 ranges named, 5 files out");
}

fn check(place: &Place, archive: &Path, contents: &[Vec<u8>], (second, third): (usize, usize)) {
    assert_eq!(verify(archive).ending.unwrap().warnings, 2);
    let found = place.unpack(archive);
    assert_eq!(found.len(), 6);
    let dir = place.scratch.path().join(format!("unpacked-{}", archive.file_name().unwrap().display()));
    for (number, content) in contents.iter().enumerate() {
        let mut expected = content.clone();
        match number {
            1 => expected[second..second + 2 * FRAME].fill(0),
            3 => expected[third..third + FRAME].fill(0),
            _ => {}
        }
        assert!(fs::read(dir.join(format!("f{number}"))).unwrap() == expected, "f{number}");
    }
    assert_eq!(fs::read(dir.join("inline")).unwrap(), b"in the metadata");
}
