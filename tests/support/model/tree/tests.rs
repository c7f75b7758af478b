#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::disk::Disk;
use super::super::generate::Generator;
use super::super::harness::Driver as _;
use super::super::step::Access;
use super::*;
use crate::scratch::Scratch;

const ACCESS: Access =
    Access { read: true, write: true, append: false, truncate: false, create: true, exclusive: false };

/// Steps of which each leaves something, and a real directory after so many of them.
fn steps() -> Vec<Step> {
    let path = |name: &str| vec![name.to_owned()];
    vec![
        Step::Open { slot: 0, path: path("a"), mode: 0o644, access: ACCESS },
        Step::Write { slot: 0, offset: 0, len: 9000, tag: 1 },
        Step::Link { old: path("a"), new: path("b") },
        Step::Write { slot: 0, offset: 9000, len: 9000, tag: 2 },
        Step::Mkdir { path: path("d"), mode: 0o755 },
        Step::Unlink { path: path("b") },
        Step::Resize { slot: 0, size: 12_000 },
    ]
}

fn real(scratch: &Scratch, name: &str, steps: &[Step]) -> Tree {
    let root = scratch.dir(name);
    let mut disk = Disk::new(vec![root.clone()], |_| ());
    for step in steps {
        disk.run(0, step).unwrap();
    }
    of_directory(&root).unwrap()
}

#[test]
fn every_prefix_is_found_and_none_before_what_was_synced() {
    let (scratch, steps) = (Scratch::new("prefix"), steps());
    for done in 1..=steps.len() {
        let tree = real(&scratch, &format!("{done}"), &steps[..done]);
        assert_eq!(Prefix::default().find(&steps, 0, &tree), Ok(done));
        assert_eq!(Prefix::default().find(&steps, done, &tree), Ok(done));
        if done < steps.len() {
            let refused = Prefix::default().find(&steps, done + 1, &tree).unwrap_err();
            assert!(refused.contains("no prefix"), "{refused}");
        }
    }
}

/// What is left when a step in the middle is missing, or when two come in another order.
#[test]
fn a_history_with_a_gap_and_one_in_another_order_are_refused() {
    let (scratch, steps) = (Scratch::new("gap"), steps());
    let mut gap = steps.clone();
    gap.remove(4);
    assert!(Prefix::default().find(&steps, 0, &real(&scratch, "gap", &gap)).is_err());
    let mut order = steps[..5].to_vec();
    order.swap(3, 4);
    order.pop();
    assert!(Prefix::default().find(&steps, 0, &real(&scratch, "order", &order)).is_err());
}

#[test]
fn a_lost_byte_a_hole_and_a_lost_attribute_are_refused() {
    let (scratch, steps) = (Scratch::new("planted"), steps());
    let tree = real(&scratch, "whole", &steps);
    let file = vec!["a".to_owned()];
    let plant = |change: &dyn Fn(&mut Seen)| {
        let mut tree = tree.clone();
        change(tree.get_mut(&file).unwrap());
        Prefix::default().find(&steps, 0, &tree).unwrap_err()
    };
    let lost = plant(&|seen| {
        seen.content.pop();
    });
    assert!(lost.contains("11999 bytes, not 12000"), "{lost}");
    let hole = plant(&|seen| seen.content[4096..8192].fill(0));
    assert!(hole.contains("differs from byte 4096 on, 4096 zeros"), "{hole}");
    let _ = plant(&|seen| seen.stat.mode = 0o600);
    let _ = plant(&|seen| {
        seen.xattrs.insert("user.a".into(), vec![1]);
    });
    let mut gone = tree.clone();
    gone.remove(&file);
    assert!(Prefix::default().find(&steps, 0, &gone).is_err());
    let mut more = tree.clone();
    more.insert(vec!["new".into()], tree[&file].clone());
    assert!(Prefix::default().find(&steps, 0, &more).is_err());
}

#[test]
fn random_steps_on_a_local_disk_are_a_prefix_of_themselves() {
    let scratch = Scratch::new("random");
    let (mut model, mut generator, mut steps) = (Model::new(), Generator::new(11, 1, None), Vec::new());
    for _ in 0..400 {
        let (_, step) = generator.next(&model);
        let _ = model.run(0, &step);
        steps.push(step);
    }
    let root = scratch.dir("root");
    let mut disk = Disk::new(vec![root.clone()], |_| ());
    let mut prefix = Prefix::default();
    for done in 1..=steps.len() {
        let _ = disk.run(0, &steps[done - 1]);
        if done % 50 == 0 {
            let tree = of_directory(&root).unwrap();
            let found = prefix.find(&steps[prefix.behind()..], done - 40, &tree).unwrap();
            assert!(found >= done, "{found} of {done}");
        }
    }
}

/// A write may be several operations, of which each ends with a page; a later one is never there alone.
#[test]
fn the_first_pages_of_a_write_are_accepted_and_nothing_else_of_one() {
    let (scratch, path) = (Scratch::new("part"), vec!["a".to_owned()]);
    let open = Step::Open { slot: 0, path: path.clone(), mode: 0o644, access: ACCESS };
    let steps = [open, Step::Write { slot: 0, offset: 10, len: 20_000, tag: 1 }];
    let whole = real(&scratch, "whole", &steps);
    let found = |change: &dyn Fn(&mut Seen)| {
        let mut tree = whole.clone();
        change(tree.get_mut(&path).unwrap());
        Prefix::default().find(&steps, 0, &tree).ok()
    };
    let cut = |len: usize| {
        found(&|seen| {
            seen.content.truncate(len);
            seen.stat.size = len as u64;
        })
    };
    assert_eq!((cut(20_010), cut(8192), cut(0)), (Some(2), Some(1), Some(1)));
    assert_eq!((cut(8191), cut(8193), cut(10)), (None, None, None));
    assert_eq!(found(&|seen| seen.content[10..8192].fill(0)), None);
    assert_eq!(found(&|seen| seen.content[50] ^= 1), None);
}
