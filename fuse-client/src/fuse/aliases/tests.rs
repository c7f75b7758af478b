use super::*;

#[test]
fn without_aliases_numbers_are_nodes() {
    let aliases = Aliases::default();
    assert_eq!(aliases.resolve(7), Node(7));
    assert_eq!(aliases.tell(Node(7)), 7);
    aliases.forget(7, 3);
}

#[test]
fn an_alias_means_its_directory_until_the_kernel_has_forgotten_it() {
    let aliases = Aliases::default();
    aliases.renew(Node(7));
    let id = aliases.tell(Node(7));
    assert_ne!(id, 7);
    assert_eq!(aliases.tell(Node(7)), id);
    assert_eq!((aliases.resolve(id), aliases.resolve(7)), (Node(7), Node(7)));
    assert_eq!(aliases.tell(Node(8)), 8);
    aliases.forget(id, 1);
    assert_eq!(aliases.resolve(id), Node(7));
    aliases.forget(id, 1);
    assert_eq!(aliases.tell(Node(7)), id, "the kernel may still know the directory elsewhere");
}

#[test]
fn a_newer_alias_leaves_the_older_one_to_those_who_have_it() {
    let aliases = Aliases::default();
    aliases.renew(Node(7));
    let old = aliases.tell(Node(7));
    aliases.renew(Node(7));
    let new = aliases.tell(Node(7));
    assert_ne!(old, new);
    assert_eq!(aliases.resolve(old), Node(7));
    aliases.forget(old, 1);
    assert_eq!(aliases.tell(Node(7)), new);
    assert_ne!(aliases.resolve(old), Node(7), "it is nobody's");
}

#[test]
fn forgotten_aliases_do_not_pile_up() {
    let aliases = Aliases::default();
    aliases.renew(Node(1));
    let kept = aliases.tell(Node(1));
    for number in 2..3 * ALIASES_MAX as u64 {
        aliases.renew(Node(number));
        aliases.forget(aliases.tell(Node(number)), 1);
    }
    assert!(aliases.known.lock().by_id.len() <= ALIASES_MAX + 1);
    assert_eq!(aliases.resolve(kept), Node(1));
}
