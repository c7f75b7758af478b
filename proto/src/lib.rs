//! The wire: generated messages and services, and the only conversions between them and
//! `holdfast-core`.
//!
//! Every conversion from the wire checks what it reads, whoever sent it: names, kinds, modes,
//! ranges and lengths. What does not fit is an [`Error`](holdfast_core::error::Error) of kind
//! `Invalid` that names the field; nothing behind this crate sees it. Conversions to the wire
//! cannot fail. This crate never does IO and never decides what an operation does.

/// Generated from `proto/holdfast/v1`: messages, clients and servers.
#[expect(clippy::allow_attributes, unused_qualifications, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("holdfast.v1");
    /// Every .proto file in one descriptor set, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("holdfast");
}

pub mod allocator;
pub mod attr;
pub mod blocks;
pub mod data;
pub mod error;
pub mod inspect;
pub mod invalidate;
pub mod lease;
pub mod lock;
pub mod maintenance;
pub mod metadata;
pub mod namespace;
pub mod op;
pub mod outcome;
pub mod segments;
pub mod version;
pub mod volume;
