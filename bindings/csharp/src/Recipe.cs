using System;
using System.Collections.Generic;

namespace LibAutoRound {
  /// <summary>What is computed: schemes, targets, iterations. It travels with the output.</summary>
  public sealed class Recipe : NativeObject {
    internal readonly Handle<Internal.Recipe> Raw;

    private Recipe(Handle<Internal.Recipe> raw) : base(raw) {
      Raw = raw;
    }

    private Recipe(Action<Internal.Recipe> fill) : this(Handle<Internal.Recipe>.Filled(new Internal.Recipe(), fill)) {}

    /// <summary>Every key at its default; set "scheme" at least.</summary>
    public Recipe() : this(raw => raw.create()) {}

    /// <summary>Reads "toml" or "yaml" text. The exception has line and column.</summary>
    public static Recipe Parse(string text, string syntax) {
      return new Recipe(raw => raw.parse(text, syntax));
    }

    /// <summary>Reads a .toml, .yaml or .yml file.</summary>
    public static Recipe Load(string path) {
      return new Recipe(raw => raw.load(path));
    }

    /// <summary>An independent copy.</summary>
    public Recipe Copy() {
      return Raw.Use(original => new Recipe(raw => raw.copyFrom(original)));
    }

    /// <summary>Sets a key that takes text.</summary>
    public Recipe Set(string key, string value) {
      return With(raw => raw.setString(key, value));
    }

    /// <summary>Sets a key that takes a whole number.</summary>
    public Recipe Set(string key, long value) {
      return With(raw => raw.setInt(key, value));
    }

    /// <summary>Sets a key that takes a number.</summary>
    public Recipe Set(string key, double value) {
      return With(raw => raw.setDouble(key, value));
    }

    /// <summary>Sets a key that is on or off.</summary>
    public Recipe Set(string key, bool value) {
      return With(raw => raw.setBool(key, value));
    }

    /// <summary>For keys that take several values: "ignore", "targets".</summary>
    public Recipe Append(string key, params string[] values) {
      return With(raw => {
        foreach (string value in values) raw.append(key, value);
      });
    }

    private Recipe With(Action<Internal.Recipe> change) {
      Raw.Run(change);
      return this;
    }

    /// <summary>The value as text, "" when unset.</summary>
    public string Get(string key) {
      return Raw.Use(raw => AutoRound.Text(value => raw.get(key, value)));
    }

    /// <summary>Checks the rules that need no model and, when model is not null, that every target matches and every group size divides.</summary>
    public void Validate(Model model = null) {
      Raw.Run(raw => Handle<Internal.Model>.UseOrNull(model == null ? null : model.Raw, of => {
        raw.validate(of);
        return true;
      }));
    }

    /// <summary>"toml" or "yaml" text that parses back to an equal recipe.</summary>
    public string Dump(string syntax) {
      return Raw.Use(raw => AutoRound.Text(text => raw.dump(syntax, text)));
    }

    /// <summary>The keys that the setters know, with one line of help for each.</summary>
    public static IReadOnlyList<KeyValuePair<string, string>> Keys {
      get { return AutoRound.List(Internal.Recipe.keyCount(), i => new KeyValuePair<string, string>(Internal.Recipe.keyName(i), Internal.Recipe.keyHelp(i))); }
    }
  }
}
