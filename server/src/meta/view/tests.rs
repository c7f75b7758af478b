#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::meta::engine::Engine as _;
use crate::meta::engine::memory::MemoryEngine;

fn changes(entries: &[(u8, Option<u8>)]) -> Changes {
    let mut changes = Changes::default();
    for (key, value) in entries {
        changes.set(vec![*key], value.map(|value| Bytes::copy_from_slice(&[value])));
    }
    changes
}

fn seen(view: View<'_>, from: u8, to: u8, max: usize) -> Vec<(u8, u8)> {
    let mut seen = Vec::new();
    view.scan(&KeyRange { from: vec![from], to: vec![to] }, |key, value| {
        seen.push((key[0], value[0]));
        Ok(if seen.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })
    .unwrap();
    seen
}

fn layer() -> impl Strategy<Value = Vec<(u8, Option<u8>)>> {
    prop::collection::vec((0..24_u8, prop::option::of(any::<u8>())), 0..24)
}

proptest! {
    /// Whatever is in which layer, a view is what one map with all changes in order would be.
    #[test]
    fn layers_are_as_one_map(
        engine in layer(), older in layer(), newer in layer(), newest in layer(),
        from in 0..24_u8, to in 0..26_u8, max in 1..30_usize,
    ) {
        let mut expected = BTreeMap::new();
        for (key, value) in [&engine, &older, &newer, &newest].into_iter().flatten() {
            match value {
                Some(value) => expected.insert(*key, *value),
                None => expected.remove(key),
            };
        }
        let stored = MemoryEngine::new();
        stored.write(&changes(&engine)).unwrap();
        let (older, newer, newest) = (changes(&older), changes(&newer), changes(&newest));
        let view = View::new(&newer, Some(&older), &stored);
        let view = view.under(&newest);
        for key in 0..24 {
            let value = view.get(&[key]).unwrap().map(|value| value[0]);
            prop_assert_eq!(value, expected.get(&key).copied());
        }
        let in_range: Vec<(u8, u8)> =
            expected.iter().filter(|(key, _)| (from..to).contains(key)).map(|(key, value)| (*key, *value)).collect();
        prop_assert_eq!(seen(view, from, to, usize::MAX), in_range.clone());
        prop_assert_eq!(seen(view, from, to, max), in_range.into_iter().take(max).collect::<Vec<_>>());
    }

    #[test]
    fn absorbed_changes_win_and_the_weight_adds_up(older in layer(), newer in layer()) {
        let mut both = changes(&older);
        both.absorb(changes(&newer));
        let mut at_once = changes(&older);
        newer.iter().for_each(|(key, value)| at_once.set(vec![*key], value.map(|value| Bytes::copy_from_slice(&[value]))));
        prop_assert_eq!(&both.map, &at_once.map);
        let weight: usize =
            both.map.iter().map(|(key, value)| key.len() + ENTRY_OVERHEAD_BYTES + value.as_ref().map_or(0, Bytes::len)).sum();
        prop_assert_eq!(both.bytes(), weight);
    }
}
