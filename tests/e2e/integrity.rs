//! Checks and scrubs of volumes in use: what the disk has lost is found and never served.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::command::Outcome;
use holdfast_tests::process::Process;
use holdfast_tests::random::{self, Random, size, torture};
use holdfast_tests::scratch::Scratch;
use holdfast_tests::wait::{self, Watchdog};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::network::Stop;

/// Content of a frame, and of a block of the files here.
const BLOCK: usize = 64 << 10;
const HEADER: usize = 64;

fn start(name: &str, words: &[&str]) -> (Watchdog, Cluster) {
    let watchdog = Watchdog::start(name, Duration::from_secs(if torture() { 3600 } else { 240 }));
    let mut options = Options::default();
    options.words.extend(words.iter().map(|word| (*word).to_owned()));
    let cluster = Cluster::one_host_with(options);
    cluster.volume("v");
    (watchdog, cluster)
}

/// The document that a command printed before it said anything else.
fn json(outcome: &Outcome) -> Value {
    let mut documents = serde_json::Deserializer::from_str(&outcome.text).into_iter::<Value>();
    documents.next().and_then(Result::ok).unwrap_or_else(|| panic!("no JSON in:\n{}", outcome.text))
}

fn status(cluster: &Cluster) -> Value {
    json(&cluster.holdfast(&["volume", "scrub", "v", "--status", "--json"]))
}

/// A frame in a segment file: where its content begins.
#[derive(Clone, Debug)]
struct Frame {
    segment: PathBuf,
    start: u64,
    len: usize,
}

/// All frames of the only volume of a data directory, by their headers.
fn frames(data: &Path) -> Vec<Frame> {
    let mut found = Vec::new();
    for volume in fs::read_dir(data.join("volumes")).unwrap() {
        let segments = volume.unwrap().path().join("store/segments");
        for segment in fs::read_dir(segments).unwrap() {
            let segment = segment.unwrap().path();
            let bytes = fs::read(&segment).unwrap();
            let mut at = 0;
            while at + HEADER <= bytes.len() {
                assert_eq!(&bytes[at..at + 4], b"HFFR", "a frame at {at} of {}", segment.display());
                let len = u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
                found.push(Frame { segment: segment.clone(), start: (at + HEADER) as u64, len });
                at += HEADER + len;
            }
        }
    }
    found
}

/// Files of whole blocks, synced; their content by path.
fn write_files(root: &Path, random: &mut Random, files: usize, blocks: usize) -> BTreeMap<String, Vec<u8>> {
    fs::create_dir(root.join("dir")).unwrap();
    let mut written = BTreeMap::new();
    for number in 0..files {
        let name = if number % 2 == 0 { format!("f{number}") } else { format!("dir/f{number}") };
        let content = random.bytes(blocks * BLOCK);
        let mut file = File::create(root.join(&name)).unwrap();
        // Short enough for one request of the kernel, so that each frame is a block.
        content.chunks(8 * BLOCK).for_each(|chunk| file.write_all(chunk).unwrap());
        file.sync_all().unwrap();
        written.insert(format!("/{name}"), content);
    }
    written
}

/// Flips one byte in each of `count` frames that hold whole blocks of these files; which blocks they are.
fn flip(data: &Path, files: &BTreeMap<String, Vec<u8>>, random: &mut Random, count: usize) -> BTreeSet<(String, u64)> {
    let mut blocks: HashMap<&[u8], (&str, u64)> = HashMap::new();
    for (path, content) in files {
        for (number, block) in content.chunks(BLOCK).enumerate() {
            blocks.insert(block, (path, (number * BLOCK) as u64));
        }
    }
    let mut whole = Vec::new();
    for frame in frames(data) {
        let mut content = vec![0; frame.len];
        File::open(&frame.segment).unwrap().read_exact_at(&mut content, frame.start).unwrap();
        if let Some((path, offset)) = blocks.get(&content[..]) {
            whole.push((frame, (*path).to_owned(), *offset));
        }
    }
    assert!(whole.len() >= 1000, "only {} frames hold blocks of the files", whole.len());
    let mut flipped = BTreeSet::new();
    while flipped.len() < count {
        let (frame, path, offset) = &whole[random.index(whole.len())];
        if !flipped.insert((path.clone(), *offset)) {
            continue;
        }
        let at = frame.start + random.below(frame.len as u64);
        let file = OpenOptions::new().read(true).write(true).open(&frame.segment).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        let bit = 1 << random.below(8);
        file.write_all_at(&[byte[0] ^ bit], at).unwrap();
        file.sync_all().unwrap();
    }
    flipped
}

/// Bit rot: one byte flipped in each of some of 1,000 frames. All are found, with the right files; no wrong
/// byte is served, and everything else is.
#[test]
fn bit_rot_is_found_and_never_served() {
    let (_watchdog, cluster) = start("bit rot", &[]);
    let mut random = Random::new(random::seed("bit rot"));
    let files = size("HOLDFAST_ROT_FILES", 18, 160);
    let rotten = size("HOLDFAST_ROT", 25, 1000);
    let mount = cluster.mount(0, "v");
    let mut written = write_files(&mount.path, &mut random, files, 64);
    fs::hard_link(mount.at("f0"), mount.at("dir/also-f0")).unwrap();
    mount.unmount(&cluster, 0);
    let clean = json(&cluster.holdfast(&["volume", "scrub", "v", "--rate", "4GiB", "--json"]));
    assert_eq!(clean["bad_frames"], 0);
    let frames = clean["frames"].as_u64().unwrap();
    assert!(frames >= 1000, "only {frames} frames were verified");
    let flipped = flip(&cluster.data(), &written, &mut random, rotten);
    assert_eq!(flipped.len(), rotten);

    let scrub = cluster.holdfast(&["volume", "scrub", "v", "--rate", "4GiB", "--json"]);
    assert_eq!(scrub.code, 1, "{}", scrub.text);
    let scrub = json(&scrub);
    assert_eq!(scrub["frames"].as_u64(), Some(frames));
    assert_eq!(scrub["bad_frames"].as_u64(), Some(rotten as u64));
    let mut found = BTreeSet::new();
    for bad in scrub["bad"].as_array().unwrap() {
        assert_eq!(bad["fault"], "content");
        for file in bad["files"].as_array().unwrap() {
            let paths: BTreeSet<&str> = file["paths"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            if paths.contains("/f0") {
                assert_eq!(paths, BTreeSet::from(["/f0", "/dir/also-f0"]), "all names of a file");
            } else {
                assert_eq!(paths.len(), 1, "{paths:?}");
            }
            let path = paths.into_iter().find(|path| written.contains_key(*path)).unwrap();
            found.insert((path.to_owned(), file["start"].as_u64().unwrap()));
        }
    }
    assert_eq!(found, flipped);
    cluster.holdfast(&["volume", "scrub", "v", "--status"]).refused(&["bad frame", "restore"]);
    let shown = cluster.holdfast(&["volume", "show", "v"]).ok();
    assert!(shown.contains(&format!("{rotten} bad frames")), "{shown}");
    assert!(cluster.server_log().contains("bit rot"), "the log is loud");
    let check = cluster.holdfast(&["volume", "check", "v"]).ok();
    assert!(check.contains("all of it agrees"), "{check}");

    // Every block of every file, by read: bad ones fail, all others are right.
    let mount = cluster.mount(0, "v");
    let (mut right, mut failed) = (0, 0);
    for (path, content) in &written {
        let file = File::open(mount.at(&path[1..])).unwrap();
        for (number, block) in content.chunks(BLOCK).enumerate() {
            let offset = (number * BLOCK) as u64;
            let mut read = vec![0; block.len()];
            match (file.read_exact_at(&mut read, offset), flipped.contains(&(path.clone(), offset))) {
                (Ok(()), false) => {
                    assert!(read == block, "wrong bytes of {path} at {offset}");
                    right += 1;
                }
                (Err(error), true) => {
                    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{path} at {offset}: {error}");
                    failed += 1;
                }
                (Ok(()), true) => panic!("{path} at {offset} was read though it is bad"),
                (Err(error), false) => panic!("{path} at {offset} is good: {error}"),
            }
        }
    }
    assert_eq!(failed, rotten);
    eprintln!("bit rot: {frames} frames verified, {rotten} flipped and found; {right} blocks read right, {failed} EIO");

    // What is written over is good again.
    let bad: BTreeSet<&String> = flipped.iter().map(|(path, _)| path).collect();
    for path in bad {
        let content = random.bytes(64 * BLOCK);
        fs::write(mount.at(&path[1..]), &content).unwrap();
        File::open(mount.at(&path[1..])).unwrap().sync_all().unwrap();
        written.insert(path.clone(), content);
    }
    let _ = cluster.holdfast(&["volume", "scrub", "v", "--rate", "4GiB"]).ok();
}

#[test]
fn a_check_of_a_volume_in_use_finds_nothing() {
    let (_watchdog, cluster) = start("check in use", &[]);
    let mount = cluster.mount(0, "v");
    let mut random = Random::new(random::seed("check in use"));
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let checks = size("HOLDFAST_CHECKS", 6, 100);
    thread::scope(|scope| {
        for who in 0..2 {
            let (mut random, root) = (Random::new(random.bits()), mount.at(&format!("w{who}")));
            let (stop, done) = (&stop, &done);
            fs::create_dir(&root).unwrap();
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let name = |random: &mut Random| root.join(format!("n{}", random.below(40)));
                    let (one, two) = (name(&mut random), name(&mut random));
                    let len = if random.percent(30) { 150_000 } else { 900 };
                    // What is not there, or in the way, is as good.
                    let _tried = match random.below(6) {
                        0 => fs::rename(one, two),
                        1 => fs::hard_link(one, two),
                        2 => fs::remove_file(one),
                        3 => fs::create_dir(&one).and_then(|()| fs::remove_dir(&one)),
                        _ => fs::write(one, random.bytes(len)),
                    };
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let enough = Stop(&stop);
        // A check is of what is committed.
        File::open(&mount.path).unwrap().sync_all().unwrap();
        for _ in 0..checks {
            let before = done.load(Ordering::Relaxed);
            let report = json(&cluster.holdfast(&["volume", "check", "v", "--repair", "--json"]));
            assert_eq!((&report["left"], &report["mended"]), (&0.into(), &0.into()), "{report:#}");
            assert!(report["inodes"].as_u64().unwrap() > 2, "{report:#}");
            wait::until_true("work beside the check", wait::SOON, || done.load(Ordering::Relaxed) > before);
        }
        drop(enough);
    });
    eprintln!("check in use: {checks} checks, {} changes beside them", done.load(Ordering::Relaxed));
}

/// A scrub that takes a while, in the background.
fn slow_scrub(cluster: &Cluster, scratch: &Scratch) -> Process {
    let mut command = cluster.command(0, "holdfast");
    command.args(["volume", "scrub", "v", "--rate", "1MiB"]);
    Process::start("scrub", command, &scratch.path().join("scrub.log"))
}

#[test]
fn a_scrub_goes_on_where_a_killed_server_was() {
    let (_watchdog, mut cluster) = start("scrub and kill", &[]);
    let mut random = Random::new(random::seed("scrub and kill"));
    let mount = cluster.mount(0, "v");
    let _written = write_files(&mount.path, &mut random, 6, 64);
    let scratch = Scratch::new("scrub");
    let mut scrub = slow_scrub(&cluster, &scratch);
    // What is kept is written every five seconds.
    let kept = |cluster: &Cluster| {
        let record = fs::read_dir(cluster.data().join("volumes")).ok()?.next()?.ok()?.path().join("scrub.json");
        serde_json::from_slice::<Value>(&fs::read(record).ok()?).ok()?["current"]["frames"].as_u64()
    };
    let before = wait::until("a place that is kept", Duration::from_secs(60), || kept(&cluster).filter(|&at| at > 20));
    cluster.kill();
    let ended = scrub.wait(Duration::from_secs(60));
    assert_eq!(ended.code(), Some(1), "{}", scrub.output());
    cluster.start();
    let broken_off = status(&cluster);
    assert_eq!(broken_off["running"], false);
    let begun = broken_off["current"]["begun"].as_str().unwrap().to_owned();
    assert!(broken_off["current"]["frames"].as_u64().unwrap() >= before);
    let run = json(&cluster.holdfast(&["volume", "scrub", "v", "--rate", "4GiB", "--json"]));
    assert_eq!(run["begun"].as_str(), Some(&begun[..]), "it is the same scrub");
    let frames = run["frames"].as_u64().unwrap();
    assert!(frames >= 6 * 64, "only {frames} frames were verified");
    let anew = json(&cluster.holdfast(&["volume", "scrub", "v", "--rate", "4GiB", "--json"]));
    assert_eq!(anew["frames"].as_u64(), Some(frames), "none twice, and none left out");
    eprintln!("scrub and kill: killed after {before} of {frames} frames; the rest was done after the restart");
}

#[test]
fn ctrl_c_ends_a_scrub_and_its_place_is_kept() {
    let (_watchdog, cluster) = start("scrub and Ctrl-C", &[]);
    let mut random = Random::new(random::seed("scrub and Ctrl-C"));
    let mount = cluster.mount(0, "v");
    let _written = write_files(&mount.path, &mut random, 4, 64);
    mount.unmount(&cluster, 0);
    let scratch = Scratch::new("scrub");
    let mut scrub = slow_scrub(&cluster, &scratch);
    let frames = |status: &Value| status["current"]["frames"].as_u64().filter(|&at| at > 0);
    wait::until("a scrub that runs", wait::SOON, || frames(&status(&cluster)));
    cluster.holdfast(&["volume", "scrub", "v"]).refused(&["somebody scrubs this volume already"]);
    scrub.signal(Signal::SIGINT);
    let ended = scrub.wait(Duration::from_secs(20));
    assert_eq!(ended.code(), Some(1), "{}", scrub.output());
    assert!(scrub.output().contains("interrupted"), "{}", scrub.output());
    let kept = wait::until("the scrub to end on the server", wait::SOON, || {
        Some(status(&cluster)).filter(|status| status["running"] == false)
    });
    assert!(frames(&kept).is_some(), "{kept:#}");
    let run = json(&cluster.holdfast(&["volume", "scrub", "v", "--rate", "4GiB", "--json"]));
    assert_eq!(run["begun"], kept["current"]["begun"]);
    assert_eq!(run["frames"].as_u64(), Some(4 * 64));
}

#[test]
fn a_server_scrubs_by_itself() {
    let (_watchdog, cluster) = start("scheduled scrub", &["--scrub-interval=1s", "--scrub-rate=1GiB"]);
    let mut random = Random::new(random::seed("scheduled scrub"));
    let mount = cluster.mount(0, "v");
    let _written = write_files(&mount.path, &mut random, 2, 32);
    let scrubbed = |what: &str| {
        wait::until(what, Duration::from_secs(60), || {
            let last = status(&cluster)["last"].clone();
            (last["frames"].as_u64() >= Some(2 * 32)).then_some(last)
        })
    };
    let first = scrubbed("a scrub of a volume in use");
    assert_eq!(first["bad_frames"], 0);
    mount.unmount(&cluster, 0);
    let ended = |run: &Value| run["ended"].as_str().unwrap().to_owned();
    wait::until_true("another one, with nobody there", Duration::from_secs(60), || {
        ended(&scrubbed("a scrub")) > ended(&first)
    });
}
