// Runs a fuzz target without libFuzzer: its seeds, the files named, then mutations of them, the
// same ones every time. A crash leaves its input in ./crash-PROGRAM, which the program takes as a
// file.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/file_io.h"
#include "base/random.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

constexpr std::size_t kMaxInputBytes = 8192;
constexpr std::size_t kPoolEntries = 256;

struct Options {
  std::uint64_t iterations = 10'000;
  std::uint64_t seed = 1;
  std::string write_seeds;  // a directory
  std::vector<std::string> files;
};

std::string current;  // for the signal handler
std::string crash_file;

void save_input(int signal_number) {
  const int fd = open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd >= 0 && write(fd, current.data(), current.size()) >= 0) {
    constexpr char kSaid[] = "the input that did it is in ./crash-*\n";
    if (write(STDERR_FILENO, kSaid, sizeof kSaid - 1) < 0) _exit(2);
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void run(std::string input) {
  current = std::move(input);
  // Exactly as long as the input, so that a sanitizer sees the first byte too many.
  const std::vector<std::uint8_t> exact(current.begin(), current.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed), words_(words()) {}

  std::string mutate(std::string text, const std::string& other) {
    for (std::uint64_t n = 1 + random_.below(4); n > 0; --n) mutate_once(&text, other);
    if (text.size() > kMaxInputBytes) text.resize(kMaxInputBytes);
    return text;
  }
  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }

 private:
  std::size_t place(const std::string& text) { return random_.below(text.size() + 1); }
  std::size_t length(const std::string& text, std::size_t from) {
    return random_.below(std::min<std::size_t>(text.size() - from, 64) + 1);
  }
  char byte() { return static_cast<char>(random_.below(256)); }

  void mutate_once(std::string* text, const std::string& other) {
    const std::size_t at = place(*text);
    const bool inside = at < text->size();
    switch (random_.below(9)) {
      case 0:
        if (inside) (*text)[at] = static_cast<char>((*text)[at] ^ 1 << random_.below(8));
        break;
      case 1:
        if (inside) (*text)[at] = byte();
        break;
      case 2: text->erase(at, length(*text, at)); break;
      case 3: text->insert(at, 1 + random_.below(4), byte()); break;
      case 4: text->insert(at, text->substr(at, length(*text, at))); break;
      case 5: {  // a piece of another input
        const std::size_t from = place(other);
        text->insert(at, other.substr(from, length(other, from)));
        break;
      }
      case 6:
        if (!words_.empty()) text->insert(at, words_[random_.below(words_.size())]);
        break;
      case 7: {  // a number at its edges
        constexpr std::uint64_t kEdges[] = {0,      1,          0x7f,       0xff,       0x7fff,
                                            0xffff, 0x7fffffff, 0xffffffff, 1ULL << 62, ~0ULL};
        const std::uint64_t edge = kEdges[random_.below(std::size(kEdges))] + random_.below(3) - 1;
        const std::size_t size = std::min<std::size_t>(1U << random_.below(4), text->size() - at);
        std::memcpy(text->data() + at, &edge, size);
        break;
      }
      default:
        if (random_.below(8) == 0) text->resize(at);
    }
  }

  SeededRandom random_;
  const std::vector<std::string> words_;
};

int write_seeds(const std::string& directory) {
  std::filesystem::create_directories(directory);
  int number = 0;
  for (const std::string& seed : seeds()) {
    const std::string path = directory + "/seed-" + std::to_string(number++);
    const Status written = write_file_durably(path, seed, 0644);
    if (written.ok()) continue;
    std::fprintf(stderr, "%s\n", written.to_string().c_str());
    return 1;
  }
  return 0;
}

int run_all(const Options& options) {
  for (const std::string& path : options.files) {
    auto text = read_file(path);
    if (!text.ok()) {
      std::fprintf(stderr, "%s\n", text.status().to_string().c_str());
      return 1;
    }
    run(std::move(*text));
  }
  if (!options.files.empty()) return 0;
  const std::vector<std::string> first = seeds();
  for (const std::string& seed : first) run(seed);
  run("");
  std::vector<std::string> pool = first;  // and, behind the seeds, mutations to mutate further
  Mutator mutator(options.seed);
  for (std::uint64_t i = 0; i < options.iterations; ++i) {
    const std::string& from =
        pool[mutator.below(mutator.below(2) == 0 ? first.size() : pool.size())];
    std::string input = mutator.mutate(from, pool[mutator.below(pool.size())]);
    run(input);
    // Inputs that only got shorter are not worth it.
    if (mutator.below(16) != 0 || input.size() < from.size()) continue;
    if (pool.size() < kPoolEntries) {
      pool.push_back(std::move(input));
    } else {
      pool[first.size() + mutator.below(pool.size() - first.size())] = std::move(input);
    }
  }
  std::printf("%llu inputs\n", static_cast<unsigned long long>(options.iterations));
  return 0;
}

int main_of(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--iterations" && i + 1 < argc) {
      options.iterations = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--seed" && i + 1 < argc) {
      options.seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--write-seeds" && i + 1 < argc) {
      options.write_seeds = argv[++i];
    } else if (argument.starts_with("-")) {
      std::fprintf(stderr,
                   "Usage: %s [--iterations N] [--seed N] [FILE]...\n"
                   "       %s --write-seeds DIRECTORY\n",
                   argv[0], argv[0]);
      return 2;
    } else {
      options.files.push_back(argument);
    }
  }
  crash_file = "crash-" + std::string(program_invocation_short_name);
  for (const int number : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL}) signal(number, save_input);
  return options.write_seeds.empty() ? run_all(options) : write_seeds(options.write_seeds);
}

}  // namespace
}  // namespace shoal::fuzz

int main(int argc, char** argv) { return shoal::fuzz::main_of(argc, argv); }
