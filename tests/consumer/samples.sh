#!/usr/bin/env bash
# samples.sh SOURCE_DIR LIBRARY_DIR WRITE_TOY: compiles and runs the C programs that README.md, capi/README.md and the header begin with, on a
# toy whose columns, as those of the model that they name, 64 divides and 128 does not.
set -euo pipefail
source=$1 libraries=$2 write_toy=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$write_toy" SmolLM2-135M-Instruct 192
cp "$source"/tests/support/tiny_tokenizer/tokenizer*.json SmolLM2-135M-Instruct/
for i in $(seq 8); do printf '{"input_ids": [%s]}\n' "$(seq -s, "$i" $((i + 40)))"; done > chats.jsonl

block() { awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$1"; } # the first one
header() { sed -nE '/^ \*     autoround_model \*model/,/^ \* Rules/ s/^ \*     //p' "$1"; }
program() { # program DECLARATIONS: around the sample on stdin, with two iterations
  cat << C
#include <autoround/autoround.h>
#include <stdio.h>
#define autoround_oneshot(model, recipe, data, options, result, error) \\
  (autoround_recipe_set_int(recipe, "iters", 2, error) || autoround_oneshot(model, recipe, data, options, result, error))
int32_t show(void *user_data, const autoround_event *event) { return user_data != NULL || event == NULL; }
int main(void) {
$1
$(cat)
  if (error) fprintf(stderr, "%s: %s\n", autoround_error_subject(error), autoround_error_message(error));
  return error || autoround_result_block_count(result) == 0;
}
C
}
handles='autoround_model *model; autoround_recipe *recipe; autoround_calibration *data; autoround_options *options;
autoround_result *result = NULL; autoround_error *error = NULL;'
block "$source/README.md" | program "$handles" > readme.c
block "$source/capi/README.md" | program "$handles" > capi.c
header "$source/capi/include/autoround/autoround.h" | program '' > header.c
for sample in readme capi header; do
  cc -std=c99 -Wno-unused-result -I"$source/capi/include" $sample.c -L"$libraries" -lautoround -Wl,-rpath,"$libraries" \
    -Wl,--allow-shlib-undefined -o $sample
  ./$sample
  [ -f SmolLM2-W4A16/config.json ]
  rm -r SmolLM2-W4A16
done
