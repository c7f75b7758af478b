#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::scratch::Scratch;

/// Two files that are acknowledged, and the list.
fn written(scratch: &Scratch) -> Manifest {
    let manifest = Manifest::default();
    manifest.write(scratch.path(), "small", 1, 100).unwrap();
    manifest.write(scratch.path(), "large", 2, 20_000).unwrap();
    manifest
}

fn lost_after(change: impl Fn(&Path)) -> Vec<String> {
    let scratch = Scratch::new("manifest");
    let manifest = written(&scratch);
    change(&scratch.path().join("large"));
    manifest.lost(|name| fs::read(scratch.path().join(name)))
}

#[test]
fn what_is_there_is_not_lost() {
    assert_eq!(lost_after(|_| ()), [""; 0]);
    let scratch = Scratch::new("manifest");
    written(&scratch).verify(scratch.path());
}

#[test]
fn a_lost_file_byte_or_page_is_found() {
    let gone = lost_after(|path| fs::remove_file(path).unwrap());
    assert!(gone.len() == 1 && gone[0].starts_with("large: No such file"), "{gone:?}");
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        lost_after(|path| {
            let mut bytes = fs::read(path).unwrap();
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
        })
    };
    let shorter = changed(&|bytes| bytes.truncate(19_999));
    assert_eq!(shorter, ["large: 19999 of 20000 bytes, content differs"]);
    let hole = changed(&|bytes| bytes[4096..8192].fill(0));
    assert_eq!(hole, ["large: 20000 of 20000 bytes, content differs, a hole of zeros"]);
    assert_eq!(changed(&|bytes| bytes[7] ^= 1).len(), 1);
}

#[test]
#[should_panic(expected = "proves nothing")]
fn an_empty_list_proves_nothing() {
    Manifest::default().verify(Path::new("/"));
}

#[test]
fn what_was_written_meanwhile_is_in_doubt() {
    let scratch = Scratch::new("manifest");
    let manifest = written(&scratch);
    let before = manifest.copy();
    manifest.write(scratch.path(), "large", 3, 10).unwrap();
    manifest.write(scratch.path(), "new", 4, 10).unwrap();
    let both = before.common(&manifest);
    assert_eq!((both.len(), before.len(), manifest.len()), (1, 2, 3));
    assert_eq!(before.common(&before).len(), 2);
    both.verify(scratch.path());
}
