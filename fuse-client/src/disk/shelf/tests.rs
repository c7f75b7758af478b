use std::time::Duration;

use super::*;

const SHARE: u64 = 1 << 20;
const BLOCK: u64 = 64 << 10;

fn kept(uses: impl IntoIterator<Item = u64>) -> Vec<Kept> {
    let block = |used: u64| Kept {
        name: used.to_string().into(),
        cost: BLOCK,
        used: SystemTime::UNIX_EPOCH + Duration::from_secs(used),
    };
    uses.into_iter().map(block).collect()
}

#[test]
fn a_shelf_is_the_first_byte_of_a_name() {
    let hash = FrameHash::of(b"a block");
    assert!(hash.to_string().starts_with(&Shelf::of(&hash).name()));
    let names: Vec<String> = Shelf::all().map(Shelf::name).collect();
    assert_eq!((names.len(), &names[0][..], &names[255][..]), (SHELVES, "00", "ff"));
    assert_eq!((cost(1), cost(4096), cost(4097)), (4096, 4096, 8192));
}

#[test]
fn what_was_used_last_stays() {
    assert_eq!(superfluous(kept(0..15), BLOCK, SHARE), []);
    let gone = superfluous(kept((0..16).rev()), BLOCK, SHARE);
    // An eighth of the share is free behind what comes.
    assert_eq!(gone, kept(0..3));
    assert_eq!(superfluous(kept(0..40), 0, SHARE), kept(0..26));
    assert_eq!(superfluous(kept(0..2), BLOCK, BLOCK), kept(0..2));
}

#[test]
fn a_shelf_is_looked_at_when_it_is_full_or_much_was_put_there() {
    let mut account = Account::default();
    assert!(account.is_stale(0, SHARE), "nobody has looked yet");
    account.looked(SHARE / 2);
    assert!(!account.is_stale(4096, SHARE));
    account.put(SHARE / UNSEEN);
    assert!(account.is_stale(4096, SHARE), "others may have put as much there");
    account.looked(SHARE);
    assert!(account.is_stale(4096, SHARE) && !account.is_stale(0, SHARE));
    assert_eq!(account.held(), SHARE);
}
