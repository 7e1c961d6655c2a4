using System;

namespace LibAutoRound {
  /// <summary>Token windows to calibrate or measure on. Everything is copied in.</summary>
  public sealed class Calibration : NativeObject {
    internal readonly Handle<Internal.Calibration> Raw;

    private Calibration(Handle<Internal.Calibration> raw) : base(raw) {
      Raw = raw;
    }

    /// <summary>Windows of sequenceLength tokens: shorter samples are padded and masked, longer ones cut.</summary>
    public Calibration(long sequenceLength)
        : this(Handle<Internal.Calibration>.Filled(new Internal.Calibration(), raw => raw.create(sequenceLength))) {}

    /// <summary>A tokenizer.json; the chat template beside it is used when there. Needed for text, not for ids.</summary>
    public Calibration Tokenizer(string path) {
      return With(raw => raw.setTokenizer(path));
    }

    /// <summary>One sample of token ids.</summary>
    public Calibration AddTokens(params long[] ids) {
      if (ids == null) throw new ArgumentNullException("ids");
      return With(raw => raw.addTokens(ids));
    }

#if NET8_0_OR_GREATER
    /// <summary>One sample of token ids.</summary>
    public Calibration AddTokens(ReadOnlySpan<long> ids) {
      return AddTokens(ids.ToArray());
    }
#endif

    /// <summary>One sample of text, which may hold NUL; the tokenizer's special tokens are added.</summary>
    public Calibration AddText(string text) {
      return With(raw => raw.addText(text));
    }

    /// <summary>Cuts a long text into at most limit windows, 0: all. A last partial window is padded, or dropped. Gives the number of windows.</summary>
    public long AddWindows(string text, long limit = 0, bool dropLast = false) {
      return Added((raw, count) => raw.addWindows(text, limit, dropLast, count));
    }

    /// <summary>
    /// At most limit samples of a .jsonl file or a JSON array, 0: all. field is "text", "messages", "input_ids" or "": the first of
    /// these that a sample has. Gives the number of samples.
    /// </summary>
    public long AddJsonl(string path, string field = "", long limit = 0) {
      return Added((raw, count) => raw.addJsonl(path, field, limit, count));
    }

    /// <summary>A file of either kind, told apart by its content. Gives the number of samples.</summary>
    public long AddFile(string path, long limit = 0, bool dropLast = false) {
      return Added((raw, count) => raw.addFile(path, limit, dropLast, count));
    }

    private Calibration With(Action<Internal.Calibration> change) {
      Raw.Run(change);
      return this;
    }

    private long Added(Action<Internal.Calibration, Internal.NumberOut> call) {
      return Raw.Use(raw => AutoRound.Number(count => call(raw, count), count => count.integer()));
    }

    /// <summary>Windows.</summary>
    public long SampleCount {
      get { return Raw.Use(raw => raw.sampleCount()); }
    }

    /// <summary>Without padding.</summary>
    public long TokenCount {
      get { return Raw.Use(raw => raw.tokenCount()); }
    }

    /// <summary>Tokens of a window.</summary>
    public long SequenceLength {
      get { return Raw.Use(raw => raw.sequenceLength()); }
    }
  }
}
