#!/usr/bin/env bash
# packaged.sh CMAKE BUILD_DIR SOURCE_DIR CARGO WRITE_TOY: packs both crates as they would be published, and builds and runs a project of its own that has
# nothing but what is in them and an installed copy.
set -euo pipefail
cmake=$1 build=$2 source=$3 cargo=$4 write_toy=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset AUTOROUND_LIB_DIR LD_LIBRARY_PATH
"$cmake" --install "$build" --prefix "$work/prefix" > "$work/install.log"
PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig
export PKG_CONFIG_PATH CARGO_TARGET_DIR="$work/target"

cd "$source/bindings/rust"
# The project below is the verification: cargo's own would build the crates without a library beside them.
"$cargo" package --quiet --locked --allow-dirty --no-verify --package autoround-sys --package autoround
mkdir "$work/crates"
for crate in "$work"/target/package/*.crate; do
  tar xzf "$crate" -C "$work/crates"
  printf '%8d  %s\n' "$(stat -c %s "$crate")" "$(basename "$crate")"
done
version=$(sed -nE 's/^Version: //p' "$PKG_CONFIG_PATH/autoround.pc")
[ -f "$work/crates/autoround-$version/README.md" ]

project="$work/a prögram"
mkdir -p "$project/src"
cat > "$project/Cargo.toml" <<TOML
[package]
name = "stranger"
version = "1.0.0"
edition = "2021"

[dependencies]
autoround = "$version"
autoround-sys = "$version"

[patch.crates-io]
autoround = { path = "$work/crates/autoround-$version" }
autoround-sys = { path = "$work/crates/autoround-sys-$version" }
TOML
cp "$source/examples/rust/build.rs" "$project/"
cp "$source/examples/rust/quantize.rs" "$project/src/main.rs"
cd "$project"
"$cargo" build --quiet
"$write_toy" "$work/model" 128 # the example's groups are of 64
cp "$source"/tests/support/tiny_tokenizer/tokenizer*.json "$work/model/"
for i in $(seq 8); do printf '{"input_ids": [%s]}\n' "$(seq -s, "$i" $((i + 15)))"; done > "$work/ids.jsonl"
"$CARGO_TARGET_DIR/debug/stranger" "$work/model" "$work/ids.jsonl" "$work/out" 2
[ -f "$work/out/model.safetensors" ]
