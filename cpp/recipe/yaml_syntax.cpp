// YAML as recipes need it: mappings, sequences and the scalars of the 1.2 core schema. Anchors, aliases, tags, merge
// keys and further documents are refused as they come by, so nothing is ever expanded.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "base/text.hpp"
#include "recipe/node.hpp"
#include "recipe/yaml_scalar.hpp"

namespace autoround::recipe {
namespace {

Place place_of(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

/// Builds the tree from the parser's events.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& file) : file_(file) {}

  /// The document; null at the text's beginning when there was none.
  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    fail_at(place_of(mark), file_, "an anchor, `&" + name + "`; recipes are written out in full", Code::unsupported);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail_at(place_of(mark), file_, "an alias; recipes are written out in full", Code::unsupported);
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    if (expects_key()) fail_at(place_of(mark), file_, "a key is missing");
    Node node;
    node.place = place_of(mark);
    add(std::move(node));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& text) override {
    const bool plain = tag == "?";
    if (!plain && tag != "!") refuse_tag(mark, tag);
    if (expects_key()) {
      begin_entry(mark, text, plain);
      return;
    }
    Node node;
    node.place = place_of(mark);
    node.scalar = plain ? scalar(mark, text) : Node::Scalar(text);
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, Node::Kind::sequence);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, Node::Kind::table);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    Node node;
    bool key_pending = false;         // of a table: a key was read, its value was not
    std::set<std::string> keys_seen;  // of a table
  };

  bool expects_key() const { return !open_.empty() && open_.back().node.is_table() && !open_.back().key_pending; }

  [[noreturn]] void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    fail_at(place_of(mark), file_, "a tag, `" + tag + "`; values have the types of YAML's core schema",
            Code::unsupported);
  }

  Node::Scalar scalar(const YAML::Mark& mark, const std::string& text) const {
    const auto value = plain_scalar(text);
    if (!value) fail_at(place_of(mark), file_, "`" + text + "` is a number out of range");
    return *value;
  }

  void begin_entry(const YAML::Mark& mark, const std::string& key, bool plain) {
    if (plain && key == "<<")
      fail_at(place_of(mark), file_, "a merge key, `<<`; recipes are written out in full", Code::unsupported);
    Level& level = open_.back();
    if (!level.keys_seen.insert(key).second) fail_at(place_of(mark), file_, "`" + key + "` is given twice");
    level.node.entries.push_back({key, place_of(mark), Node{}});
    level.key_pending = true;
  }

  void open(const YAML::Mark& mark, const std::string& tag, Node::Kind kind) {
    if (tag != "?" && tag != "!" && !tag.empty()) refuse_tag(mark, tag);
    if (expects_key()) fail_at(place_of(mark), file_, "a key must be a string");
    if (open_.size() >= static_cast<std::size_t>(kMaxDepth)) {
      fail_at(place_of(mark), file_, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    Level& level = open_.emplace_back();
    level.node.kind = kind;
    level.node.place = place_of(mark);
  }

  void close() {
    Node node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }

  void add(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (Level& level = open_.back(); level.node.is_table()) {
      level.node.entries.back().value = std::move(node);
      level.key_pending = false;
    } else {
      level.node.items.push_back(std::move(node));
    }
  }

  const std::string& file_;
  std::vector<Level> open_;
  Node root_{.place = {1, 1}};
};

/// YAML forbids tabs in indentation; the parser would take some of them.
void refuse_tabs(std::string_view text, const std::string& file) {
  int line = 1;
  for (std::size_t start = 0; start < text.size(); ++line) {
    const auto end = std::min(text.find('\n', start), text.size());
    const auto first = text.substr(start, end - start).find_first_not_of(' ');
    if (first != std::string_view::npos && text[start + first] == '\t') {
      fail_at({line, static_cast<int>(first) + 1}, file, "a tab in the indentation; YAML wants spaces");
    }
    start = end + 1;
  }
}

std::string flow_text(const Node& node) {
  if (node.kind == Node::Kind::scalar) return scalar_text(node.scalar);
  std::vector<std::string> parts;
  for (const auto& item : node.items) parts.push_back(flow_text(item));
  return node.is_table() ? "{}" : "[" + join(parts, ", ") + "]";
}

void write_node(const Node& table, int indent, std::string& out) {
  for (const auto& [key, place, value] : table.entries) {
    out += std::string(static_cast<std::size_t>(indent), ' ') + scalar_text(key) + ":";
    if (value.is_table() && !value.entries.empty()) {
      out += "\n";
      write_node(value, indent + 2, out);
    } else {
      out += " " + flow_text(value) + "\n";
    }
  }
}

}  // namespace

Node parse_yaml(std::string_view text, const std::string& file) {
  refuse_tabs(text, file);
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    TreeBuilder builder(file);
    parser.HandleNextDocument(builder);
    Node root = builder.take();
    TreeBuilder second(file);
    if (parser.HandleNextDocument(second)) {
      fail_at(second.take().place, file, "a second document; a recipe is one", Code::unsupported);
    }
    return root;
  } catch (const YAML::Exception& error) {
    fail_at(place_of(error.mark), file, "not YAML: " + error.msg);
  }
}

std::string write_yaml(const Node& table) {
  std::string out;
  write_node(table, 0, out);
  return out;
}

}  // namespace autoround::recipe
