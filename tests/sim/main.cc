// shoal_sim: runs seeds. Every seed has a process of its own, so that a crash of one is its result,
// and what a killed process of the simulation leaves behind goes with it.
#include <fcntl.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <vector>

#include "base/log.h"
#include "tests/sim/run.h"

// What a killed process of the simulation held is not freed.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace shoal::sim {
namespace {

struct Options {
  bool in_child = false;  // runs its one seed itself
  std::vector<std::uint64_t> seeds;
  int jobs = 2;
  int seconds_per_seed = 120;  // of real time; a run that takes longer is stuck
  RunOptions run;
  std::string canary;
  bool twice = false;           // and compare the traces
  bool expect_failure = false;  // a canary: passes once a seed has found it
  bool verbose = false;
  bool listed = false;  // seeds come from a file, which may name none
};

int usage() {
  std::fprintf(
      stderr,
      "usage: shoal_sim [--seed S] [--from S] [--seeds N] [--regressions FILE] [--jobs N]\n"
      "                 [--quick] [--membership] [--twice] [--trace] [--verbose]\n"
      "                 [--canary flush|fragment|retries|moves|monitor] [--expect-failure]\n");
  return 2;
}

std::optional<Canary> canary_of(const std::string& name) {
  if (name == "flush") return Canary::kAcknowledgeBeforeFlush;
  if (name == "fragment") return Canary::kDropFragment;
  if (name == "retries") return Canary::kForgetRetries;
  if (name == "moves") return Canary::kCarelessMoves;
  if (name == "monitor") return Canary::kHastyMonitor;
  return std::nullopt;
}

// Lines of "SEED what it found".
std::vector<std::uint64_t> read_regressions(const std::string& path) {
  std::vector<std::uint64_t> seeds;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    seeds.push_back(std::strtoull(line.c_str(), nullptr, 10));
  }
  return seeds;
}

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  std::uint64_t from = 1;
  std::uint64_t count = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--child")
      options.in_child = true;
    else if (flag == "--twice")
      options.twice = true;
    else if (flag == "--quick")
      options.run.quick = true;
    else if (flag == "--membership")
      options.run.membership = true;
    else if (flag == "--trace")
      options.run.print_trace = true;
    else if (flag == "--verbose")
      options.verbose = true;
    else if (flag == "--expect-failure")
      options.expect_failure = true;
    else if (i + 1 == argc)
      return std::nullopt;
    else if (flag == "--seed")
      options.seeds.push_back(std::strtoull(argv[++i], nullptr, 10));
    else if (flag == "--from")
      from = std::strtoull(argv[++i], nullptr, 10);
    else if (flag == "--seeds")
      count = std::strtoull(argv[++i], nullptr, 10);
    else if (flag == "--jobs")
      options.jobs = std::max(1, std::atoi(argv[++i]));
    else if (flag == "--regressions")
      options.seeds = read_regressions(argv[++i]), options.listed = true;
    else if (flag == "--canary") {
      const std::optional<Canary> canary = canary_of(argv[++i]);
      if (!canary) return std::nullopt;
      options.run.canary = *canary;
      options.canary = argv[i];
    } else {
      return std::nullopt;
    }
  }
  for (std::uint64_t i = 0; i < count; ++i) options.seeds.push_back(from + i);
  if (options.seeds.empty() && !options.listed) return std::nullopt;
  return options;
}

// In the child: the run and its verdict, on stdout and as the exit code.
[[noreturn]] void run_in_child(const Options& options, std::uint64_t seed) {
  alarm(static_cast<unsigned>(options.seconds_per_seed));
  LogOptions log;
  // The same work whether it is seen or not: what is allocated has a say in the order of hash
  // tables.
  log.level = LogLevel::kInfo;
  log.file = options.verbose ? "/dev/fd/2" : "/dev/null";
  (void)configure_log(log);
  RunOptions one = options.run;
  one.seed = seed;
  RunResult result = run_seed(one);
  if (options.twice && result.failure.empty()) {
    const RunResult again = run_seed(one);
    if (again.trace_hash != result.trace_hash || again.steps != result.steps)
      result.failure = "the second run of the same seed took another way";
  }
  std::printf("seed %llu: %s (%llu steps, %.0f s simulated, %llu acknowledged, trace %016llx)\n",
              static_cast<unsigned long long>(seed),
              result.failure.empty() ? "ok" : result.failure.c_str(),
              static_cast<unsigned long long>(result.steps), result.virtual_seconds,
              static_cast<unsigned long long>(result.acknowledged),
              static_cast<unsigned long long>(result.trace_hash));
  std::fflush(stdout);
  _exit(result.failure.empty() ? 0 : 1);
}

struct Child {
  std::uint64_t seed;
  int output;
};

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  lseek(fd, 0, SEEK_SET);
  while (true) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  close(fd);
  return text;
}

class Runner {
 public:
  explicit Runner(const Options& options) : options_(options) {}

  int run() {
    for (const std::uint64_t seed : options_.seeds) {
      while (children_.size() >= static_cast<std::size_t>(options_.jobs)) reap();
      if (failed_ > 0 && options_.expect_failure) break;
      start(seed);
    }
    while (!children_.empty()) reap();
    std::printf("%llu of %zu seeds ok\n", static_cast<unsigned long long>(passed_),
                options_.seeds.size());
    if (options_.expect_failure) {
      std::printf(failed_ > 0 ? "the canary was found\n" : "the canary was NOT found\n");
      return failed_ > 0 ? 0 : 1;
    }
    return failed_ > 0 ? 1 : 0;
  }

 private:
  void start(std::uint64_t seed) {
    char name[] = "/tmp/shoal-sim-XXXXXX";
    const int output = mkostemp(name, O_CLOEXEC);
    unlink(name);
    std::fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
      if (!options_.verbose && !options_.run.print_trace) {
        dup2(output, STDERR_FILENO);
        dup2(output, STDOUT_FILENO);
      }
      become_child(seed);
    }
    children_[pid] = {seed, output};
  }

  // A program of its own, so that nothing of what this one did before shows in the run.
  [[noreturn]] void become_child(std::uint64_t seed) {
    std::vector<std::string> words{"shoal_sim", "--child", "--seed", std::to_string(seed)};
    if (options_.run.quick) words.push_back("--quick");
    if (options_.run.membership) words.push_back("--membership");
    if (options_.run.print_trace) words.push_back("--trace");
    if (options_.twice) words.push_back("--twice");
    if (options_.verbose) words.push_back("--verbose");
    if (!options_.canary.empty()) words.insert(words.end(), {"--canary", options_.canary});
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    execv("/proc/self/exe", arguments.data());
    std::perror("shoal_sim");
    _exit(2);
  }

  void reap() {
    int status = 0;
    const pid_t pid = wait(&status);
    const auto child = children_.find(pid);
    if (child == children_.end()) return;
    const std::string output = read_all(child->second.output);
    const std::uint64_t seed = child->second.seed;
    children_.erase(child);
    const bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    ok ? ++passed_ : ++failed_;
    if (!ok || options_.verbose) std::fputs(output.c_str(), stdout);
    if (ok) return;
    if (WIFSIGNALED(status))
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
                  WTERMSIG(status) == SIGALRM ? "took too long" : strsignal(WTERMSIG(status)));
    std::printf("replay with: shoal_sim --seed %llu%s%s --verbose --trace\n",
                static_cast<unsigned long long>(seed), options_.run.quick ? " --quick" : "",
                options_.run.membership ? " --membership" : "");
    std::fflush(stdout);
  }

  const Options& options_;
  std::map<pid_t, Child> children_;
  std::uint64_t passed_ = 0;
  std::uint64_t failed_ = 0;
};

// Hash tables are ordered by where they lie in memory, among other things: the same seed gives the
// same trace in another process only if that is the same, too. Where it is not allowed, it goes on
// without.
void keep_addresses(char** argv) {
  const int before = personality(0xffffffff);
  if (before < 0 || (before & ADDR_NO_RANDOMIZE) != 0) return;
  if (personality(static_cast<unsigned>(before) | ADDR_NO_RANDOMIZE) < 0) return;
  execv("/proc/self/exe", argv);
}

}  // namespace
}  // namespace shoal::sim

int main(int argc, char** argv) {
  shoal::sim::keep_addresses(argv);
  const auto options = shoal::sim::parse(argc, argv);
  if (!options) return shoal::sim::usage();
  if (options->in_child) shoal::sim::run_in_child(*options, options->seeds.front());
  return shoal::sim::Runner(*options).run();
}
