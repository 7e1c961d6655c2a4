using System;
using System.Collections.Generic;

namespace LibAutoRound {
  /// <summary>Kinds of events, to be combined.</summary>
  [Flags]
  public enum EventKinds {
    /// <summary>A stage or a part of one is done.</summary>
    Progress = 1,
    /// <summary>A decoder layer is next.</summary>
    BlockBegin = 2,
    /// <summary>The captured inputs of a decoder layer.</summary>
    BlockInputs = 4,
    /// <summary>An iteration of tuning is done.</summary>
    Iteration = 8,
    /// <summary>A decoder layer is quantized.</summary>
    BlockEnd = 16,
    /// <summary>All but BlockInputs, which costs memory.</summary>
    Usual = Progress | BlockBegin | Iteration | BlockEnd
  }

  /// <summary>A moment of a run. A copy: it stays valid after the callback.</summary>
  public sealed class Event {
    internal Event(EventKinds kind, double fraction, long block, string name, long iteration, double loss, IReadOnlyList<Tensor> inputs) {
      Kind = kind;
      Fraction = fraction;
      Block = block;
      Name = name;
      Iteration = iteration;
      Loss = loss;
      Inputs = inputs;
    }

    /// <summary>One kind.</summary>
    public EventKinds Kind { get; }

    /// <summary>0 to 1 of the whole run.</summary>
    public double Fraction { get; }

    /// <summary>Index of the decoder layer, -1 when none.</summary>
    public long Block { get; }

    /// <summary>Of the block or stage.</summary>
    public string Name { get; }

    /// <summary>-1 when none; BlockEnd: the best one.</summary>
    public long Iteration { get; }

    /// <summary>Mean squared error, NaN when none; BlockEnd: over all samples.</summary>
    public double Loss { get; }

    /// <summary>
    /// BlockInputs: the full-precision and the quantized stream, [samples, tokens, hidden], the receiver's to dispose of; else empty.
    /// </summary>
    public IReadOnlyList<Tensor> Inputs { get; }
  }

  /// <summary>
  /// Reports on the thread that made the call, during it, unlike Progress&lt;T&gt;. What the action throws stops the run and is thrown by the call.
  /// </summary>
  public sealed class SynchronousProgress : IProgress<Event> {
    private readonly Action<Event> action;

    /// <summary>Calls action for every event.</summary>
    public SynchronousProgress(Action<Event> action) {
      if (action == null) throw new ArgumentNullException("action");
      this.action = action;
    }

    /// <summary>Calls the action.</summary>
    public void Report(Event value) {
      action(value);
    }
  }
}
