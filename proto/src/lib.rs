//! The RPC contract of the signing service: messages, clients and servers generated from `proto/semops/signer/v1`, and
//! the descriptors that server reflection serves.

pub mod client;

/// Package `semops.signer.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated from the protos, which carry the comments"
)]
pub mod v1 {
    tonic::include_proto!("semops.signer.v1");
}

/// The compiled `FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
