//! The declarations are those of `autoround.h`. C allows a function or a type to be declared again as long as nothing differs,
//! so a C file is made from the Rust source and compiled behind the header.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use autoround_sys as sys;

const FUNCTIONS: &str = include_str!("../src/functions.rs");
const TYPES: &str = include_str!("../src/lib.rs");

fn capi(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../capi")).join(file)
}

/// What stands between each `start` and the next `;`, on one line.
fn items(source: &str, start: &str) -> Vec<String> {
    let source: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let item = |text: &str| text.split(';').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    source.split(start).skip(1).map(item).collect()
}

/// The C spelling of a Rust type: `*const c_char` is `char const *`.
fn c_type(rust: &str) -> String {
    let rust = rust.trim();
    if let Some(target) = rust.strip_prefix("*const ") {
        return c_type(target) + " const *";
    }
    if let Some(target) = rust.strip_prefix("*mut ") {
        return c_type(target) + " *";
    }
    match rust {
        "i32" => "int32_t",
        "i64" => "int64_t",
        "u32" => "uint32_t",
        "u64" => "uint64_t",
        "usize" => "size_t",
        "f64" => "double",
        "c_char" => "char",
        "c_void" => "void",
        "DLManagedTensorVersioned" => "struct DLManagedTensorVersioned",
        name => name,
    }
    .to_owned()
}

/// `name(a: T, b: U) -> R` as a C declaration of `declarator`.
fn c_prototype(signature: &str, declarator: impl Fn(&str) -> String) -> String {
    let (name, rest) = signature.split_once('(').expect("a parameter list");
    let (parameters, result) = rest.split_once(')').expect("the end of a parameter list");
    let parameters: Vec<_> =
        parameters.split(',').filter_map(|parameter| parameter.split_once(':')).map(|(_, rust)| c_type(rust)).collect();
    let parameters = if parameters.is_empty() { "void".to_owned() } else { parameters.join(", ") };
    let result = result.split_once("->").map_or("void".to_owned(), |(_, rust)| c_type(rust));
    format!("{result} {}({parameters});\n", declarator(name.trim()))
}

fn c_typedef(item: &str) -> String {
    let (name, rust) = item.split_once(" = ").expect("an alias");
    match rust.strip_prefix("Option<unsafe extern \"C\" fn").and_then(|signature| signature.strip_suffix('>')) {
        Some(signature) => format!("typedef {}", c_prototype(signature, |_| format!("(*{name})"))),
        None => format!("typedef {} {name};\n", c_type(rust)),
    }
}

fn c_assertion(item: &str) -> String {
    let (name, rest) = item.split_once(':').expect("a constant");
    let (_, value) = rest.split_once(" = ").expect("a value");
    format!("_Static_assert({name} == {value}, \"{name}\");\n")
}

fn c_size<T>(name: &str) -> String {
    let (size, align) = (size_of::<T>(), align_of::<T>());
    format!("_Static_assert(sizeof({name}) == {size} && _Alignof({name}) == {align}, \"{name}\");\n")
}

fn c_file(functions: &str) -> String {
    let mut text = String::from("#include <autoround/autoround.h>\n");
    text.extend(items(TYPES, "pub type ").iter().map(|item| c_typedef(item)));
    text.extend(items(functions, "pub fn ").iter().map(|item| c_prototype(item, str::to_owned)));
    text.extend(items(TYPES, "pub const ").iter().map(|item| c_assertion(item)));
    text += &c_size::<sys::autoround_status>("autoround_status");
    text += &c_size::<sys::autoround_state>("autoround_state");
    text += &c_size::<sys::autoround_event_kind>("autoround_event_kind");
    text += &c_size::<sys::autoround_event_fn>("autoround_event_fn");
    text += &c_size::<sys::autoround_log_fn>("autoround_log_fn");
    text += &c_size::<sys::autoround_release_fn>("autoround_release_fn");
    text += &c_size::<*mut sys::autoround_model>("autoround_model *");
    text
}

/// What the compiler has to say; nothing when all agrees.
fn compile(text: &str) -> Result<(), String> {
    let compiler = std::env::var("CC").unwrap_or("cc".to_owned());
    let mut process = Command::new(compiler)
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-", "-I"])
        .arg(capi("include"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a C compiler");
    process.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("the compiler reads");
    let output = process.wait_with_output().expect("the compiler ends");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn names(source: &str, start: &str, end: char) -> BTreeSet<String> {
    items(source, start).iter().map(|item| item.split(end).next().unwrap_or_default().trim().to_owned()).collect()
}

#[test]
fn every_function_of_the_library_is_declared_and_no_other() {
    let symbols = std::fs::read_to_string(capi("abi/symbols.txt")).expect("the list of symbols");
    let exported: BTreeSet<_> = symbols.lines().map(str::to_owned).collect();
    assert_eq!(names(FUNCTIONS, "pub fn ", '('), exported);
}

#[test]
fn every_constant_of_the_header_is_declared_and_no_other() {
    let header = std::fs::read_to_string(capi("include/autoround/autoround.h")).expect("the header");
    let constant = |word: &str| word.starts_with("AUTOROUND_").then(|| word.to_owned());
    let words: Vec<_> = header.split_whitespace().collect();
    let declared: BTreeSet<_> =
        words.windows(2).filter(|pair| pair[1] == "=").filter_map(|pair| constant(pair[0])).collect();
    assert!(declared.len() > 20, "{declared:?}");
    assert_eq!(names(TYPES, "pub const ", ':'), declared);
}

#[test]
fn signatures_types_and_values_are_those_of_the_header() {
    if let Err(difference) = compile(&c_file(FUNCTIONS)) {
        panic!("{difference}");
    }
}

#[test]
fn a_difference_would_be_found() {
    for (right, wrong) in
        [("value: i64", "value: i32"), ("text: *const c_char", "text: *mut c_char"), ("-> f64", "-> i64")]
    {
        let planted = FUNCTIONS.replacen(right, wrong, 1);
        assert_ne!(planted, FUNCTIONS);
        let said = compile(&c_file(&planted)).expect_err(wrong);
        assert!(said.contains("conflicting types"), "{said}");
    }
}
