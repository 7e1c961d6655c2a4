//! Lets the program find libautoround.so where it was when this was built. A program that is installed somewhere else wants
//! another run path, or none when the library is in a folder of the system.

fn main() {
    // GNU ld, which Rust 1.89 and older use, would look for LibTorch to see what libautoround.so has from it.
    println!("cargo::rustc-link-arg-bins=-Wl,--allow-shlib-undefined");
    if let Ok(directory) = std::env::var("DEP_AUTOROUND_LIBDIR") {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{directory}");
        println!("cargo::rustc-env=AUTOROUND_LIBDIR={directory}"); // for tests/same_as_c.rs
    }
}
