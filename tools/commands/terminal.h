// The command line's side of admin commands.
#pragma once

#include <string>

#include "tools/admin/admin.h"
#include "tools/commands/commands.h"

namespace shoal::tools {

class TerminalOutput final : public AdminOutput {
 public:
  void out(const std::string& text) override;
  void err(const std::string& text) override;
  bool cancelled() const override { return false; }
};

// Takes `--name VALUE` or `--name=VALUE` out of the words; empty: it is not there.
std::string take_flag(Arguments* words, const std::string& name);

}  // namespace shoal::tools
