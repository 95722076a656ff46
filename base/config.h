// Config: typed options, declared once with help and default, set from a file (`key = value` lines,
// # comments), from the environment (SHOAL_KEY) and from flags (--key VALUE or --key=VALUE); later
// sources win. A key or flag that is not declared is an error that names the nearest one that is.
// Dashes and underscores in names are the same.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace shoal {

class Config {
 public:
  // `program` and `purpose` head the help. Each declaration binds a variable, whose present value
  // is the default.
  Config(std::string program, std::string purpose)
      : program_(std::move(program)), purpose_(std::move(purpose)) {}

  void add(std::string name, std::string* value, std::string help);
  void add(std::string name, std::uint64_t* value, std::string help);
  void add(std::string name, double* value, std::string help);
  // A flag without a value; in a file or the environment: true or false.
  void add(std::string name, bool* value, std::string help);
  // "4096", "4KiB", "64MiB", "1GiB"; bytes.
  void add_size(std::string name, std::uint64_t* value, std::string help);
  // May be given again; the values collect.
  void add_list(std::string name, std::vector<std::string>* values, std::string help);
  // Words that are not flags, in order; without this they are an error.
  void add_words(std::string name, std::vector<std::string>* words, std::string help);

  // All sources in their order: the file of `--config FILE`, if there, the environment, the flags.
  Status load(const std::vector<std::string>& arguments);
  // Errors: kInvalidArgument naming file, line, key and what is allowed; as read_file.
  Status load_file(const std::string& path);
  // Reads SHOAL_NAME for every declared name.
  Status load_environment();
  // Errors: kInvalidArgument.
  Status load_flags(const std::vector<std::string>& arguments);
  // Whether --help was among the flags.
  bool wants_help() const { return wants_help_; }
  std::string help() const;

 private:
  enum class Kind { kString, kNumber, kReal, kBool, kSize, kList };
  struct Option {
    std::string name;
    Kind kind;
    void* value;
    std::string help;
    std::string default_text;
  };
  void declare(std::string name, Kind kind, void* value, std::string help,
               std::string default_text);
  Result<Option*> find(std::string_view name, std::string_view where);
  static Status set(const Option& option, const std::string& text, const std::string& where);

  std::string program_;
  std::string purpose_;
  std::vector<Option> options_;
  std::vector<std::string>* words_ = nullptr;
  std::string words_name_;
  std::string words_help_;
  bool wants_help_ = false;
};

// "64MiB" to bytes. Errors: kInvalidArgument.
Result<std::uint64_t> parse_size(std::string_view text);
// 67108864 to "64.0 MiB".
std::string format_size(std::uint64_t bytes);
// The element of `known` with the smallest edit distance to `name`; empty when none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace shoal
