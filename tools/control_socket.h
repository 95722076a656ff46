// The control socket of a running cluster, DIR/run/control: a local client sends a word ("json" or
// "text") and reads what `shoal status` shows. Only who may enter DIR/run (mode 0700) can ask.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/result.h"

namespace shoal::tools {

class ControlSocket {
 public:
  // Answers each connection with what `answer` gives, one after another, on a thread of its own.
  static Result<std::unique_ptr<ControlSocket>> open(
      std::string path, std::function<std::string(const std::string& word)> answer);
  ~ControlSocket();

 private:
  ControlSocket(std::string path, int fd,
                std::function<std::string(const std::string& word)> answer);
  void serve();
  const std::string path_;
  const int fd_;
  const std::function<std::string(const std::string& word)> answer_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// Errors: kNotFound when nothing listens there.
Result<std::string> ask_control_socket(const std::string& path, const std::string& word);

}  // namespace shoal::tools
