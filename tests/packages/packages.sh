#!/usr/bin/env bash
# packages.sh CPACK BUILD_DIR SOURCE_DIR WRITE_TOY TORCH_DIR: makes the packages and uses each as its users do: the archive unpacked in a folder
# whose path holds a space and a letter beyond ASCII; it and the Debian packages in a root that holds nothing but what their dependencies brought.
set -euo pipefail
cpack=$1 build=$2 source=$3 write_toy=$4 torch=$(realpath "$5")
for tool in dpkg-deb dpkg-query dpkg-shlibdeps chroot; do
  command -v $tool > /dev/null || { echo "skipped: no $tool (Debian's dpkg-dev and coreutils)"; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "skipped: chroot needs root"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
step() { printf -- '-- %s\n' "$*"; }
refuse_build_paths() { # refuse_build_paths LIBRARY
  if readelf -d "$1" | grep RUNPATH | grep -F -e "$source" -e "$torch"; then echo "$1 names folders of the machine that built it"; exit 1; fi
}
newest() { # newest LIBRARY GLIBC|GLIBCXX: the newest version of it that is needed
  readelf -V "$1" | grep -oE "\b$2_[0-9.]+" | sort -Vu | tail -n 1
}

# A build with a tokenizer of another build has no notices: it does not know the crates.
check_notices() { # check_notices PREFIX
  [ ! -e "$build/pkgconfig/THIRD_PARTY_NOTICES" ] || grep -q '^tokenizers ' "$1"/share/doc/*/THIRD_PARTY_NOTICES
}

step 'make'
"$cpack" --config "$build/CPackConfig.cmake" -B "$work/dist" > "$work/cpack.log" 2>&1 || { cat "$work/cpack.log"; exit 1; }
rm -r "$work/dist/_CPack_Packages"
(cd "$work/dist" && du -b -- *)
"$source/scripts/libtorch_runtime.sh" "$work/libtorch" "$torch"
mkdir "$work/toy"
"$write_toy" "$work/toy/model"
for i in $(seq 8); do printf '{"input_ids": [%s]}\n' "$(seq -s, "$i" $((i + 40)))"; done > "$work/toy/ids.jsonl"
cp "$source/tests/support/tiny_tokenizer/tokenizer.json" "$work/toy/model/"
# What is asked of every installed command: all but the loader's own search is taken away from it.
use() { # use COMMAND TOY_DIR PREFIX...
  local command=$1 toy=$2
  shift 2
  "$@" "$command" version > "$work/said"
  grep -q "^autoround $version" "$work/said" || { cat "$work/said"; exit 1; }
  "$@" "$command" quantize "$toy/model" --output "$toy/quantized" --scheme W4A16 --group-size 32 --seqlen 16 --iters 2 \
    --calibration "$toy/ids.jsonl" --quiet
}
version=$(sed -nE 's/^Version: //p' "$build/pkgconfig/autoround.pc")

step 'archive'
unpacked="$work/préfixe with space"
mkdir "$unpacked"
tar xzf "$work"/dist/autoround-"$version"-linux-*.tar.gz -C "$unpacked" --strip-components=1
for library in "$unpacked"/lib/libautoround*.so; do refuse_build_paths "$library"; done
# Where docs/packages.md says that the archive runs, made where it is made.
if grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
  for needs in GLIBC GLIBCXX; do
    found=$(newest "$unpacked/lib/libautoround.so" $needs)
    case $found in GLIBC_2.34 | GLIBCXX_3.4.30) ;; *) echo "libautoround.so needs $found"; exit 1 ;; esac
  done
fi
check_notices "$unpacked"
if env -i "$unpacked/bin/autoround" version 2> "$work/said"; then
  [ -e /opt/libtorch/lib ] || { echo "LibTorch was found in a place that nobody documents"; exit 1; }
else
  grep -q 'libtorch_cpu.so\|libc10.so' "$work/said"
fi
# A CMake project links where there is no LibTorch.
cmake=$(dirname "$cpack")/cmake
"$cmake" -S "$source/tests/consumer/find_package" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$unpacked" > "$work/configure.log"
"$cmake" --build "$work/consumer" > "$work/build.log" || { cat "$work/build.log"; exit 1; }
mkdir -p "$unpacked/lib/torch"
ln -s "$work/libtorch" "$unpacked/lib/torch/lib"
use "$unpacked/bin/autoround" "$work/toy" env -i

step 'Debian packages in a root of their own'
root=$work/root
mkdir -p "$root"/{usr/lib,usr/lib64,usr/bin,usr/sbin,opt/libtorch,tmp,proc,dev}
for folder in lib lib64 bin sbin; do ln -s usr/$folder "$root/$folder"; done
declare -A taken=()
# The files of a package of this machine and of what it depends on.
take() {
  local name=${1%%:*} dependency
  [ -z "${taken[$name]:-}" ] || return 0
  taken[$name]=1
  dpkg-query -s "$name" > /dev/null 2>&1 || { echo "$name, a dependency, is not installed here"; exit 1; }
  dpkg-query -L "$name" | sed -nE '/^\/(usr\/)?lib/p' | while read -r file; do [ -d "$file" ] || echo "${file#/}"; done > "$work/files"
  tar c -C / -T "$work/files" | tar x -C "$root" --keep-directory-symlink
  for dependency in $(dpkg-query -W -f '${Depends}' "$name" | tr ',' '\n' | sed -E 's/^ *([a-z0-9.+-]+).*/\1/'); do take "$dependency"; done
}
for package in "$work"/dist/*.deb; do
  [ "$(dpkg-deb -f "$package" Version)" = "$version" ]
  dpkg-deb -x "$package" "$work/$(dpkg-deb -f "$package" Package)"
  cp -a "$work/$(dpkg-deb -f "$package" Package)/." "$root/"
  for dependency in $(dpkg-deb -f "$package" Depends | tr ',' '\n' | sed -E 's/^ *([a-z0-9.+-]+).*/\1/'); do
    case $dependency in *autoround*) ;; *) take "$dependency" ;; esac
  done
done
for library in "$root"/usr/lib/libautoround*.so; do refuse_build_paths "$library"; done
check_notices "$root/usr"
mv "$work/libtorch" "$root/opt/libtorch/lib"
cp /proc/cpuinfo "$root/proc/" # LibTorch reads it
mkdir "$root/toy"
"$write_toy" "$root/toy/model"
cp "$work/toy/ids.jsonl" "$root/toy/"
cp "$source/tests/support/tiny_tokenizer/tokenizer.json" "$root/toy/model/"
use /usr/bin/autoround /toy env -i "$(command -v chroot)" "$root"
diff -r "$work/toy/quantized" "$root/toy/quantized"

step 'the archive in the same root'
mkdir "$root/opt/from archive"
tar xzf "$work"/dist/autoround-"$version"-linux-*.tar.gz -C "$root/opt/from archive" --strip-components=1
mv "$root/toy/quantized" "$root/toy/by-packages"
use '/opt/from archive/bin/autoround' /toy env -i "$(command -v chroot)" "$root"
diff -r "$root/toy/by-packages" "$root/toy/quantized"
rm -r "$root/opt/from archive"

step 'a C program against the dev package'
# LibTorch is where this machine's linker does not look: autoround.pc sees to it that it need not.
cc -std=c99 "$source/examples/c/quantize.c" $(PKG_CONFIG_LIBDIR=$root/usr/lib/pkgconfig pkg-config --define-prefix --cflags --libs autoround) \
  -o "$root/usr/bin/program"
# The toy's columns are multiples of 32, the example's groups are of 64: the message must say so.
if env -i "$(command -v chroot)" "$root" /usr/bin/program /toy/model /toy/ids.jsonl /toy/out 2 2> "$work/said"; then exit 1; fi
grep -q group_size "$work/said"

step 'sizes'
rm -r "$root/toy" "$root/usr/bin/program"
du -shc --si "$root/opt" "$root/usr"
