using System;
using System.Collections.Generic;
using System.Threading;

namespace LibAutoRound {
  /// <summary>An opened checkpoint folder; its weights are read when a run needs them. Several threads may use one.</summary>
  public sealed class Model : NativeObject {
    /// <summary>A module of the model: what targets and ignores of a recipe match.</summary>
    public sealed class Module {
      internal Module(string name, string type, long block, long rows, long columns) {
        Name = name;
        Type = type;
        Block = block;
        Rows = rows;
        Columns = columns;
      }

      /// <summary>As named_modules spells it.</summary>
      public string Name { get; }

      /// <summary>"Linear".</summary>
      public string Type { get; }

      /// <summary>Index of its decoder layer, -1 outside of them.</summary>
      public long Block { get; }

      /// <summary>Of the weight; Linear: out features.</summary>
      public long Rows { get; }

      /// <summary>Of the weight; Linear: in features.</summary>
      public long Columns { get; }
    }

    internal readonly Handle<Internal.Model> Raw;

    private Model(Handle<Internal.Model> raw) : base(raw) {
      Raw = raw;
    }

    /// <summary>Opens a Hugging Face folder.</summary>
    public static Model Open(string directory) {
      return new Model(Handle<Internal.Model>.Filled(new Internal.Model(), raw => raw.open(directory)));
    }

    /// <summary>As in config.json: "LlamaForCausalLM".</summary>
    public string Architecture {
      get { return Raw.Use(raw => raw.architecture()); }
    }

    /// <summary>Stored elements.</summary>
    public long ParameterCount {
      get { return Raw.Use(raw => raw.parameterCount()); }
    }

    /// <summary>Of all tensors.</summary>
    public long ByteSize {
      get { return Raw.Use(raw => raw.byteSize()); }
    }

    /// <summary>Names of the decoder layers, which are tuned one at a time.</summary>
    public IReadOnlyList<string> Blocks {
      get { return Raw.Use(raw => AutoRound.List(raw.blockCount(), raw.blockName)); }
    }

    /// <summary>All modules, in named_modules order.</summary>
    public IReadOnlyList<Module> Modules {
      get {
        return Raw.Use(raw => AutoRound.List(raw.moduleCount(),
            i => new Module(raw.moduleName(i), raw.moduleClass(i), raw.moduleBlock(i), raw.moduleSize(i, 0), raw.moduleSize(i, 1))));
      }
    }

    /// <summary>A tensor of the checkpoint as stored, by its name.</summary>
    public Tensor Tensor(string name) {
      return Raw.Use(raw => new Tensor(tensor => raw.tensor(name, tensor)));
    }

    /// <summary>JSON: what the recipe would do to each layer, and the memory, disk and time the run is predicted to need.</summary>
    public string Plan(Recipe recipe, Calibration data = null, Options options = null) {
      return Raw.Use(raw => recipe.Raw.Use(with => Handle<Internal.Calibration>.UseOrNull(data == null ? null : data.Raw,
          on => Options.With(options, null, (chosen, watch) => AutoRound.Text(text => raw.plan(with, on, chosen, text))))));
    }

    /// <summary>exp of the mean negative log-likelihood of every token of a window but its first.</summary>
    /// <param name="data">The windows.</param>
    /// <param name="options">null: defaults.</param>
    /// <param name="progress">Told of EventKinds.Progress when options name it.</param>
    /// <param name="cancellationToken">Stops the run.</param>
    /// <exception cref="OperationCanceledException">The token asked for it.</exception>
    public double Perplexity(Calibration data, Options options = null, IProgress<Event> progress = null,
        CancellationToken cancellationToken = default(CancellationToken)) {
      using (var cancellation = new Cancellation(cancellationToken)) {
        return Raw.Use(raw => data.Raw.Use(on => Options.With(options, cancellation, (chosen, watch) => AutoRound.Number(
            number => Observation.During(progress, watch, cancellation, observer => raw.perplexity(on, chosen, observer, number)),
            number => number.real()))));
      }
    }
  }
}
