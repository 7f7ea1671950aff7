#include "tools/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "tools/suggest.hpp"

namespace coterie::tools {

namespace {

class TomlConfig final : public CLI::Config {
 public:
  explicit TomlConfig(const CLI::App& root) : root_(root) {}

  std::string to_config(const CLI::App* app, bool, bool, std::string) const override { return config_text(*app); }

  std::vector<CLI::ConfigItem> from_config(std::istream& stream) const override {
    std::vector<CLI::ConfigItem> settings;
    for (const auto& [name, node] : parse(stream)) add_table(settings, std::string(name.str()), node);
    return settings;
  }

 private:
  [[noreturn]] void refuse(const toml::source_region& source, const std::string& why) const {
    throw ArgumentError(fmt::format("{}: line {}: {}", root_.get_config_ptr()->as<std::string>(), source.begin.line, why));
  }

  toml::table parse(std::istream& stream) const {
    try {
      return toml::parse(stream);
    } catch (const toml::parse_error& error) {
      refuse(error.source(), fmt::format("{}.", error.description()));
    }
  }

  void add_table(std::vector<CLI::ConfigItem>& settings, const std::string& name, const toml::node& node) const {
    const auto verbs = root_.get_subcommands({});
    const auto verb = std::find_if(verbs.begin(), verbs.end(), [&](const CLI::App* app) { return app->get_name() == name; });
    if (verb == verbs.end() || !node.is_table()) {
      std::vector<std::string> names;
      for (const CLI::App* app : verbs) names.push_back(app->get_name());
      refuse(node.source(), fmt::format("{} is no table of a verb, such as [cluster].{}", name, did_you_mean(name, names)));
    }
    for (const auto& [key, value] : *node.as_table()) settings.push_back(item(**verb, std::string(key.str()), value));
  }

  CLI::ConfigItem item(const CLI::App& verb, const std::string& key, const toml::node& value) const {
    std::vector<std::string> keys;
    for (const CLI::Option* option : verb.get_options()) keys.push_back(option->get_single_name());
    if (!contains(keys, key) || key == "help")
      refuse(value.source(), fmt::format("{} has no option {}.{}", verb.get_name(), key, did_you_mean(key, keys)));
    CLI::ConfigItem result{{verb.get_name()}, key, {}};
    if (const auto* list = value.as_array()) {
      for (const toml::node& element : *list) result.inputs.push_back(scalar_text(element, key));
    } else {
      result.inputs.push_back(scalar_text(value, key));
    }
    return result;
  }

  std::string scalar_text(const toml::node& node, const std::string& key) const {
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* integer = node.as_integer()) return std::to_string(integer->get());
    if (const auto* real = node.as_floating_point()) return fmt::format("{}", real->get());
    if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
    refuse(node.source(), fmt::format("{} must be a string, a number, true, false, or a list of these.", key));
  }

  const CLI::App& root_;
};

// A word as a POSIX shell reads it back.
std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,+@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// Numbers and truth values stand bare in TOML, everything else is a quoted string.
void insert(toml::array& list, const std::string& text) {
  try {
    const toml::table parsed = toml::parse("value = " + text);
    if (parsed.size() == 1 && parsed["value"].is_number()) {
      parsed["value"].visit([&](const auto& node) {
        if constexpr (toml::is_number<decltype(node)>) list.push_back(node);
      });
      return;
    }
  } catch (const toml::parse_error&) {
    // No bare TOML value: a string.
  }
  list.push_back(text);
}

}  // namespace

void add_config(CLI::App& root) {
  root.set_config("--config", "", "Options from a TOML file: one table per verb, such as [cluster]");
  root.config_formatter(std::make_shared<TomlConfig>(root));
}

std::string config_text(const CLI::App& verb) {
  toml::table options;
  for (const CLI::Option* option : verb.get_options()) {
    const std::string name = option->get_single_name();
    if (name == "help" || (option->count() == 0 && option->get_default_str().empty())) continue;
    if (option->get_expected_min() == 0) {
      options.insert(name, true);
      continue;
    }
    toml::array values;
    if (option->count() == 0)
      insert(values, option->get_default_str());
    else
      for (const std::string& value : option->results()) insert(values, value);
    if (values.size() == 1)
      values[0].visit([&](const auto& value) { options.insert(name, value); });
    else
      options.insert(name, values);
  }
  std::ostringstream text;
  text << toml::table{{verb.get_name(), options}} << '\n';
  return text.str();
}

std::string given_options(const CLI::App& verb, const std::set<std::string>& but) {
  std::string text;
  for (const CLI::Option* option : verb.get_options()) {
    const std::string name = option->get_single_name();
    if (option->count() == 0 || but.contains(name)) continue;
    if (option->get_expected_min() == 0) {
      if (option->as<bool>()) text += " --" + name;
      continue;
    }
    const std::string value = fmt::format("{}", fmt::join(option->results(), ","));
    if (value == option->get_default_str()) continue;
    const bool looks_like_option = value.starts_with('-');
    text += option->get_positional() ? " " + shell_word(value)
                                     : fmt::format(" --{}{}{}", name, looks_like_option ? '=' : ' ', shell_word(value));
  }
  return text;
}

}  // namespace coterie::tools
