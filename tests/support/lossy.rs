//! A disk that loses what was not synced: a file system in memory that writes down every change and every
//! sync in order, and a model that says what a power loss leaves at any point of that record.
//!
//! - [`image`]: what is on the disk. Pure.
//! - [`loss`]: from an image, the changes since and a kind of loss, what is there afterwards. Pure.
//! - [`mount`]: the image as a directory (FUSE) that a server can use; every write is seen in order, since
//!   the kernel keeps none back.
//!
//! It is stricter than the file systems of Linux: what is in a file is durable by a sync of that file only,
//! a name by a sync of its directory only, and a directory that has no durable name is gone with all below
//! it. Two things it takes for granted: a sector (512 bytes) is written or not, and a rename happens as a
//! whole. docs/design/0008-power-loss.md says why.

pub mod image;
pub mod loss;
pub mod mount;

pub use self::image::{Change, Image, NodeId};
pub use self::loss::Loss;
pub use self::mount::Lossy;

#[cfg(test)]
mod tests;
