//! Finds libautoround: in the folder named by `AUTOROUND_LIB_DIR`, else by pkg-config.
//!
//! Crates that depend on this one directly read the folder in `DEP_AUTOROUND_LIBDIR`, e.g. to set a run path, which only the
//! package that links the program can do.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-env-changed=AUTOROUND_LIB_DIR");
    let found = match std::env::var_os("AUTOROUND_LIB_DIR") {
        Some(directory) => from_directory(PathBuf::from(directory)).map(Some),
        None => from_pkg_config(),
    };
    match found {
        Ok(Some(directory)) => println!("cargo::metadata=libdir={}", directory.display()),
        Ok(None) => (),
        Err(reason) => {
            println!("cargo::error=libautoround was not found: {reason}");
            println!(
                "cargo::error=set AUTOROUND_LIB_DIR to the folder that holds libautoround.so, or PKG_CONFIG_PATH to \
                 the one that holds autoround.pc"
            );
        }
    }
}

fn from_directory(directory: PathBuf) -> Result<PathBuf, String> {
    if !directory.join("libautoround.so").exists() {
        return Err(format!("AUTOROUND_LIB_DIR is {}, which holds no libautoround.so", directory.display()));
    }
    println!("cargo::rustc-link-search=native={}", directory.display());
    println!("cargo::rustc-link-lib=dylib=autoround");
    Ok(directory)
}

/// None: a folder of the system, which pkg-config leaves out and a program need not be told of.
fn from_pkg_config() -> Result<Option<PathBuf>, String> {
    // A library of another 0.x may be another contract.
    let library =
        pkg_config::Config::new().range_version("0.1".."0.2").probe("autoround").map_err(|error| error.to_string())?;
    Ok(library.link_paths.into_iter().next())
}
