package io.github.libautoround.internal;

import io.github.libautoround.AutoRoundException;
import java.nio.charset.StandardCharsets;

/** What typemaps call. */
final class Failure {
  private Failure() {}

  /** Throws what an owned Status says; 0 is none. */
  static void check(long status) {
    if (status == 0) return;
    Status said = new Status(status, true);
    try {
      throw new AutoRoundException(said.code(), said.message(), said.subject(), said.line(), said.column());
    } finally {
      said.delete();
    }
  }

  static String text(byte[] utf8) {
    return utf8 == null ? null : new String(utf8, StandardCharsets.UTF_8);
  }
}
