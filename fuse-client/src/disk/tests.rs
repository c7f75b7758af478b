#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use super::shelf::Shelf;
use super::*;

const BLOCK: u32 = 64 << 10;

fn block(number: u64) -> (FrameHash, Bytes) {
    let data = Bytes::from(number.to_le_bytes().repeat(BLOCK as usize / 8));
    (FrameHash::of(&data), data)
}

fn open(dir: &Path) -> Arc<DiskCache> {
    DiskCache::open(dir, SIZE_MIN, Handle::current()).unwrap()
}

/// Keeps blocks, and waits until they are written.
fn keep(cache: &DiskCache, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let begun = Instant::now();
        while cache.common.waiting.load(Ordering::Relaxed) > WAITING_MAX / 2 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is written: {:?}", cache.figures());
            thread::sleep(Duration::from_millis(1));
        }
        cache.keep(Batch { blocks: vec![block(number)], weight: BLOCK as usize });
    }
    let begun = Instant::now();
    while cache.common.waiting.load(Ordering::Relaxed) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", cache.figures());
        thread::sleep(Duration::from_millis(1));
    }
}

async fn found(cache: &Arc<DiskCache>, numbers: std::ops::Range<u64>) -> Vec<bool> {
    let wanted = numbers.clone().map(|number| Wanted { hash: block(number).0, len: BLOCK }).collect();
    let found = cache.read(wanted).await;
    for (number, data) in numbers.zip(&found) {
        assert!(data.as_ref().is_none_or(|data| *data == block(number).1));
    }
    found.iter().map(Option::is_some).collect()
}

fn path(dir: &Path, number: u64) -> PathBuf {
    let hash = block(number).0;
    dir.join(Shelf::of(&hash).name()).join(hash.to_string())
}

/// Bytes of all blocks on the disk.
fn usage(dir: &Path) -> u64 {
    let shelves = fs::read_dir(dir).unwrap().filter_map(|entry| fs::read_dir(entry.unwrap().path()).ok());
    shelves.flatten().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn blocks_outlive_who_put_them_there_and_are_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&dir.path().join("made"));
    keep(&cache, 0..20);
    let (dir, other) = (dir.path().join("made"), open(&dir.path().join("made")));
    drop(cache);
    // In long and in short reads.
    assert_eq!(found(&other, 0..18).await, [true; 18]);
    assert_eq!(found(&other, 18..22).await, [true, true, false, false]);
    let figures = other.figures();
    assert_eq!((figures.hits, figures.misses, figures.bytes_read), (20, 2, 20 * u64::from(BLOCK)));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&path(&dir, 3)), mode(path(&dir, 3).parent().unwrap())), (0o700, 0o600, 0o700));
    assert_eq!(fs::read_dir(dir.join(directory::NEW)).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bad_block_is_not_found_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    keep(&cache, 0..4);
    let mut data = fs::read(path(dir.path(), 0)).unwrap();
    data[1000] ^= 1;
    fs::write(path(dir.path(), 0), &data).unwrap();
    fs::write(path(dir.path(), 1), &data[1..]).unwrap();
    fs::write(path(dir.path(), 2), b"").unwrap();
    assert_eq!(found(&cache, 0..4).await, [false, false, false, true]);
    assert_eq!(cache.figures().bad, 3);
    assert!((0..3).all(|number| !path(dir.path(), number).try_exists().unwrap()));
    keep(&cache, 0..1);
    assert_eq!(found(&cache, 0..4).await, [true, false, false, true]);
    assert_eq!(cache.figures().bad, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_never_takes_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(dir.path()), open(dir.path()));
    let count = 2 * SIZE_MIN.bytes() / u64::from(BLOCK);
    for numbers in [0..count / 4, count / 4..count / 2, count / 2..count] {
        let middle = numbers.start.midpoint(numbers.end);
        thread::scope(|scope| {
            scope.spawn(|| keep(&one, numbers.start..middle));
            scope.spawn(|| keep(&other, middle..numbers.end));
        });
        let usage = usage(dir.path());
        assert!(usage <= SIZE_MIN.bytes(), "{usage} bytes");
    }
    assert!(usage(dir.path()) > SIZE_MIN.bytes() / 3, "{} bytes", usage(dir.path()));
    assert!(one.figures().evictions + other.figures().evictions > count / 4);
    assert!(one.figures().bytes_held <= SIZE_MIN.bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_disk_that_does_not_work_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&dir.path().join("gone"));
    keep(&cache, 0..4);
    fs::remove_dir_all(dir.path().join("gone")).unwrap();
    assert_eq!(found(&cache, 0..4).await, [false; 4]);
    keep(&cache, 0..4);
    let figures = cache.figures();
    assert!(figures.resting && figures.stored == 4 && figures.skipped == 4, "{figures:?}");
    // Reads: its shelves are no directories.
    let cache = open(&dir.path().join("odd"));
    let shelf = path(&dir.path().join("odd"), 0).parent().unwrap().to_owned();
    fs::write(shelf, b"").unwrap();
    assert_eq!(found(&cache, 0..1).await, [false]);
    assert!(!cache.works() && cache.figures().resting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_directory_that_is_something_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| DiskCache::open(path, SIZE_MIN, Handle::current()).unwrap_err();
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("diary"), "dear").unwrap();
    let error = refused(&full);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("holds something else"), "{error}");
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(refused(&dir.path().join("file")).kind(), ErrorKind::Invalid);
    assert_eq!(refused(&dir.path().join("no/parent")).kind(), ErrorKind::Unavailable);
    let newer = dir.path().join("newer");
    drop(open(&newer));
    fs::write(newer.join("holdfast-cache"), "holdfast disk cache, format 2\n").unwrap();
    assert_eq!(refused(&newer).kind(), ErrorKind::Invalid);
    // A disk of its own, and a marker that was never finished.
    let own = dir.path().join("own");
    fs::create_dir_all(own.join("lost+found")).unwrap();
    fs::write(own.join("holdfast-cache"), "").unwrap();
    drop(open(&own));
}
