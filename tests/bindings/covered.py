"""covered.py SOURCE_DIR: every function of the C ABI is in the facade and in the Rust crate, and every method of the facade is used by the
hand-written layer of each language, or stands below with the reason why not."""

import pathlib
import re
import sys

NOT_IN_FACADE = {
    "autoround_abi_version": "the loader compares the SONAME, which holds it",
    "autoround_error_status": "the status that the call returned says the same",
    "autoround_oneshot": "Session::run makes the same steps and hands each the observer",
    "autoround_tensor_copy": "the languages copy out of Tensor::bytes",
    "autoround_tensor_from_dlpack": "nobody makes DLPack's C structure there; Tensor::create copies an array",
    "autoround_tensor_to_dlpack": "no consumer of DLPack's C structure there; Tensor::bytes gives the memory",
    "autoround_version_number": "the version as a text; packages have versions of their own",
}
NOT_IN_RUST = {"autoround_error_status": "the status that the call returned says the same"}
NOT_IN_LANGUAGE = {
    ("java", "statusName"): "AutoRoundException.Code names them",
    ("csharp", "statusName"): "ErrorCode names them",
    ("csharp", "isRequested"): "a CancellationToken knows by itself",
    ("go", "isRequested"): "a Context knows by itself",
}
LAYERS = {
    "go": ("bindings/go", "*.go"),
    "java": ("bindings/java/src/main/java", "**/*.java"),
    "csharp": ("bindings/csharp/src", "**/*.cs"),
}


def text_of(folder: pathlib.Path, pattern: str) -> str:
    files = [path for path in sorted(folder.glob(pattern)) if not path.name.endswith("_test.go")]
    assert files, f"{folder}: no {pattern}"
    return "\n".join(path.read_text() for path in files)


def facade_methods(text: str) -> list[tuple[str, str]]:
    """(class, method) of what SWIG sees: no constructors, no virtual functions, nothing between #ifndef SWIG and #endif."""
    text = re.sub(r"#ifndef SWIG\n.*?#endif", "", text, flags=re.DOTALL)
    found = []
    for owner, body in re.findall(r"^class (\w+) \{\n(.*?)^\};", text, flags=re.DOTALL | re.MULTILINE):
        public = body.split(" private:")[0]
        methods = re.findall(r"^  (?![ ]|virtual).*?[ *](\w+)\(.*noexcept", public, flags=re.MULTILINE)
        found += [(owner, method) for method in methods if method != owner]
    return found


def used(language: str, source: str, owner: str, method: str) -> bool:
    if language == "go":
        name = method[0].upper() + method[1:]
        return re.search(rf"(\.{name}\b|\bswig\.{owner}{name}\b)", source) is not None
    return re.search(rf"((\.|::|->){method}\b|\b{method}\()", source) is not None


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    symbols = (root / "capi/abi/symbols.txt").read_text().split()
    facade = text_of(root / "bindings/swig", "facade*.hpp")
    crate = text_of(root / "bindings/rust/autoround/src", "**/*.rs")
    faults = []
    for where, source, exempt in (("the facade", facade, NOT_IN_FACADE), ("the Rust crate", crate, NOT_IN_RUST)):
        for symbol in symbols:
            present = re.search(rf"\b{symbol}\b", source) is not None
            if present == (symbol in exempt):
                faults.append(f"{symbol} is {'exempt but' if present else 'not'} in {where}")
    methods = facade_methods(facade)
    for language, (folder, pattern) in LAYERS.items():
        source = text_of(root / folder, pattern) + (root / f"bindings/swig/{language}.i").read_text()
        for owner, method in methods:
            if used(language, source, owner, method) == ((language, method) in NOT_IN_LANGUAGE):
                faults.append(f"{owner}::{method}: {language} does not use it, or uses it though it is exempt")
    print(f"{len(symbols)} functions of the C ABI, {len(methods)} methods of the facade, {len(LAYERS)} languages above it and Rust")
    print("\n".join(faults))
    return 1 if faults or len(methods) < 80 else 0


sys.exit(main())
