//! A typed client of a Holdfast server: volumes ([`Client`]) and sessions on them ([`Session`]).
//!
//! Everything that talks to a server does so through this crate. It keeps what a session did until
//! the server has it on disk, sends it again after a break, and tells when something was lost.
//! What a server sends is checked before anybody sees it.
//!
//! This crate never reads the environment, never prints, and never knows about FUSE.

mod admin;
mod channel;
mod clock;
mod endpoint;
mod maintenance;
mod network;
pub mod session;

pub use admin::Client;
pub use clock::{BootClock, Clock};
pub use endpoint::{CONNECT_TIMEOUT_DEFAULT, Endpoint, PORT_DEFAULT, ServerAddress, TlsFiles, Token};
pub use holdfast_proto::allocator;
pub use holdfast_proto::blocks::{Block, BlockMap};
pub use holdfast_proto::data::{Piece, ReadData};
pub use holdfast_proto::inspect::{
    Access, ClientView, DESCRIPTION_ITEMS_MAX, Description, HandleView, Listed, LockView, OpenFile, OpenView, Process,
};
pub use holdfast_proto::invalidate::Invalidation;
pub use holdfast_proto::lease::{Answered, Question, Reply};
pub use holdfast_proto::lock::LockConflict;
pub use holdfast_proto::namespace::{DirEntry, DirPage, FsStat};
pub use holdfast_proto::segments::{CompactionView, SegmentSums, SegmentsView};
pub use holdfast_proto::volume::{ServerInfo, VolumeRef};
pub use maintenance::{CheckEvent, ScrubEvent, Telling};
pub use network::{Network, Wire};
pub use session::{
    Answering, Applied, DescribeDone, Foretold, InvalidateDone, LeaseEvents, LockTicket, Patience, Session,
    SessionEvents, SessionInfo, SessionOptions, SessionStats,
};
