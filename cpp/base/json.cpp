#include "base/json.hpp"

#include <cmath>
#include <unordered_set>
#include <vector>

#include "base/error.hpp"
#include "base/json_reader.hpp"
#include "base/text.hpp"

namespace autoround {
namespace {

// Builds the tree. An object's members are appended to the vector inside ordered_json directly, since its own insertion
// looks through all members each time; the set beside it is what finds duplicates.
class TreeBuilder final : public JsonReader {
 public:
  using JsonReader::JsonReader;

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(std::int64_t value) override { return add(value); }
  bool number_unsigned(std::uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool start_object(std::size_t size) override { return JsonReader::start_object(size) && open(Json::object()); }
  bool start_array(std::size_t size) override { return JsonReader::start_array(size) && open(Json::array()); }
  bool end_object() override { return JsonReader::end_object() && close(); }
  bool end_array() override { return JsonReader::end_array() && close(); }

  bool key(std::string& name) override {
    Container& object = open_.back();
    if (!object.keys.insert(name).second) fail_here("the key " + quote(name) + " occurs twice in one object");
    object.value->get_ref<Json::object_t&>().emplace_back(std::move(name), Json());
    return true;
  }

 private:
  struct Container {
    Json* value;
    std::unordered_set<std::string> keys;
  };

  Json* place(Json&& value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Json& container = *open_.back().value;
    if (container.is_array()) return &container.get_ref<Json::array_t&>().emplace_back(std::move(value));
    return &(container.get_ref<Json::object_t&>().back().second = std::move(value));
  }
  bool add(Json value) { return place(std::move(value)) != nullptr; }
  // The pointer stays good: a container does not grow while one inside it is open.
  bool open(Json container) {
    open_.push_back({place(std::move(container)), {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Container> open_;
};

std::string describe(const Json& value) {
  constexpr std::size_t enough = 60;
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  std::string text = value.is_number_float() ? format_number(value.get<double>())
                                             : value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > enough) text = text.substr(0, enough) + "...";
  if (value.is_string()) return "the string " + text;
  return text;
}

[[noreturn]] void fail_wanted(const std::string& subject, const std::string& key, const Json& found,
                              const std::string& wanted) {
  fail(Code::parse, subject, "key `" + key + "` is " + describe(found) + "; " + wanted + " is wanted");
}

// The whole number that a JSON number is, when it is one that int64 holds exactly.
std::optional<std::int64_t> whole(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  constexpr double exact = 9007199254740992.0;  // 2^53: above it a double no longer tells neighbouring integers apart
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  if (number != std::trunc(number) || std::abs(number) > exact) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& subject, const JsonLimits& limits) {
  TreeBuilder builder(subject, limits);
  builder.parse(text);
  return builder.take();
}

JsonView::JsonView(const Json& object, std::string subject) : object_(&object), subject_(std::move(subject)) {
  if (!object.is_object()) fail(Code::parse, subject_, "is " + describe(object) + "; an object is wanted");
}

const Json* JsonView::find(const std::string& key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

const Json& JsonView::at(const std::string& key) const {
  if (const Json* value = find(key)) return *value;
  fail(Code::parse, subject_, "the key `" + key + "` is missing" + (object_->contains(key) ? " (it is null)" : ""));
}

bool JsonView::has(const std::string& key) const { return find(key) != nullptr; }

std::int64_t JsonView::integer(const std::string& key, std::int64_t min, std::int64_t max) const {
  const Json& value = at(key);
  const auto number = whole(value);
  if (!number || *number < min || *number > max) {
    fail_wanted(subject_, key, value, "an integer from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return *number;
}

std::int64_t JsonView::integer_or(const std::string& key, std::int64_t fallback, std::int64_t min,
                                  std::int64_t max) const {
  return has(key) ? integer(key, min, max) : fallback;
}

double JsonView::number(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_number()) fail_wanted(subject_, key, value, "a number");
  return value.get<double>();
}

double JsonView::number_or(const std::string& key, double fallback) const { return has(key) ? number(key) : fallback; }

bool JsonView::boolean_or(const std::string& key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) fail_wanted(subject_, key, *value, "true or false");
  return value->get<bool>();
}

std::string JsonView::string(const std::string& key) const {
  const Json& value = at(key);
  if (!value.is_string()) fail_wanted(subject_, key, value, "a string");
  return value.get<std::string>();
}

std::string JsonView::string_or(const std::string& key, std::string fallback) const {
  return has(key) ? string(key) : fallback;
}

std::optional<JsonView> JsonView::object(const std::string& key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) fail_wanted(subject_, key, *value, "an object");
  return JsonView(*value, subject_ + ": " + key);
}

}  // namespace autoround
