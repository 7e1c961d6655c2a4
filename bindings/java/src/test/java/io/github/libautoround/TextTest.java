package io.github.libautoround;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.libautoround.AutoRoundException.Code;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TextTest {
  private static final String FACE = "\uD83D\uDE00";

  @TempDir Path folder;

  @Test void recipeRoundTrip() {
    String name = "re:.*" + FACE + "é";
    try (Recipe recipe = new Recipe().set("scheme", "W4A16").append("ignore", name, "lm_head"); Recipe copy = recipe.copy()) {
      assertTrue(recipe.get("ignore").contains(name), recipe.get("ignore"));
      try (Recipe yaml = Recipe.parse(recipe.dump("yaml"), "yaml"); Recipe toml = Recipe.parse(yaml.dump("toml"), "toml")) {
        assertEquals(recipe.dump("toml"), toml.dump("toml"));
      }
      copy.set("iters", 7).set("lr", 0.5).set("enable_minmax_tuning", false);
      assertEquals("7", copy.get("iters"));
      assertFalse(recipe.get("iters").equals("7"));
    }
  }

  private static Calibration withTokenizer() {
    return new Calibration(32).tokenizer(Toy.scene("model").resolve("tokenizer.json"));
  }

  /** The toy's tokenizer knows bytes: NUL is one, U+1F600 is four; JNI's modified UTF-8 would make two and six of them. */
  @Test void textUtf8() {
    Map<String, Long> tokens = Map.of("x", 1L, "x\0x", 3L, "x" + FACE + "x", 6L, "\0" + FACE + "\0", 6L);
    tokens.forEach((text, count) -> {
      try (Calibration data = withTokenizer()) {
        assertEquals(count, data.addText(text).tokenCount(), text);
      }
    });
    try (Calibration data = withTokenizer()) {
      assertEquals(2, data.addWindows("abc ".repeat(100), 2, true));
      assertEquals(2, data.sampleCount());
    }
  }

  @Test void aNameWithNulIsRefused() {
    try (Recipe recipe = new Recipe()) {
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> recipe.set("scheme", "W4A16\0"));
    }
  }

  @Test void pathsAreUtf8() throws IOException {
    Path copy = Files.createDirectory(folder.resolve("modèle " + FACE));
    try (Stream<Path> files = Files.list(Toy.scene("model"))) {
      for (Path file : files.toList()) Files.copy(file, copy.resolve(file.getFileName().toString()));
    }
    Model.open(copy).close();
    Path missing = folder.resolve(FACE);
    assertTrue(Toy.assertFails(Code.NOT_FOUND, () -> Model.open(missing)).getMessage().contains(FACE));
  }

  @Test void tokenArrays() {
    try (Calibration data = new Calibration(8)) {
      data.addTokens(1, 2, 3).addTokens(LongBuffer.wrap(new long[] {4, 5}));
      assertEquals(5, data.tokenCount());
      LongBuffer direct = ByteBuffer.allocateDirect(80).order(ByteOrder.nativeOrder()).asLongBuffer();
      for (int i = 0; i < 10; i++) direct.put(i, i == 0 ? -1 : i); // the position skips what would be refused
      direct.position(1).limit(5);
      data.addTokens(direct);
      assertEquals(9, data.tokenCount());
      assertEquals(1, direct.position());
      LongBuffer swapped = ByteBuffer.allocateDirect(16).order(ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN).asLongBuffer();
      data.addTokens(swapped.put(0, 6).put(1, 7));
      assertEquals(11, data.tokenCount());
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> data.addTokens(new long[0]));
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> data.addTokens(1, -2));
      direct.position(0);
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> data.addTokens(direct));
    }
  }

  @Test void version() {
    assertTrue(AutoRound.buildInfo().contains(AutoRound.version()));
    assertTrue(AutoRound.schemes().contains("W4A16") && AutoRound.hasFeature("scheme.W4A16") && !AutoRound.hasFeature("nothing"));
    assertTrue(AutoRound.formats().contains("compressed-tensors"));
    assertFalse(Recipe.keys().get("weights.group_size").isEmpty());
    Toy.assertFails(Code.INVALID_ARGUMENT, () -> AutoRound.setThreads(-1));
  }
}
