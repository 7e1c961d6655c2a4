#!/usr/bin/env bash
# java.sh test|example SOURCE_DIR SCENE      Exit code 77: skipped. `test` also builds the jars that `example` runs with.
set -euo pipefail
what=$1 source=$2 SCENE=$3
here=$(cd "$(dirname "$0")" && pwd)
for tool in javac mvn; do
  command -v $tool > /dev/null || { echo "skipped: no $tool on PATH (a JDK of 17 or newer and Maven)"; exit 77; }
done
export LC_ALL=C.UTF-8 # a JVM knows file names beyond ASCII by the locale only
native=$SCENE/java/native target=$SCENE/java/target
# The jars have the library's version, or they are not found below.
version=$(PKG_CONFIG_PATH=$(dirname "$(find "$SCENE/prefix" -name autoround.pc)") pkg-config --modversion autoround)
jar=$target/autoround-$version
case $what in
test)
  rm -rf "$SCENE/java"
  mkdir -p "$SCENE/java"
  log=$SCENE/java/native.log
  { cmake -S "$source/bindings/java" -B "$native" -DCMAKE_PREFIX_PATH="$SCENE/prefix" && cmake --build "$native"; } > "$log" 2>&1 || { cat "$log"; exit 1; }
  log=$SCENE/java/maven.log
  mvn -B -ntp -f "$source/bindings/java/pom.xml" package -Dautoround.native="$native" -Dautoround.target="$target" \
    -Dautoround.scene="$SCENE/data" > "$log" 2>&1 || { tail -n 100 "$log"; exit 1; }
  grep -E 'Tests run|resident KiB' "$log"
  if grep -E '(WARNING|FATAL ERROR) in native method' "$log"; then
    echo "-Xcheck:jni has something to say: $log"
    exit 1
  fi
  ls "$jar.jar" "$jar-linux-x86_64.jar" "$jar-sources.jar" "$jar-javadoc.jar" > /dev/null
  ;;
example)
  . "$here/example.sh"
  compare_example java -Dautoround.cache.path="$SCENE/java/cache" -cp "$jar.jar:$jar-linux-x86_64.jar" "$source/examples/java/Quantize.java"
  ;;
esac
