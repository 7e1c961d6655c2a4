using System;
using System.Collections.Generic;

namespace LibAutoRound {
  /// <summary>The account of a run, and its tensors when the run had no output folder.</summary>
  public sealed class Result : NativeObject {
    /// <summary>A decoder layer. Losses are mean squared errors over all samples, NaN without data.</summary>
    public sealed class Block {
      internal Block(string name, double lossBefore, double lossAfter, long bestIteration, double seconds) {
        Name = name;
        LossBefore = lossBefore;
        LossAfter = lossAfter;
        BestIteration = bestIteration;
        Seconds = seconds;
      }

      /// <summary>"model.layers.0".</summary>
      public string Name { get; }

      /// <summary>Rounded to nearest.</summary>
      public double LossBefore { get; }

      /// <summary>Tuned.</summary>
      public double LossAfter { get; }

      /// <summary>-1: rounding to nearest was kept.</summary>
      public long BestIteration { get; }

      /// <summary>That the layer took.</summary>
      public double Seconds { get; }
    }

    /// <summary>A linear layer of the model.</summary>
    public sealed class Layer {
      internal Layer(long index, string name, string scheme, string reason) {
        Index = index;
        Name = name;
        Scheme = scheme;
        Reason = reason;
      }

      internal long Index { get; }

      /// <summary>"model.layers.0.self_attn.q_proj".</summary>
      public string Name { get; }

      /// <summary>"" when not quantized.</summary>
      public string Scheme { get; }

      /// <summary>Why not; "" when it was.</summary>
      public string Reason { get; }
    }

    private readonly Handle<Internal.Result> raw;

    private Result(Handle<Internal.Result> raw) : base(raw) {
      this.raw = raw;
    }

    internal Result(Action<Internal.Result> fill) : this(Handle<Internal.Result>.Filled(new Internal.Result(), fill)) {}

    /// <summary>Every decoder layer.</summary>
    public IReadOnlyList<Block> Blocks {
      get {
        return raw.Use(result => AutoRound.List(result.blockCount(), i => new Block(result.blockName(i), result.blockLossBefore(i),
            result.blockLossAfter(i), result.blockBestIteration(i), result.blockSeconds(i))));
      }
    }

    /// <summary>Every linear layer of the model, quantized or not.</summary>
    public IReadOnlyList<Layer> Layers {
      get {
        return raw.Use(result => AutoRound.List(result.layerCount(),
            i => new Layer(i, result.layerName(i), result.layerScheme(i), result.layerReason(i))));
      }
    }

    /// <summary>
    /// A part of a layer: "qweight", "scales", "weight", and where there are such "zero_points", "global_scale", "input_scale",
    /// "input_global_scale"; of the K types of GGUF "scale_factors", "minima", "minimum_factors".
    /// </summary>
    public Tensor Tensor(Layer layer, string part) {
      if (layer == null) throw new ArgumentNullException("layer");
      return raw.Use(result => new Tensor(tensor => result.layerTensor(layer.Index, part, tensor)));
    }

    /// <summary>Sentences for people.</summary>
    public IReadOnlyList<string> Warnings {
      get { return raw.Use(result => AutoRound.List(result.warningCount(), result.warning)); }
    }

    /// <summary>The account as JSON.</summary>
    public string Report {
      get { return raw.Use(result => AutoRound.Text(text => result.report(text))); }
    }

    /// <summary>The account as one self-contained HTML page.</summary>
    public string ReportHtml {
      get { return raw.Use(result => AutoRound.Text(text => result.reportHtml(text))); }
    }
  }
}
