//! Generates the gRPC code from `holdfast/v1/*.proto`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["types", "volumes", "session", "namespace", "data", "inspect", "maintenance"]
        .map(|name| format!("holdfast/v1/{name}.proto"));
    let descriptor = PathBuf::from(std::env::var("OUT_DIR")?).join("holdfast.bin");
    tonic_prost_build::configure()
        .bytes(".")
        .file_descriptor_set_path(descriptor)
        .compile_protos(&files, &[".".to_owned()])?;
    println!("cargo:rerun-if-changed=holdfast");
    Ok(())
}
