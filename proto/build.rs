//! Compiles the protos without protoc.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = [
        "semops/signer/v1/change.proto",
        "semops/signer/v1/cosigning.proto",
        "semops/signer/v1/document.proto",
        "semops/signer/v1/enrollment.proto",
        "semops/signer/v1/key.proto",
        "semops/signer/v1/status.proto",
        "semops/signer/v1/trust.proto",
    ];
    println!("cargo:rerun-if-changed=semops");
    let descriptors = protox::compile(protos, ["."])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
