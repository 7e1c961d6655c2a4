//! Each program and the one in `examples/c` print the same lines, write the same bytes and fail alike.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use autoround_toy::{Toy, contents};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn compile_c(toy: &Toy, name: &str) -> PathBuf {
    let library = option_env!("AUTOROUND_LIBDIR").unwrap_or("/usr/lib");
    let program = toy.path(name);
    let compiler = std::env::var("CC").unwrap_or("cc".to_owned());
    let status = Command::new(compiler)
        .arg(Path::new(ROOT).join(format!("examples/c/{name}.c")))
        .arg("-I")
        .arg(Path::new(ROOT).join("capi/include"))
        .arg(format!("-L{library}"))
        .args(["-lautoround", &format!("-Wl,-rpath,{library}"), "-o"])
        .arg(&program)
        .status()
        .expect("a C compiler");
    assert!(status.success());
    program
}

/// Runs a program in a folder of its own, so that it can be given the same arguments as the other.
fn run(program: &Path, toy: &Toy, folder: &str, arguments: [&str; 4]) -> (Output, PathBuf) {
    let folder = toy.path(folder);
    fs::create_dir_all(&folder).expect("a folder");
    let output = Command::new(program)
        .args(arguments)
        .current_dir(&folder)
        .output()
        .expect("a program that runs");
    (output, folder.join("quantized"))
}

#[test]
fn same_figures_same_bytes_same_errors() {
    let toy = Toy::new();
    toy.jsonl();
    let (c, rust) = (
        compile_c(&toy, "quantize"),
        PathBuf::from(env!("CARGO_BIN_EXE_quantize")),
    );

    let arguments = ["../model", "../ids.jsonl", "quantized", "10"];
    let ((c_said, c_wrote), (rust_said, rust_wrote)) = (
        run(&c, &toy, "in_c", arguments),
        run(&rust, &toy, "in_rust", arguments),
    );
    let lines = String::from_utf8_lossy(&rust_said.stdout);
    assert!(
        lines.lines().count() == 3 && lines.contains("%  model.layers.1  loss "),
        "{rust_said:?}"
    );
    assert_eq!(rust_said, c_said);
    assert!(contents(&rust_wrote) == contents(&c_wrote), "other bytes");

    let arguments = ["../no-model", "../ids.jsonl", "quantized", "10"];
    let (c_said, rust_said) = (
        run(&c, &toy, "c_fails", arguments).0,
        run(&rust, &toy, "rust_fails", arguments).0,
    );
    assert_eq!(rust_said.status.code(), Some(1));
    assert_eq!(rust_said, c_said);

    for iterations in ["abc", "3x", ""] {
        let arguments = ["../model", "../ids.jsonl", "quantized", iterations];
        for program in [&c, &rust] {
            let (said, wrote) = run(program, &toy, "no_number", arguments);
            assert_eq!(said.status.code(), Some(2), "{iterations:?}: {said:?}");
            assert!(String::from_utf8_lossy(&said.stderr).starts_with("usage: "));
            assert!(!wrote.exists());
        }
    }
}

#[test]
fn a_layer_is_tuned_alike() {
    let toy = Toy::new();
    let run = |program: &Path, iters: &str| {
        let output = Command::new(program).arg(iters).output();
        output.expect("a program that runs")
    };
    let (c, rust) = (
        compile_c(&toy, "layer"),
        PathBuf::from(env!("CARGO_BIN_EXE_layer")),
    );
    let said = run(&rust, "30");
    let lines = String::from_utf8_lossy(&said.stdout);
    assert!(
        lines.starts_with("mlp.up_proj: loss 0.") && lines.lines().count() == 2,
        "{said:?}"
    );
    assert_eq!(said, run(&c, "30"));

    let said = run(&rust, "-1");
    assert_eq!(said.status.code(), Some(1));
    assert_eq!(said, run(&c, "-1"));
    for program in [&c, &rust] {
        assert_eq!(run(program, "abc").status.code(), Some(2));
    }
}
