package io.github.libautoround;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;

/** What is computed: schemes, targets, iterations. It travels with the output. */
public final class Recipe extends NativeObject<io.github.libautoround.internal.Recipe> {
  /** Every key at its default; set "scheme" at least. */
  public Recipe() {
    this(io.github.libautoround.internal.Recipe::create);
  }

  private Recipe(Consumer<io.github.libautoround.internal.Recipe> fill) {
    super(made(new io.github.libautoround.internal.Recipe(), io.github.libautoround.internal.Recipe::delete, fill),
        io.github.libautoround.internal.Recipe::delete);
  }

  /** Reads "toml" or "yaml" text. The exception has line and column. */
  public static Recipe parse(String text, String syntax) {
    return new Recipe(raw -> raw.parse(text, syntax));
  }

  /** Reads a .toml, .yaml or .yml file. */
  public static Recipe load(Path path) {
    return new Recipe(raw -> raw.load(path.toString()));
  }

  /** An independent copy. */
  public Recipe copy() {
    return use(original -> new Recipe(raw -> raw.copyFrom(original)));
  }

  public Recipe set(String key, String value) {
    run(raw -> raw.setString(key, value));
    return this;
  }

  public Recipe set(String key, long value) {
    run(raw -> raw.setInt(key, value));
    return this;
  }

  public Recipe set(String key, double value) {
    run(raw -> raw.setDouble(key, value));
    return this;
  }

  public Recipe set(String key, boolean value) {
    run(raw -> raw.setBool(key, value));
    return this;
  }

  /** For keys that take several values: "ignore", "targets". */
  public Recipe append(String key, String... values) {
    run(raw -> {
      for (String value : values) raw.append(key, value);
    });
    return this;
  }

  /** The value as text, "" when unset. */
  public String get(String key) {
    return use(raw -> AutoRound.text(out -> raw.get(key, out)));
  }

  /** Checks the rules that need no model and, when model is not null, that every target matches and every group size divides. */
  public void validate(Model model) {
    run(raw -> useOrNull(model, of -> {
      raw.validate(of);
      return null;
    }));
  }

  /** "toml" or "yaml" text that parses back to an equal recipe. */
  public String dump(String syntax) {
    return use(raw -> AutoRound.text(out -> raw.dump(syntax, out)));
  }

  /** The keys that the setters know, with one line of help for each. */
  public static Map<String, String> keys() {
    Map<String, String> keys = new LinkedHashMap<>();
    for (long i = 0; i < io.github.libautoround.internal.Recipe.keyCount(); i++) {
      keys.put(io.github.libautoround.internal.Recipe.keyName(i), io.github.libautoround.internal.Recipe.keyHelp(i));
    }
    return keys;
  }
}
