package io.github.libautoround;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.libautoround.AutoRoundException.Code;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunTest {
  @TempDir Path folder;

  @Test void realQuantization() throws IOException {
    try (Toy toy = new Toy(folder, 0)) {
      toy.toDisk();
      try (Result result = toy.oneshot()) {
        assertEquals(List.of("model.layers.0", "model.layers.1"), result.blocks().stream().map(Result.Block::name).toList());
        for (Result.Block block : result.blocks()) assertTrue(block.lossAfter() <= block.lossBefore());
        assertTrue(result.report().startsWith("{"));
        assertTrue(result.reportHtml().contains("<svg"));
      }
      Toy.assertExpected(toy.output);
    }
  }

  @Test void stepByStepWritesTheSameBytes() throws IOException {
    try (Toy toy = new Toy(folder, 0); Session session = new Session(toy.model, toy.recipe, toy.data, toy.toDisk())) {
      Toy.assertFails(Code.INVALID_STATE, session::start);
      session.initialize();
      session.start();
      long blocks = 0;
      for (OptionalLong block; (block = session.nextBlock()).isPresent(); blocks++) {
        assertEquals(blocks, block.getAsLong());
        session.sequentialEpochEnd();
      }
      assertEquals(2, blocks);
      session.end();
      session.finish().close();
      assertEquals(Session.State.FINALIZED, session.state());
      Toy.assertExpected(toy.output);
    }
  }

  @Test void progressCount() {
    Map<Event.Kind, Integer> kinds = new EnumMap<>(Event.Kind.class);
    List<long[]> shapes = new ArrayList<>();
    try (Toy toy = new Toy(folder, 3)) {
      toy.options.onEvent(event -> {
        kinds.merge(event.kind(), 1, Integer::sum);
        for (Tensor input : event.inputs()) {
          shapes.add(input.shape());
          input.close();
        }
        if (event.kind() == Event.Kind.BLOCK_END) assertTrue(event.name().startsWith("model.layers."), event.name());
      }, Event.Kind.PROGRESS, Event.Kind.BLOCK_INPUTS, Event.Kind.ITERATION, Event.Kind.BLOCK_END);
      toy.oneshot().close();
    }
    assertEquals(Map.of(Event.Kind.PROGRESS, 2, Event.Kind.BLOCK_INPUTS, 2, Event.Kind.ITERATION, 6, Event.Kind.BLOCK_END, 2), kinds);
    assertEquals(4, shapes.size());
    assertEquals(64, shapes.get(0)[2]);
  }

  private void assertCancelled(Toy toy) {
    Toy.assertFails(Code.CANCELLED, toy::oneshot);
    assertFalse(Files.exists(toy.output));
  }

  @Test void aTokenCancelsFromAnotherThread() {
    try (Toy toy = new Toy(folder, 100000); CancelToken token = new CancelToken()) {
      CountDownLatch began = new CountDownLatch(1);
      toy.toDisk().cancel(token).onEvent(event -> began.countDown());
      CompletableFuture<Void> stopper = CompletableFuture.runAsync(() -> {
        try {
          began.await();
        } catch (InterruptedException impossible) {
          throw new AssertionError(impossible);
        }
        token.request();
      });
      assertCancelled(toy);
      stopper.join();
      assertTrue(token.isRequested());
    }
  }

  @Test void cancelFromCallback() {
    try (Toy toy = new Toy(folder, 100000); CancelToken token = new CancelToken()) {
      toy.toDisk().cancel(token).onEvent(event -> {
        if (event.iteration() == 2) token.request();
      });
      assertCancelled(toy);
    }
  }

  @Test void anInterruptCancels() {
    try (Toy toy = new Toy(folder, 100000)) {
      toy.toDisk();
      Thread.currentThread().interrupt();
      assertCancelled(toy);
      assertTrue(Thread.interrupted());
    }
  }

  @Test void anInterruptCancelsRoundingToNearestToo() {
    try (Toy toy = new Toy(folder, 0)) {
      toy.recipe.set("iters", 0L);
      toy.toDisk();
      Thread.currentThread().interrupt();
      assertCancelled(toy);
      assertTrue(Thread.interrupted());
    }
  }

  @Test void exceptionInCallback() {
    try (Toy toy = new Toy(folder, 100000)) {
      long before = AutoRound.liveHandles("");
      toy.toDisk().onEvent(event -> {
        throw new IllegalStateException("from the callback");
      });
      assertEquals("from the callback", assertThrows(IllegalStateException.class, toy::oneshot).getMessage());
      toy.options.onEvent(event -> {
        throw new StackOverflowError("an error too");
      });
      assertEquals("an error too", assertThrows(StackOverflowError.class, toy::oneshot).getMessage());
      assertEquals(before, AutoRound.liveHandles(""));
      assertFalse(Files.exists(toy.output));
    }
  }

  @Test void perplexityTellsProgressAndIsCancelled() {
    try (Toy toy = new Toy(folder, 0); CancelToken token = new CancelToken()) {
      List<Double> fractions = new ArrayList<>();
      toy.options.onEvent(event -> fractions.add(event.fraction()));
      assertTrue(toy.model.perplexity(toy.data, toy.options) > 1);
      assertEquals(1.0, fractions.get(fractions.size() - 1));
      assertTrue(toy.model.perplexity(toy.data, null) > 1);
      toy.options.cancel(token).onEvent(event -> token.request());
      Toy.assertFails(Code.CANCELLED, () -> toy.model.perplexity(toy.data, toy.options));
    }
  }

  @Test void runsInParallelShareAModel() throws IOException {
    try (Toy toy = new Toy(folder, 0)) {
      List<CompletableFuture<Void>> runs = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        Path output = folder.resolve("out" + i);
        runs.add(CompletableFuture.runAsync(() -> {
          try (Options options = new Options().output(output, "compressed-tensors").onEvent(event -> {})) {
            AutoRound.oneshot(toy.model, toy.recipe, toy.data, options).close();
          }
        }));
      }
      for (CompletableFuture<Void> run : runs) run.join();
      for (int i = 0; i < 4; i++) Toy.assertExpected(folder.resolve("out" + i));
    }
  }

  @Test void aModelTellsWhatItIs() {
    try (Toy toy = new Toy(folder, 0)) {
      assertEquals("LlamaForCausalLM", toy.model.architecture());
      assertEquals(List.of("model.layers.0", "model.layers.1"), toy.model.blocks());
      assertTrue(toy.model.parameterCount() > 0 && toy.model.byteSize() == 2 * toy.model.parameterCount());
      assertEquals(7, toy.model.modules().stream().filter(m -> m.type().equals("Linear") && m.block() == 1 && m.columns() > 0).count());
      assertTrue(toy.model.plan(toy.recipe, toy.data, toy.options).contains("memory_bytes"));
      assertTrue(toy.model.plan(toy.recipe, null, null).contains("memory_bytes"));
      toy.recipe.validate(toy.model);
      toy.recipe.validate(null);
      assertEquals(List.of(8L, 128L, 16L), List.of(toy.data.sampleCount(), toy.data.tokenCount(), toy.data.sequenceLength()));
    }
  }
}
