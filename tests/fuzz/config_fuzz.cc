// A configuration file: refused with the line, or taken; and values in flags.
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/config.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

// A file in memory with a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    CHECK(fd_ >= 0 && write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

struct Values {
  std::string address;
  std::uint64_t threads = 1;
  double ratio = 1;
  bool read_only = false;
  std::uint64_t size = 1;
  std::vector<std::string> drives;
  std::vector<std::string> words;
  void declare(Config* config) {
    config->add("address", &address, "where");
    config->add("threads", &threads, "how many");
    config->add("ratio", &ratio, "how much");
    config->add("read-only", &read_only, "whether");
    config->add_size("segment-size", &size, "how large");
    config->add_list("drive", &drives, "again");
    config->add_words("WORD", &words, "words");
  }
};

void load_file(std::string_view text) {
  Values values;
  Config config("fuzz", "Fuzz.");
  values.declare(&config);
  const Status loaded = config.load_file(MemoryFile(text).path());
  if (loaded.ok()) return;
  CHECK(loaded.code() == StatusCode::kInvalidArgument);
  CHECK(loaded.message().find(", line ") != std::string::npos);
}

void load_flags(std::string_view text) {
  std::vector<std::string> arguments;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    arguments.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  Values values;
  Config config("fuzz", "Fuzz.");
  values.declare(&config);
  const Status loaded = config.load_flags(arguments);
  CHECK(loaded.ok() || loaded.code() == StatusCode::kInvalidArgument);
  for (const std::string& argument : arguments) {
    const auto size = parse_size(argument);
    if (size.ok()) CHECK(!format_size(*size).empty());
  }
}

}  // namespace

std::vector<std::string> seeds() {
  return {
      "# comment\naddress = host:1\nthreads=4\nratio = 0.5\nread_only = true\n"
      "segment-size = 64MiB\ndrive = /a\ndrive = /b\n",
      "--address\n:80\n--threads=3\n--read-only\n--segment-size\n4K\nword\n", "adress = x\n",
      "--ratio=nan\n--config\nx\n", "threads\n"};
}
std::vector<std::string> words() {
  return {"address", "threads", "ratio", "read-only", "segment_size", "drive", "--", "=",  "\n",
          "true",    "KiB",     "GiB",   "TiB",       "1e308",        "-",     "#",  "inf"};
}

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  shoal::fuzz::load_file(text);
  shoal::fuzz::load_flags(text);
  return 0;
}
