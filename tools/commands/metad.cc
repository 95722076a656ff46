// shoal metad dump, shoal metad load: back-ups of the metadata.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <filesystem>

#include "base/io/uring_device.h"
#include "metad/backup/dump_stream.h"
#include "metad/backup/restore.h"
#include "metad/service/metadata_server.h"
#include "tools/cluster_directory.h"
#include "tools/commands/commands.h"

namespace shoal::tools {
namespace {

constexpr std::string_view kStream = "-";  // standard input or output

// Opens the metadata of a cluster that does not run, for the time of the dump.
Result<std::uint64_t> dump_offline(const std::string& metad_path, int fd, const std::string& name) {
  ASSIGN_OR_RETURN(const auto loop, EventLoop::create("shoal-metad"));
  ASSIGN_OR_RETURN(const auto io, IoContext::create(*loop));
  loop->start();
  Result<std::uint64_t> dumped = std::uint64_t{0};
  auto journal =
      sync_wait(*loop, FileDirectory::open_when_free(*io, metad_path + "/journal", false));
  if (journal.ok()) {
    metad::MetadataOptions options;
    options.checkpoint_path = metad_path + "/checkpoint";
    auto server =
        sync_wait(*loop, metad::MetadataServer::open(**journal, io->pool(), std::move(options)));
    if (server.ok()) {
      dumped = sync_wait(*loop, (*server)->dump(fd, name));
      const Status closed = sync_wait(*loop, (*server)->close());
      if (dumped.ok() && !closed.ok()) dumped = closed;
      server->reset();
    } else {
      dumped = server.status();
    }
    journal->reset();
  } else {
    dumped = journal.status();
  }
  loop->stop();
  loop->join();
  return dumped;
}

// The directory of a cluster that does not run, with its lock.
Result<ClusterDirectory> lock_cluster(const std::string& data, ClusterConfig* config) {
  ASSIGN_OR_RETURN(const ClusterDirectory there, ClusterDirectory::open(data));
  ASSIGN_OR_RETURN(ClusterDirectory directory, ClusterDirectory::lock(data));
  ASSIGN_OR_RETURN(*config, directory.load());
  return directory;
}

// The cluster does not run: this program reads its metadata.
Result<std::uint64_t> dump_stopped(const std::string& data, const std::string& out) {
  ClusterConfig cluster;
  ASSIGN_OR_RETURN(const ClusterDirectory directory, lock_cluster(data, &cluster));
  if (out == kStream) return dump_offline(directory.metad_path(), STDOUT_FILENO, "standard output");
  ASSIGN_OR_RETURN(const metad::DumpFile file, metad::DumpFile::make(out));
  const auto dumped = dump_offline(directory.metad_path(), file.fd(), out);
  if (!dumped.ok()) file.discard();
  return dumped;
}

int dump(const Arguments& arguments) {
  std::string data;
  std::string metad;
  std::string out;
  Config config(
      "shoal metad dump",
      "Writes the metadata of a cluster, whether it runs or not, as one portable stream.");
  config.add("data", &data, "directory of the cluster");
  config.add("metad", &metad, "instead: HOST:PORT of the metadata daemon of a cluster that runs");
  config.add("out", &out,
             "file to make (on the daemon's machine), or - for standard output of a cluster that "
             "does not run");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  if (data.empty() == metad.empty() || out.empty())
    return fail(InvalidArgumentError("--out FILE and one of --data DIR and --metad HOST:PORT are "
                                     "needed"),
                kExitUsage);
  if (out != kStream && metad.empty()) {
    std::error_code error;
    out = std::filesystem::absolute(out, error).string();
    if (error) return fail(ErrnoError(error.value(), out));
  }
  prepare_process();
  if (!metad.empty()) return command_admin("metad", {"dump", "--out", out, "--metad", metad});
  const auto directory = ClusterDirectory::open(data);
  if (directory.ok() && directory->running().ok()) {
    if (out == kStream)
      return fail(InvalidArgumentError("the cluster runs: --out FILE is needed"), kExitUsage);
    return command_admin("metad", {"dump", "--out", out, "--data", data});
  }
  const auto dumped = dump_stopped(data, out);
  if (!dumped.ok()) return fail(dumped.status().with_context("metadata of " + data));
  std::fprintf(stderr, "%" PRIu64 " records were dumped.\n", *dumped);
  return kExitOk;
}

Result<metad::RestoreReport> load_stopped(const std::string& data, const std::string& in) {
  ClusterConfig cluster;
  ASSIGN_OR_RETURN(const ClusterDirectory directory, lock_cluster(data, &cluster));
  if (in == kStream)
    return metad::restore_dump(STDIN_FILENO, "standard input", directory.metad_path(),
                               cluster.cluster_uuid);
  const int fd = open(in.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, in);
  auto restored = metad::restore_dump(fd, in, directory.metad_path(), cluster.cluster_uuid);
  close(fd);
  return restored;
}

int load(const Arguments& arguments) {
  std::string data;
  std::string in;
  Config config("shoal metad load",
                "Makes the metadata of a cluster from a dump, where it has none. What was written "
                "since the dump is not found again, but kept on the drives.");
  config.add("data", &data, "directory of the cluster, with its drives but no metad");
  config.add("in", &in, "file that shoal metad dump made, or - for standard input");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  if (data.empty() || in.empty())
    return fail(InvalidArgumentError("--data DIR and --in FILE are needed"), kExitUsage);
  prepare_process();
  const auto restored = load_stopped(data, in);
  if (!restored.ok()) return fail(restored.status());
  std::fprintf(stderr,
               "%" PRIu64 " records were loaded: %" PRIu64 " inodes, at position %" PRIu64
               ". %" PRIu64
               " packs that were open, and any that are newer, are kept as they are.\n",
               restored->records, restored->inodes, restored->position, restored->kept_packs);
  return kExitOk;
}

}  // namespace

int command_metad(const Arguments& arguments) {
  const std::string verb = arguments.empty() ? "" : arguments[0];
  const Arguments rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (verb == "dump") return dump(rest);
  if (verb == "load") return load(rest);
  if (verb == "--help") {
    std::printf(
        "Usage: shoal metad VERB [--flag VALUE]...\n\n"
        "  dump  write the metadata as one portable stream: a back-up\n"
        "  load  make the metadata from such a stream, where there is none\n");
    return kExitOk;
  }
  return fail(InvalidArgumentError("shoal metad " + verb + ": expected dump or load"), kExitUsage);
}

}  // namespace shoal::tools
