package io.github.libautoround.internal;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/**
 * Finds libautoround_jni.so, once: in the folder of -Dautoround.native.path and nowhere else when that is set; in java.library.path; in
 * the native jar, from which it is copied to a folder of its own in -Dautoround.cache.path (default ~/.cache/autoround).
 *
 * <p>LibTorch is found by libautoround itself, or taken from the folder that -Dautoround.torch.path or the environment's
 * AUTOROUND_TORCH_DIR names.
 */
public final class NativeLoader {
  private static final String LIBRARY = "libautoround_jni.so";
  private static final String PLATFORM = "linux-x86_64";
  private static boolean loaded;

  private NativeLoader() {}

  /** Loads the library if that has not been done; UnsatisfiedLinkError says where it was looked for and what is missing. */
  public static synchronized void load() {
    if (loaded) return;
    List<String> tried = new ArrayList<>();
    if (!loadTorch(tried) || !loadFirst(tried)) {
      throw new UnsatisfiedLinkError("libautoround cannot be loaded:\n  " + String.join("\n  ", tried) + "\n" + advice(String.join(" ", tried)));
    }
    loaded = true;
  }

  private static boolean loadTorch(List<String> tried) {
    String directory = System.getProperty("autoround.torch.path", System.getenv("AUTOROUND_TORCH_DIR"));
    if (directory == null || directory.isEmpty()) return true;
    // As when the library is built, the folder above lib/ will do.
    Path folder = Files.exists(Path.of(directory, "lib", "libc10.so")) ? Path.of(directory, "lib") : Path.of(directory);
    // Once these are in the process, libautoround's need of them by name is met.
    return attempt(tried, "autoround.torch.path or AUTOROUND_TORCH_DIR", () -> {
      for (String name : List.of("libc10.so", "libtorch_cpu.so")) System.load(existing(folder.resolve(name)));
    });
  }

  private static boolean loadFirst(List<String> tried) {
    String chosen = System.getProperty("autoround.native.path");
    if (chosen != null && !chosen.isEmpty()) {
      return attempt(tried, "autoround.native.path", () -> System.load(existing(Path.of(chosen, LIBRARY))));
    }
    return attempt(tried, "java.library.path", () -> System.loadLibrary("autoround_jni"))
        || attempt(tried, "native jar", () -> System.load(extracted().resolve(LIBRARY).toString()));
  }

  private interface Attempt {
    void run() throws IOException;
  }

  private static boolean attempt(List<String> tried, String place, Attempt attempt) {
    try {
      attempt.run();
      return true;
    } catch (IOException | UnsatisfiedLinkError failure) {
      tried.add(place + ": " + failure.getMessage());
      return false;
    }
  }

  private static String existing(Path file) throws IOException {
    if (!Files.exists(file)) throw new IOException("there is no " + file.toAbsolutePath());
    return file.toAbsolutePath().toString();
  }

  private static String advice(String tried) {
    if (tried.contains("libtorch") || tried.contains("libc10")) {
      return "LibTorch 2.11 is missing: set AUTOROUND_TORCH_DIR to the folder that holds libtorch_cpu.so (site-packages/torch/lib of the torch wheel).";
    }
    if (!PLATFORM.equals(platform())) return "This is " + platform() + "; the library is built for " + PLATFORM + ".";
    return "Add autoround with classifier " + PLATFORM + " to the class path, or set -Dautoround.native.path to the folder of " + LIBRARY + ".";
  }

  private static String platform() {
    String os = System.getProperty("os.name").toLowerCase().startsWith("linux") ? "linux" : System.getProperty("os.name");
    String arch = System.getProperty("os.arch");
    return os + "-" + (arch.equals("amd64") ? "x86_64" : arch);
  }

  /** Copies the libraries of the native jar where that was not done before, and checks them by their hashes. */
  private static Path extracted() throws IOException {
    String root = "native/lib/" + platform() + "/";
    byte[] sums = resource(root + "SHA256SUMS");
    String base = System.getProperty("autoround.cache.path", System.getProperty("user.home") + File.separator + ".cache" + File.separator + "autoround");
    Path folder = Path.of(base, hash(sums).substring(0, 16)).toAbsolutePath();
    Files.createDirectories(folder.getParent());
    if (!Files.exists(folder)) {
      Path fresh = Files.createTempDirectory(folder.getParent(), "new", PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      try {
        Files.move(fresh, folder, StandardCopyOption.ATOMIC_MOVE);
      } catch (IOException otherProcessWasFirst) {
        Files.delete(fresh);
      }
    }
    for (String line : new String(sums, StandardCharsets.UTF_8).split("\n")) {
      String[] parts = line.trim().split("\\s+", 2);
      copyUnlessThere(root + parts[1], folder.resolve(parts[1]), parts[0]);
    }
    return folder;
  }

  private static void copyUnlessThere(String resource, Path file, String wanted) throws IOException {
    if (Files.exists(file) && hash(Files.readAllBytes(file)).equals(wanted)) return;
    byte[] bytes = resource(resource);
    if (!hash(bytes).equals(wanted)) throw new IOException(resource + " is not what its SHA256SUMS says");
    Path part = Files.createTempFile(file.getParent(), file.getFileName().toString(), ".part");
    Files.write(part, bytes);
    Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
  }

  private static byte[] resource(String name) throws IOException {
    // Not the class's own: of a named module that one sees its module alone, and the libraries are in another jar.
    try (InputStream stream = NativeLoader.class.getClassLoader().getResourceAsStream(name)) {
      if (stream == null) throw new IOException("there is no " + name + " on the class path");
      return stream.readAllBytes();
    }
  }

  private static String hash(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException impossible) {
      throw new AssertionError(impossible);
    }
  }
}
