//! Lets the linker build a Node addon; without the feature `node` there is nothing to do.

fn main() {
    // Else it would run, and all be compiled again, after every change of a document.
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_NODE").is_some() {
        napi_build::setup();
    }
}
