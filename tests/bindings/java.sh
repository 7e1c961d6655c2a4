#!/usr/bin/env bash
# java.sh test|example|consumer SOURCE_DIR SCENE      Exit code 77: skipped. `test` also builds the jars that the others use.
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
consumer)
  # What `mvn install` of the binding left in a local repository, in a Maven project of its own, which finds and runs it by Maven alone.
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  project="$work/a prögram"
  # A repository of the test's own: with what Maven fetched for `test`, so that nothing is fetched twice, and without what others installed.
  mkdir -p "$work/repository"
  [ ! -d ~/.m2/repository ] || cp -a --reflink=auto ~/.m2/repository/. "$work/repository/"
  rm -rf "$work/repository/io/github/libautoround"
  maven() { mvn -B -ntp -Dmaven.repo.local="$work/repository" "$@" > "$work/maven.log" 2>&1 || { tail -n 60 "$work/maven.log"; return 1; }; }
  maven -f "$source/bindings/java/pom.xml" install -DskipTests -Dmaven.javadoc.skip -Dautoround.native="$native" -Dautoround.target="$work/target"
  mkdir -p "$project/src/test/java"
  plugin() { echo "<plugin><groupId>org.apache.maven.plugins</groupId><artifactId>maven-$1-plugin</artifactId><version>$(
    grep -A1 "<artifactId>maven-$1-plugin" "$source/bindings/java/pom.xml" | sed -nE 's/.*<version>(.*)<\/version>.*/\1/p')</version></plugin>"; }
  cat > "$project/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.example</groupId>
  <artifactId>stranger</artifactId>
  <version>1.0</version>
  <properties>
    <maven.compiler.release>17</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
$(sed -nE '/<dependency>/,/<\/dependency>/p' "$source/bindings/java/README.md")
    <dependency>
      <groupId>org.junit.jupiter</groupId>
      <artifactId>junit-jupiter</artifactId>
      <version>$(sed -nE 's/.*<junit.version>(.*)<.*/\1/p' "$source/bindings/java/pom.xml")</version>
    </dependency>
  </dependencies>
  <build><plugins>$(plugin resources)$(plugin compiler)$(plugin surefire)</plugins></build>
</project>
XML
  cat > "$project/src/test/java/StrangerTest.java" <<'JAVA'
import io.github.libautoround.AutoRound;
import io.github.libautoround.Model;
import io.github.libautoround.Recipe;
import java.nio.file.Path;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;

class StrangerTest {
  @Test void quantizes() {
    Assertions.assertEquals(System.getProperty("expected"), AutoRound.version());
    try (Model model = Model.open(Path.of(System.getProperty("model")));
        Recipe recipe = new Recipe().set("scheme", "W8A16").set("weights.group_size", 32).set("iters", 0);
        var result = AutoRound.oneshot(model, recipe, null, null)) {
      Assertions.assertEquals(2, result.blocks().size());
    }
  }
}
JAVA
  maven -f "$project/pom.xml" test -DargLine="-Dexpected=$version -Dmodel=$SCENE/data/model -Dautoround.cache.path=$work/cache"
  grep -E 'Tests run' "$work/maven.log" | tail -n 1
  ;;
esac
