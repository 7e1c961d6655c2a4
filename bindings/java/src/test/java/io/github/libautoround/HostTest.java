package io.github.libautoround;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.libautoround.AutoRoundException.Code;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.ResourceBundle;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HostTest {
  @TempDir Path folder;

  /** Keeps lines, or throws instead. */
  private record Lines(Level least, List<String> lines, RuntimeException thrown) implements System.Logger {
    @Override public String getName() {
      return "test";
    }

    @Override public boolean isLoggable(Level level) {
      return level.getSeverity() >= least.getSeverity();
    }

    @Override public void log(Level level, ResourceBundle bundle, String message, Throwable cause) {
      if (thrown != null) throw thrown;
      lines.add(level + " " + message);
    }

    @Override public void log(Level level, ResourceBundle bundle, String format, Object... arguments) {
      log(level, bundle, format, (Throwable) null);
    }
  }

  private List<String> linesOf(System.Logger.Level least) {
    List<String> lines = new ArrayList<>();
    try (Toy toy = new Toy(folder, 0)) {
      toy.options.logger(new Lines(least, lines, null));
      toy.oneshot().close();
    }
    return lines;
  }

  @Test void logLinesGoToTheLogger() {
    assertTrue(linesOf(System.Logger.Level.INFO).stream().anyMatch(line -> line.startsWith("INFO ") && line.contains("8 samples")));
    assertEquals(List.of(), linesOf(System.Logger.Level.ERROR));
  }

  @Test void whatTheLoggerThrowsComesBack() {
    RuntimeException full = new IllegalStateException("no room for a line");
    try (Toy toy = new Toy(folder, 0)) {
      toy.options.logger(new Lines(System.Logger.Level.INFO, null, full));
      assertSame(full, assertThrows(IllegalStateException.class, toy::oneshot));
      toy.options.logger(null);
      toy.oneshot().close();
    }
  }

  @Test void whatTheLoggerThrowsStopsRounding() {
    RuntimeException full = new IllegalStateException("no room for a line");
    try (Toy toy = new Toy(folder, 0)) {
      toy.recipe.set("iters", 0);
      toy.toDisk().logger(new Lines(System.Logger.Level.INFO, null, full)).onEvent(event -> {}, Event.Kind.ITERATION);
      assertSame(full, assertThrows(IllegalStateException.class, toy::oneshot));
      assertFalse(Files.exists(toy.output));
    }
  }

  @Test void modulesNamedByTheHost() throws IOException {
    try (Toy toy = new Toy(folder, 0); Session session = new Session(toy.model, toy.recipe, toy.data, toy.toDisk())) {
      session.initialize();
      session.start();
      session.sequentialEpochEnd(List.of("model.embed_tokens"));
      List<String> both = List.of("model.layers.0", "model.layers.1");
      AutoRoundException failure = Toy.assertFails(Code.INVALID_ARGUMENT, () -> session.sequentialEpochEnd(both));
      assertTrue(failure.getMessage().contains("found 2"), failure.getMessage());
      List<String> halfNamed = Arrays.asList(both.get(0), null);
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> session.sequentialEpochEnd(halfNamed));
      for (String layer : both) {
        session.nextBlock();
        session.sequentialEpochEnd(List.of(layer + ".input_layernorm", layer));
      }
      session.finish().close();
      Toy.assertExpected(toy.output);
    }
  }

  @Test void resumeGoesOnAfterTheFinishedBlocks() throws IOException {
    RuntimeException stop = new IllegalStateException("enough");
    Set<Long> tuned = new HashSet<>();
    try (Toy toy = new Toy(folder, 0)) {
      toy.toDisk().resume(true).onEvent(event -> {
        if (event.kind() == Event.Kind.BLOCK_BEGIN && event.block() == 1) throw stop;
      });
      assertSame(stop, assertThrows(IllegalStateException.class, toy::oneshot));
      try (var left = Files.newDirectoryStream(toy.output.getParent(), ".*.incomplete-*")) {
        assertTrue(left.iterator().hasNext());
      }
      toy.options.onEvent(event -> tuned.add(event.block()), Event.Kind.ITERATION);
      toy.oneshot().close();
      assertEquals(Set.of(1L), tuned);
      Toy.assertExpected(toy.output);
    }
  }
}
