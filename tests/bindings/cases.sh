#!/usr/bin/env bash
# cases.sh SOURCE_DIR: the ten cases that every binding tests have the same names, each spelled as its language does.
set -euo pipefail
cd "$1/bindings"
cases="version bad_path recipe_round_trip text_utf8 token_arrays progress_count cancel_from_callback exception_in_callback use_after_close real_quantization"
# declared LANGUAGE: names of tests, in lower case without underscores
declared() {
  case $1 in
  go) sed -nE 's/^func Test(\w+)\(t \*testing\.T\).*/\1/p' go/*_test.go ;;
  java) sed -nE 's/^ *@Test void (\w+)\(\).*/\1/p' java/src/test/java/io/github/libautoround/*.java ;;
  csharp) sed -nE 's/^ *\[Test\] static void (\w+)\(\).*/\1/p' csharp/tests/*.cs ;;
  rust) sed -nE '/^#\[test\]/{n;s/^fn (\w+)\(\).*/\1/p}' rust/autoround/tests/*.rs ;;
  esac | tr -d _ | tr '[:upper:]' '[:lower:]'
}
missing=0
for language in go java csharp rust; do
  names=$(declared $language)
  for case in $cases; do
    grep -qx "$(tr -d _ <<< "$case")" <<< "$names" || { echo "$language: no test $case"; missing=1; }
  done
  echo "$language: $(wc -l <<< "$names") tests"
done
exit $missing
