// ControlSocket: how `shoal COMMAND --data DIR` reaches the program that runs there: a UNIX socket
// in DIR/run. A client sends words, separated by zero bytes, and closes its sending side; what the
// answer says comes back as it is said, in chunks: kind u8 ('o' stdout, 'e' stderr, 'x' the exit
// status as one byte, which ends it), length u32, bytes.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "tools/admin/admin.h"

namespace shoal::tools {

class ControlSocket {
 public:
  // Answers one client; on a thread of its own. Returns the exit status.
  using Answer = std::function<int(const std::vector<std::string>& words, AdminOutput* output)>;

  // Errors: as bind(2); kNameTooLong.
  static Result<std::unique_ptr<ControlSocket>> open(std::string path, Answer answer);
  // Tells those that are under way to end, and waits for them.
  ~ControlSocket();

 private:
  class Client;
  ControlSocket(std::string path, int fd, Answer answer);
  void serve();
  void reap(bool all);

  const std::string path_;
  const int fd_;
  const Answer answer_;
  std::atomic<bool> stopping_{false};
  std::list<std::unique_ptr<Client>> clients_;  // of the serving thread
  std::thread thread_;
};

// Asks, and gives what comes to `output`. Returns the exit status. Errors: kNotFound when nothing
// listens there, kUnavailable when the answer breaks off.
Result<int> ask_control_socket(const std::string& path, const std::vector<std::string>& words,
                               AdminOutput* output);
// For an answer that is one text. Errors: also what it said on stderr.
Result<std::string> ask_control_socket(const std::string& path,
                                       const std::vector<std::string>& words);

}  // namespace shoal::tools
