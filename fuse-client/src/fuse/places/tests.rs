use super::*;

fn place(parent: u64, name: &str) -> Place {
    Place::new(parent, name.as_bytes())
}

#[test]
fn a_directory_that_moved_is_told_with_its_old_place_once() {
    let places = Places::default();
    assert_eq!(places.met(Node(7), place(1, "a")), None);
    assert_eq!(places.met(Node(7), place(1, "a")), None);
    assert_eq!(places.met(Node(7), place(2, "b")), Some(place(1, "a")));
    assert_eq!(places.met(Node(7), place(2, "b")), None);
}

#[test]
fn what_this_mount_renames_has_not_moved_elsewhere() {
    let places = Places::default();
    places.met(Node(7), place(1, "a"));
    places.met(Node(8), place(1, "b"));
    places.renamed(&place(1, "a"), place(2, "c"), false);
    assert_eq!(places.met(Node(7), place(2, "c")), None);
    places.renamed(&place(2, "c"), place(1, "b"), true);
    assert_eq!(places.met(Node(7), place(1, "b")), None);
    assert_eq!(places.met(Node(8), place(2, "c")), None);
}

#[test]
fn what_was_replaced_may_be_elsewhere() {
    let places = Places::default();
    places.met(Node(7), place(1, "a"));
    places.met(Node(8), place(1, "b"));
    places.renamed(&place(1, "b"), place(1, "a"), false);
    assert!(places.take_unsure(Node(7)) && !places.take_unsure(Node(8)));
    places.met(Node(9), place(1, "c"));
    places.renamed(&place(1, "a"), place(1, "c"), true);
    assert!(!places.take_unsure(Node(8)) && !places.take_unsure(Node(9)));
}

#[test]
fn a_place_belongs_to_whom_was_met_there_last() {
    let places = Places::default();
    places.met(Node(7), place(1, "a"));
    places.met(Node(8), place(1, "a"));
    assert!(places.take_unsure(Node(7)), "the kernel may know it there still");
    assert_eq!(places.met(Node(7), place(1, "z")), None, "nothing is known of it any more");
    assert_eq!(places.met(Node(8), place(1, "a")), None);
}

#[test]
fn there_is_a_bound() {
    let places = Places::default();
    for node in 0..=PLACES_MAX as u64 {
        places.met(Node(node), place(node, "d"));
    }
    assert!(places.0.lock().by_node.len() <= PLACES_MAX);
    assert!(places.0.lock().by_place.len() <= PLACES_MAX);
}

#[test]
fn a_listing_tells_of_directories_where_the_kernel_knows_them() {
    let places = Places::default();
    assert!(places.listed(Node(7), Place::new(1, b"a")));
    assert!(places.listed(Node(7), Place::new(1, b"a")));
    assert!(!places.listed(Node(7), Place::new(1, b"b")), "it has moved");
    assert_eq!(places.met(Node(7), Place::new(1, b"b")), Some(Place::new(1, b"a")));
    assert!(places.listed(Node(7), Place::new(1, b"b")));
}

#[test]
fn what_the_kernel_may_not_have_taken_up_is_told_once() {
    let places = Places::default();
    assert!(!places.take_unsure(Node(7)));
    places.unsure(Node(7));
    assert!(places.take_unsure(Node(7)));
    assert!(!places.take_unsure(Node(7)));
}
