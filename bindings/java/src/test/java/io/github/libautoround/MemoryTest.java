package io.github.libautoround;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.libautoround.AutoRoundException.Code;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ReadOnlyBufferException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MemoryTest {
  @TempDir Path folder;

  private static long residentKiB() throws IOException {
    System.gc();
    return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]) * 4;
  }

  private static void fail(Recipe recipe, Path path, int times) {
    for (int i = 0; i < times; i++) {
      assertThrows(AutoRoundException.class, () -> Model.open(path));
      assertThrows(AutoRoundException.class, () -> recipe.set("no_such_key", path.toString()));
    }
  }

  @Test void failingCallsLeakNothing() throws IOException {
    Path path = Path.of("/no/such/" + "x".repeat(200));
    try (Recipe recipe = new Recipe()) {
      fail(recipe, path, 25000); // the compiler and the heap settle
      long before = residentKiB();
      long handles = AutoRound.liveHandles("");
      fail(recipe, path, 50000);
      long after = residentKiB();
      System.out.println("resident KiB before 100,000 failing calls: " + before + ", after: " + after);
      assertTrue(after - before < 16 * 1024, before + " KiB, then " + after);
      assertTrue(AutoRound.liveHandles("") <= handles); // what earlier tests forgot may have gone meanwhile
      assertEquals(0, AutoRound.liveHandles("error"));
    }
  }

  /** Collects until no more than so many handles of a kind are alive. */
  private static void awaitHandles(String kind, long count) throws InterruptedException {
    for (int i = 0; AutoRound.liveHandles(kind) > count; i++) {
      assertTrue(i < 1000, () -> AutoRound.liveHandles(kind) + " of kind " + kind);
      System.gc();
      Thread.sleep(10);
    }
  }

  @Test void runsLeakNothing() {
    try (Toy toy = new Toy(folder, 1)) {
      toy.options.onEvent(event -> {});
      toy.oneshot().close();
      long handles = AutoRound.liveHandles("");
      for (int i = 0; i < 20; i++) toy.oneshot().close();
      assertEquals(handles, AutoRound.liveHandles(""));
    }
  }

  private void round() {
    try (Toy toy = new Toy(folder, 1)) {
      toy.options.onEvent(event -> {});
      toy.oneshot().close();
    }
  }

  private static long entries(String directory) throws IOException {
    try (Stream<Path> list = Files.list(Path.of(directory))) {
      return list.count();
    }
  }

  /** Without files that the virtual machine opens now and then for a moment, and those that other tests have left to the collector. */
  private static long steadyDescriptors() throws IOException, InterruptedException {
    System.gc();
    long least = Long.MAX_VALUE;
    for (int i = 0; i < 100; i++) {
      least = Math.min(least, entries("/proc/self/fd"));
      Thread.sleep(10);
    }
    return least;
  }

  /** Open, quantize, close, collect. */
  @Test void roundsAreSteady() throws IOException, InterruptedException {
    for (int i = 0; i < 50; i++) round();
    long before = residentKiB();
    long threads = entries("/proc/self/task");
    long descriptors = steadyDescriptors();
    for (int i = 50; i < 1000; i++) {
      round();
      if (i % 50 == 0) System.gc();
    }
    long after = residentKiB();
    System.out.println("resident KiB after 50 rounds: " + before + ", after 1,000: " + after);
    assertTrue(after < before * 1.01, before + " KiB, then " + after);
    assertTrue(entries("/proc/self/task") <= threads, threads + " threads, then " + entries("/proc/self/task"));
    assertEquals(descriptors, steadyDescriptors());
  }

  @Test void whatCannotBeFilledIsFreed() {
    List<String> freed = new ArrayList<>();
    StackOverflowError deep = new StackOverflowError("no exception, an error");
    assertSame(deep, assertThrows(StackOverflowError.class, () -> NativeObject.made("object", freed::add, object -> {
      throw deep;
    })));
    assertEquals(List.of("object"), freed);
  }

  @Test void whatIsForgottenIsFreed() throws InterruptedException {
    for (int i = 0; i < 100; i++) {
      new Recipe();
      new Options();
      new CancelToken();
    }
    awaitHandles("recipe", 0);
    awaitHandles("options", 0);
    awaitHandles("cancel", 0);
  }

  @Test void tensorsAreBuffersThatKeepTheirMemory() throws InterruptedException {
    try (Toy toy = new Toy(folder, 0)) {
      ByteBuffer codes;
      byte[] copy;
      try (Result result = toy.oneshot()) {
        Result.Layer layer = result.layers().stream().filter(l -> !l.scheme().isEmpty()).findFirst().orElseThrow();
        assertEquals(14, result.layers().stream().filter(l -> !l.scheme().isEmpty()).count());
        try (Tensor tensor = result.tensor(layer, "qweight")) {
          assertEquals("U8", tensor.dtype());
          assertEquals(tensor.shape()[0] * tensor.shape()[1], tensor.byteSize());
          codes = tensor.buffer();
          copy = new byte[codes.remaining()];
          codes.duplicate().get(copy);
          assertEquals(copy[5], tensor.buffer(5, 1).get(0));
          assertEquals(0, tensor.buffer(tensor.byteSize(), 0).remaining());
          assertThrows(IndexOutOfBoundsException.class, () -> tensor.buffer(tensor.byteSize(), 1));
          assertThrows(IndexOutOfBoundsException.class, () -> tensor.buffer(-1, 1));
        }
        Toy.assertFails(Code.NOT_FOUND, () -> result.tensor(layer, "zero_points"));
      }
      for (byte code : copy) assertTrue(code >= 0 && code < 16);
      assertTrue(codes.isDirect());
      ByteBuffer view = codes;
      assertThrows(ReadOnlyBufferException.class, () -> view.put(0, (byte) 1));
      codes = codes.slice(0, copy.length); // keeps the memory too, after tensor and result are closed
      System.gc();
      Thread.sleep(50);
      assertTrue(AutoRound.liveHandles("tensor") >= 1);
      byte[] again = new byte[copy.length];
      codes.get(again);
      assertArrayEquals(copy, again);
    }
  }

  @Test void buffersLetGoOfTheirTensor() throws InterruptedException {
    try (Toy toy = new Toy(folder, 0)) {
      for (int i = 0; i < 10; i++) {
        try (Tensor tensor = toy.model.tensor("model.norm.weight")) {
          assertEquals(128, tensor.buffer().remaining());
        }
      }
      awaitHandles("tensor", 0);
    }
  }
}
