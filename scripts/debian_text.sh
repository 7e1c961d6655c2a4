#!/usr/bin/env bash
# Prints the path of a plain text out of a Debian package, fetched once into .cache/text: debian_text.sh PACKAGE PATH.gz
set -euo pipefail
cd "$(dirname "$0")/.."
package=$1 member=$2
target=.cache/text/$package.txt
if [ ! -s "$target" ]; then
  mkdir -p .cache/text
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && apt-get download -qq "$package" >/dev/null 2>&1 && dpkg-deb -x "$package"_*.deb files)
  gunzip -c "$work/files/$member" > "$target.part"
  mv "$target.part" "$target"
fi
printf '%s\n' "$target"
