//! The wire: generated messages and services, and the only conversions between them and
//! `holdfast-core`.

/// Generated from `proto/holdfast/v1`: messages, clients and servers.
#[expect(
    clippy::all,
    clippy::unwrap_used,
    unused_qualifications,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("holdfast.v1");
    /// Every .proto file in one descriptor set, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("holdfast");
}
