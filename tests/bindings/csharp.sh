#!/usr/bin/env bash
# csharp.sh test|package|example SOURCE_DIR SCENE      Exit code 77: skipped. `test` also builds the package that the others use.
set -euo pipefail
what=$1 source=$2 SCENE=$3
here=$(cd "$(dirname "$0")" && pwd)
for tool in mcs mono; do
  command -v $tool > /dev/null || { echo "skipped: no $tool on PATH (Mono 6)"; exit 77; }
done
export LC_ALL=C.UTF-8 # Mono knows file names beyond ASCII by the locale only
built=$SCENE/csharp/built
# compile WORK SOURCES...: a program against what is in lib/net472 and runtimes/linux-x64/native of the unpacked package or build folder ROOT,
# with everything beside it where Mono and .NET Framework look, as AutoRound.targets copies it.
compile() {
  local work=$1
  shift
  cp "$ROOT/lib/net472/AutoRound.dll" "$ROOT"/runtimes/linux-x64/native/* "$work/"
  mcs -langversion:7 -warnaserror -out:"$work/program.exe" -r:"$work/AutoRound.dll" -r:System.Core.dll "$@"
}
case $what in
test)
  rm -rf "$SCENE/csharp"
  mkdir -p "$SCENE/csharp/tests"
  log=$SCENE/csharp/build.log
  { cmake -S "$source/bindings/csharp" -B "$built" -DCMAKE_PREFIX_PATH="$SCENE/prefix" && cmake --build "$built"; } > "$log" 2>&1 || { cat "$log"; exit 1; }
  ROOT=$built compile "$SCENE/csharp/tests" "$source"/bindings/csharp/tests/*.cs
  mono --debug "$SCENE/csharp/tests/program.exe" "$SCENE"
  # A LibTorch that is not there is named before anything else is tried.
  if AUTOROUND_TORCH_DIR=/nowhere mono "$SCENE/csharp/tests/program.exe" "$SCENE" Version > "$SCENE/csharp/said"; then exit 1; fi
  grep -q '/nowhere/libc10.so' "$SCENE/csharp/said"
  mkdir -p "$SCENE/csharp/torch/lib"
  echo 'not a library' > "$SCENE/csharp/torch/lib/libc10.so"
  if AUTOROUND_TORCH_DIR=$SCENE/csharp/torch mono "$SCENE/csharp/tests/program.exe" "$SCENE" Version > "$SCENE/csharp/said"; then exit 1; fi
  grep -q 'torch/lib/libc10.so' "$SCENE/csharp/said"
  ;;
package)
  # A project of its own, in a folder with a space and a letter beyond ASCII, which has nothing but the .nupkg.
  work=$(mktemp -d)/"a prögram"
  mkdir -p "$work/package" "$work/bin"
  trap 'rm -rf "$(dirname "$work")"' EXIT
  python3 -m zipfile -e "$built"/AutoRound.*.nupkg "$work/package"
  version=$(PKG_CONFIG_PATH=$(dirname "$(find "$SCENE/prefix" -name autoround.pc)") pkg-config --modversion autoround)
  grep -q "<version>$version</version>" "$work/package/AutoRound.nuspec"
  cat > "$work/Program.cs" <<'CS'
static class Program {
  static void Main() {
    System.Console.WriteLine(LibAutoRound.AutoRound.Version);
  }
}
CS
  python3 "$here/restore_package.py" "$work/package" "$work/bin"
  mcs -warnaserror -out:"$work/bin/program.exe" -r:"$work/bin/AutoRound.dll" "$work/Program.cs"
  (cd / && [ "$(mono "$work/bin/program.exe")" = "$version" ])
  # With no native library: an error that says where it was looked for.
  rm "$work"/bin/*.so*
  if (cd / && mono "$work/bin/program.exe") 2> "$work/said"; then exit 1; fi
  grep -q "there is no $work/bin/libautoround_csharp.so" "$work/said"
  ;;
example)
  . "$here/example.sh"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  ROOT=$built compile "$work" "$source/examples/csharp/Quantize.cs"
  compare_example mono "$work/program.exe"
  ;;
esac
