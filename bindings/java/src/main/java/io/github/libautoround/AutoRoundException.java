package io.github.libautoround;

/** What a failed call said. */
public final class AutoRoundException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** Kinds of failure. */
  public enum Code {
    INVALID_ARGUMENT(-1), INVALID_STATE(-2), NOT_FOUND(-3), IO(-4), PARSE(-5), UNSUPPORTED(-6), OUT_OF_MEMORY(-7), DEVICE(-8), CANCELLED(-9),
    NUMERIC(-10), INTERNAL(-99),
    /** A code that a newer library gives. */
    UNKNOWN(0);

    private final int number;

    Code(int number) {
      this.number = number;
    }

    static Code of(int number) {
      for (Code code : values()) {
        if (code.number == number) return code;
      }
      return UNKNOWN;
    }

    /** As autoround.h spells it: "AUTOROUND_ERROR_NOT_FOUND". */
    @Override public String toString() {
      return this == UNKNOWN ? "AUTOROUND_UNKNOWN" : "AUTOROUND_ERROR_" + name();
    }
  }

  private final Code code;
  private final String sentence;
  private final String subject;
  private final int line;
  private final int column;

  /** Made by the binding. */
  public AutoRoundException(int code, String sentence, String subject, int line, int column) {
    super(subject.isEmpty() || sentence.contains(subject) ? sentence : subject + ": " + sentence);
    this.code = Code.of(code);
    this.sentence = sentence;
    this.subject = subject;
    this.line = line;
    this.column = column;
  }

  static AutoRoundException invalidState(String sentence) {
    return new AutoRoundException(Code.INVALID_STATE.number, sentence, "", 0, 0);
  }

  /** What kind of failure. */
  public Code code() {
    return code;
  }

  /** A sentence for people; getMessage has the subject in front of it where it does not name it. */
  public String sentence() {
    return sentence;
  }

  /** What it is about: a file, a recipe key, a tensor or layer, or "". */
  public String subject() {
    return subject;
  }

  /** 1-based line in a text that was parsed; 0 when there is none. */
  public int line() {
    return line;
  }

  /** 1-based column; 0 when there is none. */
  public int column() {
    return column;
  }
}
