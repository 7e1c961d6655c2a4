#!/usr/bin/env bash
# scene.sh CMAKE BUILD_DIR SOURCE_DIR AUTOROUND WRITE_TOY WORK: what the tests of all languages share, made anew in WORK:
#   prefix/         the library installed
#   example/        a checkpoint that the example programs can take, and what examples/c/quantize.c prints and writes: c.txt, c.err, c.out
#   data/model      a toy checkpoint with a tokenizer
#   data/ids.jsonl  samples, data/recipe.toml a recipe, and data/expected what the command line makes of them
set -euo pipefail
cmake=$1 build=$2 source=$3 autoround=$4 write_toy=$5 work=$6
rm -rf "$work"
mkdir -p "$work/data"
"$cmake" --install "$build" --prefix "$work/prefix" > "$work/install.log"
cd "$work/data"
"$write_toy" model
cp "$source"/tests/support/tiny_tokenizer/tokenizer*.json model/
for i in $(seq 8); do printf '{"input_ids": [%s]}\n' "$(seq -s, "$i" $((i + 15)))"; done > ids.jsonl
cat > recipe.toml <<'TOML'
[quantize_stage.modifiers.AutoRoundModifier]
iters = 4
batch_size = 4
seqlen = 16
ignore = ["lm_head"]

[quantize_stage.modifiers.AutoRoundModifier.config_groups.group_0]
targets = ["Linear"]
weights = { num_bits = 4, type = "int", symmetric = true, strategy = "group", group_size = 32 }
TOML
"$autoround" quantize model --output expected --recipe recipe.toml --calibration ids.jsonl --quiet

mkdir "$work/example" && cd "$work/example"
"$write_toy" model 128 # the examples' groups are of 64
cp ../data/model/tokenizer*.json model/
export PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name autoround.pc)")
eval "flags=($(pkg-config --cflags --libs autoround))"
cc "$source/examples/c/quantize.c" "${flags[@]}" -Wl,-rpath,"$(pkg-config --variable=libdir autoround)" -o quantize
./quantize model ../data/ids.jsonl out 3 > c.txt
mv out c.out
if ./quantize missing ../data/ids.jsonl out 3 2> c.err; then exit 1; fi
