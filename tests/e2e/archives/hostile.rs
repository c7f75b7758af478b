//! Archives that want out of their target, or are none.

use std::fs;

use bytes::Bytes;
use holdfast_archive::{Kind, Label, Member, Writer};
use holdfast_core::attr::Mode;
use holdfast_core::id::VolumeId;
use holdfast_core::time::Timestamp;

use super::{Place, text};

fn member(path: &str, kind: Kind) -> Member {
    Member {
        path: path.as_bytes().to_vec(),
        kind,
        mode: Mode::from_bits(0o644),
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        atime: None,
        ctime: None,
        xattrs: Vec::new(),
    }
}

fn file(path: &str) -> Member {
    member(path, Kind::File { size: 4, map: None })
}

fn symlink(path: &str, target: &'static str) -> Member {
    member(path, Kind::Symlink { target: Bytes::from_static(target.as_bytes()) })
}

fn link(path: &str, target: &str) -> Member {
    member(path, Kind::Link { target: target.as_bytes().to_vec() })
}

fn archive(members: &[Member]) -> Vec<u8> {
    let label = Label {
        volume: "x".to_owned(),
        id: VolumeId([1; 16]),
        by: "test".to_owned(),
        made: Timestamp::default(),
        spec: None,
    };
    let mut writer = Writer::new(Vec::new(), &label).unwrap();
    for member in members {
        writer.member(member).unwrap();
        writer.data(&b"evil"[..usize::try_from(member.data_bytes()).unwrap()]).unwrap();
    }
    writer.finish(0).unwrap().0
}

#[test]
fn what_wants_out_of_its_target_is_refused() {
    let place = Place::new("hostile");
    let outside = place.cluster.mount(0, "v");
    fs::create_dir_all(outside.at("target")).unwrap();
    fs::write(outside.at("secret"), b"kept").unwrap();
    let cases: Vec<(&str, Vec<Member>, Vec<&str>)> = vec![
        ("absolute", vec![file("/secret")], vec!["/secret", "absolute"]),
        ("up", vec![file("../secret")], vec!["../secret", ".."]),
        ("up within", vec![file("a/../../secret")], vec!["a/../../secret", ".."]),
        ("through a link", vec![symlink("up", ".."), file("up/secret")], vec!["up/secret", "symbolic link"]),
        ("over a link", vec![symlink("secret", "../secret"), file("secret")], vec!["secret", "twice"]),
        ("through a file", vec![file("f"), file("f/x")], vec!["f/x", "f is a file"]),
        ("twice", vec![file("f"), file("f")], vec!["f", "twice", "1 members were restored"]),
        ("link out", vec![link("mine", "../secret")], vec!["../secret", ".."]),
        ("link to nothing", vec![link("mine", "secret")], vec!["mine", "secret", "not there"]),
        ("link through a link", vec![symlink("up", ".."), link("mine", "up/secret")], vec!["mine", "not there"]),
        ("root a file", vec![file(".")], vec!["directory"]),
        ("link to a directory", vec![member("d", Kind::Directory), link("d2", "d")], vec!["d2", "not permitted"]),
    ];
    let count = cases.len();
    for (name, members, words) in cases {
        let path = place.file("hostile.tar");
        fs::write(&path, archive(&members)).unwrap();
        let into = format!("/target/{}", name.replace(' ', "-"));
        let refused = place.holdfast(&["volume", "import", "v", "--into", &into, "-i", &text(&path)]);
        refused.refused(&words);
        assert_eq!(fs::read(outside.at("secret")).unwrap(), b"kept", "{name}");
        let mut names: Vec<_> = fs::read_dir(&outside.path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["secret", "target"], "{name}");
    }
    eprintln!("{count} hostile archives refused");
}

#[test]
fn what_is_no_whole_archive_is_refused_and_targets_are_never_mixed() {
    let place = Place::new("no archive");
    let good = archive(&[member(".", Kind::Directory), file("f"), file("g")]);
    let at = |name: &str| place.file(name);
    let put = |bytes: &[u8]| fs::write(at("bad.tar"), bytes).unwrap();
    let import = |volume: &str, more: &[&str]| {
        let file = text(&at("bad.tar"));
        place.holdfast(&[&["volume", "import", volume, "-i", &file], more].concat())
    };
    let mut refused = 0;
    let mut number = 0;
    let mut fresh = || {
        number += 1;
        format!("fresh-{number}")
    };
    let end = good.iter().rposition(|byte| *byte != 0).unwrap() / 512 * 512;
    for (bytes, words) in [
        (Vec::new(), vec!["byte 0", "cut off"]),
        (b"this is no archive at all".repeat(100), vec!["no tar archive"]),
        (good[..end].to_vec(), vec!["cut off"]),
        (good[..2048 + 100].to_vec(), vec!["cut off"]),
        ([&good[..end - 512], &[0; 1024]].concat(), vec!["no end record"]),
        ([&good[..3500], b"!", &good[3501..]].concat(), vec!["not what was written", "members were restored"]),
    ] {
        put(&bytes);
        import(&fresh(), &["--create"]).refused(&words);
        refused += 1;
    }
    put(&good);
    import("v", &["--size", "1GiB"]).refused(&["--create"]);
    import("absent", &[]).refused(&["absent"]);
    import("v", &["--into", "target"]).refused(&["begin with /"]);
    import("v", &["--into", "/a/../b"]).refused(&[".."]);
    let said = import("v", &[]).ok();
    assert!(said.contains("3 members"), "{said}");
    import("v", &[]).refused(&["not empty", "--into"]);
    let mount = place.cluster.mount(0, "v");
    import("v", &[]).refused(&["in use"]);
    let _ = import("v", &["--into", "/sub/dir"]).ok();
    import("v", &["--into", "/sub/dir"]).refused(&["not empty"]);
    import("v", &["--into", "/f/x"]).refused(&["f is a file"]);
    assert_eq!(fs::read(mount.at("sub/dir/g")).unwrap(), b"evil");
    // A full volume is told as such.
    import("tiny", &["--create", "--inodes", "2"]).refused(&["g: create: no space", "2 members were restored"]);
    eprintln!("{refused} broken archives refused");
}
