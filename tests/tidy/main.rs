//! Reads the source: the rules of style and architecture that no compiler checks.
//!
//! Each test is one rule; its failure names every place that breaks it. A limit written here only
//! ever goes down.
#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

mod arrows;
mod documents;
mod text;
mod tree;
