package io.github.libautoround;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.function.Executable;

/** What a run needs, from the folder that tests/bindings/scene.sh makes: a toy checkpoint, samples, a recipe, the command line's output. */
final class Toy implements AutoCloseable {
  final Model model;
  final Recipe recipe;
  final Calibration data;
  final Options options = new Options();
  final Path output;

  /** iters 0: the recipe's. */
  Toy(Path folder, long iters) {
    model = Model.open(scene("model"));
    recipe = Recipe.load(scene("recipe.toml"));
    if (iters > 0) recipe.set("iters", iters);
    data = new Calibration(16);
    assertEquals(8, data.addFile(scene("ids.jsonl"), 0, false));
    output = folder.resolve("out");
  }

  static Path scene(String name) {
    String scene = System.getProperty("autoround.scene", "");
    assumeFalse(scene.isEmpty(), "autoround.scene names no folder that tests/bindings/scene.sh made");
    return Path.of(scene, name);
  }

  Options toDisk() {
    return options.output(output, "compressed-tensors");
  }

  Result oneshot() {
    return AutoRound.oneshot(model, recipe, data, options);
  }

  /** The output is file by file what the command line wrote. */
  static void assertExpected(Path output) throws IOException {
    Map<String, byte[]> want = contents(scene("expected"));
    Map<String, byte[]> got = contents(output);
    assertEquals(want.keySet(), got.keySet());
    for (String name : want.keySet()) assertArrayEquals(want.get(name), got.get(name), name);
  }

  private static Map<String, byte[]> contents(Path folder) throws IOException {
    Map<String, byte[]> files = new TreeMap<>();
    try (Stream<Path> list = Files.list(folder)) {
      for (Path file : list.toList()) files.put(file.getFileName().toString(), Files.readAllBytes(file));
    }
    return files;
  }

  static AutoRoundException assertFails(AutoRoundException.Code code, Executable call) {
    AutoRoundException failure = assertThrows(AutoRoundException.class, call);
    assertEquals(code, failure.code(), failure.getMessage());
    return failure;
  }

  @Override public void close() {
    model.close();
    recipe.close();
    data.close();
    options.close();
  }
}
