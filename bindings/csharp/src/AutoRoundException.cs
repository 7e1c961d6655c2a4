using System;

namespace LibAutoRound {
  /// <summary>Kinds of failure; the numbers are those of autoround.h.</summary>
  public enum ErrorCode {
    /// <summary>An argument or a recipe's value that cannot be.</summary>
    InvalidArgument = -1,
    /// <summary>Not now: a step out of order, an object in use.</summary>
    InvalidState = -2,
    /// <summary>A file, key, tensor or layer that is not there.</summary>
    NotFound = -3,
    /// <summary>The system refused to read or write.</summary>
    Io = -4,
    /// <summary>A text or file that is not well-formed; line and column say where.</summary>
    Parse = -5,
    /// <summary>Well-formed, but not something this library does.</summary>
    Unsupported = -6,
    /// <summary>Memory ran out.</summary>
    OutOfMemory = -7,
    /// <summary>A device failed or is not there.</summary>
    Device = -8,
    /// <summary>Stopped on request.</summary>
    Cancelled = -9,
    /// <summary>Numbers that are not finite.</summary>
    Numeric = -10,
    /// <summary>A defect of the library.</summary>
    Internal = -99
  }

  /// <summary>What a failed call said.</summary>
  public sealed class AutoRoundException : Exception {
    internal AutoRoundException(ErrorCode code, string sentence, string subject, int line, int column)
        : base(subject.Length == 0 || sentence.Contains(subject) ? sentence : subject + ": " + sentence) {
      Code = code;
      Sentence = sentence;
      Subject = subject;
      Line = line;
      Column = column;
    }

    internal static AutoRoundException InvalidState(string sentence) {
      return new AutoRoundException(ErrorCode.InvalidState, sentence, "", 0, 0);
    }

    /// <summary>What kind of failure; a newer library may give numbers that have no name here.</summary>
    public ErrorCode Code { get; }

    /// <summary>A sentence for people; Message has the subject in front of it where it does not name it.</summary>
    public string Sentence { get; }

    /// <summary>What it is about: a file, a recipe key, a tensor or layer, or "".</summary>
    public string Subject { get; }

    /// <summary>1-based line in a text that was parsed; 0 when there is none.</summary>
    public int Line { get; }

    /// <summary>1-based column; 0 when there is none.</summary>
    public int Column { get; }
  }
}
