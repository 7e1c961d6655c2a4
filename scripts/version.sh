#!/usr/bin/env bash
# The version's one place is project() in CMakeLists.txt. Manifests that cannot read it repeat it:
#   scripts/version.sh          writes it into them
#   scripts/version.sh --check  says where they differ, and fails
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -nE 's/^  VERSION ([0-9]+\.[0-9]+\.[0-9]+)$/\1/p' CMakeLists.txt)
[ -n "$version" ] || { echo "CMakeLists.txt names no version"; exit 1; }
number='[0-9]+\.[0-9]+\.[0-9]+'
different=0
# put FILE SED_SCRIPT: FILE as the script wants it
put() {
  local wanted
  wanted=$(sed -E "$2" "$1"; echo .) # the dot keeps the last newline
  wanted=${wanted%.}
  grep -qF "$version" <<< "$wanted" || { echo "$1 has no place for a version"; exit 1; }
  cmp -s "$1" <(printf '%s' "$wanted") && return
  if [ "$mode" = --check ]; then
    echo "$1 does not say $version"
    different=1
  else
    printf '%s' "$wanted" > "$1"
    echo "$1: $version"
  fi
}
mode=${1:-}
put bindings/java/pom.xml "0,/<version>$number/s/<version>$number/<version>$version/"
put bindings/rust/Cargo.toml "s/^version = \"$number\"/version = \"$version\"/"
put bindings/rust/autoround/Cargo.toml "s/(path = \"..\/autoround-sys\", version = )\"$number\"/\1\"$version\"/"
put cpp/calibration/tokenizer_ffi/Cargo.toml "0,/^version = /s/^version = \"$number\"/version = \"$version\"/"
for lock in bindings/rust/Cargo.lock cpp/calibration/tokenizer_ffi/Cargo.lock; do
  put $lock "/^name = \"autoround/{n;s/^version = \"$number\"/version = \"$version\"/}"
done
put examples/java/Quantize.java "s/autoround-$number/autoround-$version/g"
put bindings/csharp/README.md "s/AutoRound\.$number\.nupkg/AutoRound.$version.nupkg/"
put bindings/java/README.md "s|<version>$number</version>|<version>$version</version>|"
put docs/packages.md "s/AutoRound\.$number\.nupkg/AutoRound.$version.nupkg/; s/autoround-$number-linux/autoround-$version-linux/"
exit $different
