package autoround

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// Recipe says what is computed: schemes, targets, iterations. It travels with the output.
type Recipe struct{ h *handle[swig.Recipe] }

// Keys are settings of a recipe: string, bool, int, int64, float64, or []string for keys that take several values.
type Keys map[string]any

func newRecipe(fill func(swig.Recipe) error) (*Recipe, error) {
	raw := swig.NewRecipe()
	if err := fill(raw); err != nil {
		swig.DeleteRecipe(raw)
		return nil, wrap(err)
	}
	recipe := &Recipe{}
	recipe.h = own(recipe, raw, swig.DeleteRecipe)
	return recipe, nil
}

// NewRecipe is a recipe with every key at its default but these; "scheme" is one that it needs.
func NewRecipe(keys Keys) (*Recipe, error) {
	recipe, err := newRecipe(swig.Recipe.Create)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(keys))
	if i := slices.Index(names, "scheme"); i >= 0 { // other keys refine it
		names = slices.Insert(slices.Delete(names, i, i+1), 0, "scheme")
	}
	for _, name := range names {
		if err := recipe.Set(name, keys[name]); err != nil {
			recipe.Close()
			return nil, err
		}
	}
	return recipe, nil
}

// ParseRecipe reads "toml" or "yaml". An *Error has the line and column.
func ParseRecipe(text, syntax string) (*Recipe, error) {
	return newRecipe(func(r swig.Recipe) error { return r.Parse(text, syntax) })
}

// LoadRecipe reads a .toml, .yaml or .yml file.
func LoadRecipe(path string) (*Recipe, error) {
	return newRecipe(func(r swig.Recipe) error { return r.Load(path) })
}

// Clone is an independent copy.
func (r *Recipe) Clone() (*Recipe, error) {
	var clone *Recipe
	err := do(r.h, "recipe", func(raw swig.Recipe) (err error) {
		clone, err = newRecipe(func(c swig.Recipe) error { return c.CopyFrom(raw) })
		return err
	})
	return clone, err
}

// Set gives a key a value of the types of [Keys]; a []string is appended, value by value.
func (r *Recipe) Set(key string, value any) error {
	return do(r.h, "recipe", func(raw swig.Recipe) error {
		switch value := value.(type) {
		case string:
			return raw.SetString(key, value)
		case bool:
			return raw.SetBool(key, value)
		case int:
			return raw.SetInt(key, int64(value))
		case int64:
			return raw.SetInt(key, value)
		case float64:
			return raw.SetDouble(key, value)
		case []string:
			for _, one := range value {
				if err := raw.Append(key, one); err != nil {
					return err
				}
			}
			return nil
		}
		return &Error{Code: InvalidArgument, Message: fmt.Sprintf("%s: a recipe takes no %T", key, value), Subject: key}
	})
}

// Get is the value as text, "" when unset.
func (r *Recipe) Get(key string) (value string, err error) {
	err = do(r.h, "recipe", func(raw swig.Recipe) (err error) {
		value, err = text(func(out swig.TextOut) error { return raw.Get(key, out) })
		return err
	})
	return value, err
}

// Validate checks the rules that need no model and, with one, that every target matches and every group size divides.
func (r *Recipe) Validate(model *Model) error {
	return do(r.h, "recipe", func(raw swig.Recipe) error {
		if model == nil {
			return raw.Validate(swig.SwigcptrModel(0))
		}
		return do(model.h, "model", raw.Validate)
	})
}

// Dump is "toml" or "yaml" text that parses back to an equal recipe.
func (r *Recipe) Dump(syntax string) (value string, err error) {
	err = do(r.h, "recipe", func(raw swig.Recipe) (err error) {
		value, err = text(func(out swig.TextOut) error { return raw.Dump(syntax, out) })
		return err
	})
	return value, err
}

// Close frees the recipe. It never fails.
func (r *Recipe) Close() error {
	r.h.close()
	return nil
}

// RecipeKeys are the keys that [Recipe.Set] knows, with one line of help for each.
func RecipeKeys() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := range swig.RecipeKeyCount() {
			if !yield(swig.RecipeKeyName(i), swig.RecipeKeyHelp(i)) {
				return
			}
		}
	}
}
