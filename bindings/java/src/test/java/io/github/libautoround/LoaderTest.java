package io.github.libautoround;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The ways to the native library, each in a JVM of its own. */
class LoaderTest {
  private static final Path LIBRARIES = Path.of(System.getProperty("autoround.native.path"));
  private static final String CLASSES = Path.of(AutoRound.class.getProtectionDomain().getCodeSource().getLocation().getPath()).toString();
  private static final String TESTS = Path.of(LoaderTest.class.getProtectionDomain().getCodeSource().getLocation().getPath()).toString();
  /** The folder that becomes the native jar. */
  private static final String JAR = LIBRARIES.getParent().getParent().getParent().toString();

  @TempDir Path folder;

  /** What a program says that prints the version. */
  public static final class Program {
    public static void main(String[] arguments) {
      System.out.println(AutoRound.version());
    }
  }

  private String run(boolean withJar, String... properties) throws IOException, InterruptedException {
    List<String> arguments = new ArrayList<>(List.of(properties));
    arguments.addAll(List.of("-cp", String.join(":", withJar ? List.of(CLASSES, TESTS, JAR) : List.of(CLASSES, TESTS)), Program.class.getName()));
    return java(arguments);
  }

  private String java(List<String> arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xshare:auto"));
    command.addAll(arguments);
    Process process = new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    process.waitFor();
    return said;
  }

  @Test void fromTheJarIntoACacheThatIsCheckedAndReused() throws Exception {
    String cache = "-Dautoround.cache.path=" + folder.resolve("cache");
    assertEquals(AutoRound.version() + "\n", run(true, cache));
    Path library;
    try (Stream<Path> found = Files.walk(folder)) {
      library = found.filter(p -> p.endsWith("libautoround_jni.so")).findFirst().orElseThrow();
    }
    assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(library.getParent())));
    Object first = Files.readAttributes(library, "unix:ino").get("ino");
    assertEquals(AutoRound.version() + "\n", run(true, cache));
    assertEquals(first, Files.readAttributes(library, "unix:ino").get("ino"));
    Files.write(library, new byte[] {1, 2, 3});
    assertEquals(AutoRound.version() + "\n", run(true, cache));
    try (Stream<Path> left = Files.list(library.getParent())) {
      assertEquals(List.of("libautoround.so.0", "libautoround_jni.so"), left.map(p -> p.getFileName().toString()).sorted().toList());
    }
  }

  @Test void aCacheIsNamedFromWhereTheProgramStarts() throws Exception {
    assertEquals(AutoRound.version() + "\n", run(true, "-Dautoround.cache.path=cache"));
    assertTrue(Files.exists(folder.resolve("cache")));
  }

  /** Names of modules are those of pom.xml, where one of the jars has the classes and the other the library. */
  @Test void fromTheJarsAsNamedModules() throws Exception {
    jar("classes.jar", "io.github.libautoround", CLASSES);
    jar("native.jar", "io.github.libautoround.linux.x86_64", JAR);
    assertEquals(AutoRound.version() + "\n", java(List.of("-Dautoround.cache.path=" + folder.resolve("cache"),
        "--module-path", folder.resolve("classes.jar") + ":" + folder.resolve("native.jar"),
        "--patch-module", "io.github.libautoround=" + TESTS, "-m", "io.github.libautoround/" + Program.class.getName())));
  }

  private void jar(String name, String module, String content) throws IOException {
    Path manifest = Files.writeString(folder.resolve("manifest"), "Automatic-Module-Name: " + module + "\n");
    ToolProvider tool = ToolProvider.findFirst("jar").orElseThrow();
    assertEquals(0, tool.run(System.out, System.err, "-cfm0", folder.resolve(name).toString(), manifest.toString(), "-C", content, "."));
  }

  @Test void fromTheLibraryPath() throws Exception {
    assertEquals(AutoRound.version() + "\n", run(false, "-Djava.library.path=" + LIBRARIES));
  }

  @Test void theErrorNamesEveryPlaceAndWhatIsMissing() throws Exception {
    String nowhere = run(false, "-Djava.library.path=" + folder);
    assertTrue(nowhere.contains("java.library.path: no autoround_jni") && nowhere.contains("SHA256SUMS on the class path")
        && nowhere.contains("classifier linux-x86_64"), nowhere);
    String chosen = run(true, "-Dautoround.native.path=" + folder);
    assertTrue(chosen.contains("there is no " + folder.resolve("libautoround_jni.so")), chosen);
    Files.copy(LIBRARIES.resolve("libautoround_jni.so"), folder.resolve("libautoround_jni.so"));
    String half = run(true, "-Dautoround.native.path=" + folder);
    assertTrue(half.contains("libautoround.so.0: cannot open shared object file"), half);
    String torch = run(true, "-Dautoround.cache.path=" + folder.resolve("cache"), "-Dautoround.torch.path=" + folder);
    assertTrue(torch.contains("there is no " + folder.resolve("libc10.so")) && torch.contains("AUTOROUND_TORCH_DIR"), torch);
    Path below = Files.createDirectory(folder.resolve("lib")).resolve("libc10.so");
    Files.writeString(below, "not a library");
    torch = run(true, "-Dautoround.cache.path=" + folder.resolve("cache"), "-Dautoround.torch.path=" + folder);
    assertTrue(torch.contains(below.toString()), torch);
  }
}
