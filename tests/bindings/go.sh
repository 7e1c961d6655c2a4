#!/usr/bin/env bash
# go.sh test|generated|example|consumer SOURCE_DIR SCENE      Exit code 77: skipped.
set -euo pipefail
what=$1 source=$2 SCENE=$3
here=$(cd "$(dirname "$0")" && pwd)
PATH=$source/.venv/bin:$PATH # where scripts/bootstrap.sh puts swig, and Go when the machine has none that is new enough
command -v go > /dev/null || { echo "skipped: no go on PATH (1.24 or newer)"; exit 77; }
export PKG_CONFIG_PATH=$(dirname "$(find "$SCENE/prefix" -name autoround.pc)")
export CGO_LDFLAGS="-Wl,-rpath,$(pkg-config --variable=libdir autoround)"
export AUTOROUND_TEST_SCENE=$SCENE/data
case $what in
test)
  cd "$source/bindings/go"
  go vet ./...
  [ -z "$(gofmt -l ./*.go)" ] || { echo "gofmt would change: $(gofmt -l ./*.go)"; exit 1; }
  go test -race -count=1 -p 1 -skip TestRoundsAreSteady ./...
  go test -count=1 -v -run TestRoundsAreSteady .
  ;;
generated)
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  "$source/bindings/go/generate.sh" "$work"
  cp "$source/bindings/go/internal/swig/cgo.go" "$work/" # the one file there that is written by hand
  diff -r "$source/bindings/go/internal/swig" "$work" || { echo "bindings/go/generate.sh was not run after a change of bindings/swig"; exit 1; }
  ;;
example)
  . "$here/example.sh"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$source/examples/go" && go vet ./... && go build -o "$work/quantize" .)
  compare_example "$work/quantize"
  ;;
consumer)
  # A module of its own in a folder with a space and a letter beyond ASCII; nothing is fetched.
  . "$here/example.sh"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  project="$work/a prögram"
  mkdir "$project"
  cp "$source/examples/go/main.go" "$project/"
  cd "$project"
  export GOPROXY=off GOFLAGS=-mod=mod
  go mod init example.org/program 2> /dev/null
  go mod edit -require github.com/libautoround/libautoround/bindings/go@v0.0.0 \
    -replace "github.com/libautoround/libautoround/bindings/go=$source/bindings/go"
  go build -o program .
  compare_example "$project/program"
  ;;
esac
