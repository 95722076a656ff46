// shoal bench metad: the metadata's index with many files, without doors and drives.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "tools/bench/index_load.h"
#include "tools/commands/bench_store.h"
#include "tools/commands/commands.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

using Step = Result<IndexFigures> (*)(const IndexLoadOptions&);

// Runs a step in a process of its own, so that its memory is its own, and collects its figures.
Status run_step(Step step, const IndexLoadOptions& options, IndexFigures* figures) {
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) return ErrnoError(errno, "pipe");
  const pid_t child = fork();
  if (child < 0) return ErrnoError(errno, "fork");
  if (child == 0) {
    close(pipe_fds[0]);
    const auto done = step(options);
    if (!done.ok()) _exit(fail(done.status()));
    for (const auto& [name, value] : *done) dprintf(pipe_fds[1], "%s %.6f\n", name.c_str(), value);
    _exit(kExitOk);
  }
  close(pipe_fds[1]);
  std::string text;
  char piece[4096];
  for (ssize_t n = 0; (n = read(pipe_fds[0], piece, sizeof piece)) > 0;)
    text.append(piece, static_cast<std::size_t>(n));
  close(pipe_fds[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != kExitOk)
    return InternalError("a step of the load failed");
  std::istringstream lines(text);
  std::string name;
  for (double value = 0; lines >> name >> value;) figures->emplace_back(name, value);
  return OkStatus();
}

void print(const IndexLoadOptions& options, const IndexFigures& figures, bool json) {
  if (!json) {
    std::printf("%" PRIu64 " %s\n", options.files, options.objects ? "objects" : "files");
    for (const auto& [name, value] : figures) std::printf("  %-32s %14.2f\n", name.c_str(), value);
    return;
  }
  JsonWriter writer;
  writer.begin_object();
  writer.field("files", options.files);
  writer.field("objects", options.objects);
  for (const auto& [name, value] : figures) writer.field(name, value);
  writer.end_object();
  std::printf("%s\n", writer.text().c_str());
}

}  // namespace

int bench_metad(const Arguments& arguments) {
  IndexLoadOptions options;
  bool json = false;
  Config config("shoal bench metad",
                "Fills the metadata's index and measures memory, checkpoints and start-up.");
  config.add("data", &options.data, "empty directory for it; what is put there stays");
  config.add("files", &options.files, "how many files");
  config.add("tail", &options.tail_files, "files more that are in the journal only");
  config.add("objects", &options.objects, "S3 objects instead of files");
  config.add("json", &json, "figures as one JSON object");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  if (options.data.empty()) return fail(InvalidArgumentError("--data DIR is needed"), kExitUsage);
  std::error_code error;
  std::filesystem::create_directories(options.data, error);
  if (error) return fail(ErrnoError(error.value(), options.data));
  IndexFigures figures;
  for (const Step step : {fill_index, add_tail, start_index}) {
    const Status done = run_step(step, options, &figures);
    if (!done.ok()) return fail(done);
  }
  print(options, figures, json);
  return kExitOk;
}

}  // namespace shoal::tools
