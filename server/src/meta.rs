//! Names, attributes and extents of one volume: what is where, decided and kept.
//!
//! The pure half decides: [`apply`] turns an operation and a [`view`] of the volume into changes,
//! [`query`] answers questions about a view. The other half keeps: [`engine`] is the seam to a
//! sorted key-value store, [`keys`] and [`record`] say which bytes stand in it.
//!
//! Nothing here knows of sessions on the wire, of locks between threads, or of how a frame gets
//! into a segment; none of it reads a clock.

pub mod apply;
pub mod check;
pub mod engine;
pub mod keys;
pub mod query;
pub mod record;
pub mod view;
