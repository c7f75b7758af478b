//! Randomness from one seed: printed, and taken back with `HOLDFAST_SEED`.

use std::env;

/// A small fast generator (splitmix64): the same seed gives the same test on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    /// An index into something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// True this often in a hundred.
    pub fn percent(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// Bytes that do not compress.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.bits().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// The seed of this run: `HOLDFAST_SEED`, or a new one; printed either way.
///
/// # Panics
/// When `HOLDFAST_SEED` is not a number, or the machine has no randomness.
#[must_use]
pub fn seed(test: &str) -> u64 {
    say(test, asked().unwrap_or_else(fresh))
}

/// The same of a test that plays the same in every `make test`, with the seed `quick`.
///
/// # Panics
/// As [`seed`].
#[must_use]
pub fn seed_of(test: &str, quick: u64) -> u64 {
    say(test, asked().unwrap_or_else(|| if torture() { fresh() } else { quick }))
}

fn asked() -> Option<u64> {
    let text = env::var("HOLDFAST_SEED").ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("HOLDFAST_SEED is {text:?}, not a number")))
}

fn fresh() -> u64 {
    getrandom::u64().unwrap_or_else(|error| panic!("no randomness: {error}")) >> 16
}

fn say(test: &str, seed: u64) -> u64 {
    eprintln!("{test}: HOLDFAST_SEED={seed}");
    seed
}

/// A size of a test: `quick` in `make test`, `full` in `make torture` (`HOLDFAST_TORTURE=1`), or
/// what the variable `name` says.
///
/// # Panics
/// When the variable is not a number.
#[must_use]
pub fn size(name: &str, quick: usize, full: usize) -> usize {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
        Err(_) if torture() => full,
        Err(_) => quick,
    }
}

/// Whether this is `make torture`.
#[must_use]
pub fn torture() -> bool {
    env::var("HOLDFAST_TORTURE").is_ok_and(|value| value == "1")
}
