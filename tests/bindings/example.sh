# compare_example PROGRAM...: sourced; the example of a language tells the story of examples/c/quantize.c in the same words,
# figures and bytes. SCENE is the folder of scene.sh.
compare_example() {
  local work
  work=$(mktemp -d)
  (
    cp -r "$SCENE/example/model" "$work/"
    cd "$work"
    "$@" model "$SCENE/data/ids.jsonl" out 3 > said.txt
    diff "$SCENE/example/c.txt" said.txt
    diff -r "$SCENE/example/c.out" out
    if "$@" missing "$SCENE/data/ids.jsonl" out2 3 2> said.err; then
      echo "a model that is not there was quantized"
      exit 1
    fi
    diff "$SCENE/example/c.err" said.err
  )
  rm -rf "$work"
}
