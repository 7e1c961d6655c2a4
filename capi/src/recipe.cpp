#include "recipe/recipe.hpp"

#include "guard.hpp"
#include "recipe/keys.hpp"
#include "recipe/matching.hpp"

using namespace autoround::capi;
using autoround::Code;
using autoround::fail;
namespace recipes = autoround::recipe;

namespace {

recipes::Syntax parse_syntax(const char* syntax) {
  const std::string name = text(syntax, "syntax");
  if (name == "toml") return recipes::Syntax::toml;
  if (name == "yaml") return recipes::Syntax::yaml;
  fail(Code::invalid_argument, "syntax", "syntax `" + name + "` is not known; toml and yaml are");
}

/// Changes a copy and keeps it only when all went well: an error half-way must not show.
template <class Change>
void change(autoround_recipe* recipe, Change&& apply) {
  autoround_recipe& target = deref(recipe, "recipe");
  recipes::Recipe changed = target.impl;
  apply(changed);
  target.impl = std::move(changed);
}

autoround_status set(autoround_recipe* recipe, const char* key, const recipes::Value& value,
                     autoround_error** error) noexcept {
  return guarded(error, [&] {
    change(recipe, [&](recipes::Recipe& changed) { recipes::set_value(changed, text(key, "key"), value); });
  });
}

autoround_status give(autoround_recipe** out, const recipes::Recipe& recipe) {
  auto handle = std::make_unique<autoround_recipe>();
  handle->impl = recipe;
  *out = handle.release();
  return AUTOROUND_OK;
}

}  // namespace

autoround_status autoround_recipe_new(autoround_recipe** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    return give(out, recipes::Recipe());
  });
}

autoround_status autoround_recipe_parse(const char* source, size_t length, const char* syntax, autoround_recipe** out,
                                        autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    return give(out, recipes::Recipe::parse(text(source, length, "text"), parse_syntax(syntax)));
  });
}

autoround_status autoround_recipe_load(const char* path, autoround_recipe** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    return give(out, recipes::Recipe::load(text(path, "path")));
  });
}

autoround_status autoround_recipe_clone(const autoround_recipe* recipe, autoround_recipe** out,
                                        autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    return give(out, deref(recipe, "recipe").impl);
  });
}

autoround_status autoround_recipe_set_string(autoround_recipe* recipe, const char* key, const char* value,
                                             autoround_error** error) noexcept {
  return guarded(error, [&] {
    change(recipe,
           [&](recipes::Recipe& changed) { recipes::set_value(changed, text(key, "key"), text(value, "value")); });
  });
}

autoround_status autoround_recipe_set_int(autoround_recipe* recipe, const char* key, int64_t value,
                                          autoround_error** error) noexcept {
  return set(recipe, key, value, error);
}
autoround_status autoround_recipe_set_double(autoround_recipe* recipe, const char* key, double value,
                                             autoround_error** error) noexcept {
  return set(recipe, key, value, error);
}
autoround_status autoround_recipe_set_bool(autoround_recipe* recipe, const char* key, int32_t value,
                                           autoround_error** error) noexcept {
  return set(recipe, key, value != 0, error);
}

autoround_status autoround_recipe_append(autoround_recipe* recipe, const char* key, const char* value,
                                         autoround_error** error) noexcept {
  return guarded(error, [&] {
    change(recipe,
           [&](recipes::Recipe& changed) { recipes::append_value(changed, text(key, "key"), text(value, "value")); });
  });
}

size_t autoround_recipe_key_count(void) noexcept { return recipes::keys().size(); }
const char* autoround_recipe_key_name(size_t index) noexcept {
  return index < recipes::keys().size() ? recipes::keys()[index].name.c_str() : "";
}
const char* autoround_recipe_key_help(size_t index) noexcept {
  return index < recipes::keys().size() ? recipes::keys()[index].help.c_str() : "";
}

autoround_status autoround_recipe_get(const autoround_recipe* recipe, const char* key, char** out,
                                      autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    *out = owned_string(recipes::get_value(deref(recipe, "recipe").impl, text(key, "key")));
  });
}

autoround_status autoround_recipe_validate(const autoround_recipe* recipe, const autoround_model* model,
                                           autoround_error** error) noexcept {
  return guarded(error, [&] {
    const recipes::Recipe& checked = deref(recipe, "recipe").impl;
    checked.validate();
    if (const autoround_model* target = deref_or_null(model, "model"))
      recipes::assign(checked, target->impl->modules(), target->impl->log());
  });
}

autoround_status autoround_recipe_dump(const autoround_recipe* recipe, const char* syntax, char** out,
                                       autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    *out = owned_string(deref(recipe, "recipe").impl.dump(parse_syntax(syntax)));
  });
}

void autoround_recipe_free(autoround_recipe* recipe) noexcept {
  if (peek(recipe)) delete recipe;
}
