#include "tools/bench/store_load.h"

#include <sys/resource.h>

#include <functional>
#include <map>

#include "base/async/sync.h"
#include "base/random.h"
#include "client/object_api.h"
#include "client/posix_api.h"

namespace shoal::tools {
namespace {

using client::ClientStack;

constexpr std::uint64_t kFilesPerDirectory = 1000;
constexpr std::uint32_t kDirectoryPage = 1000;
constexpr char kBucket[] = "shoal-bench";

// One request of a load; `number` grows by one with each.
using Request = std::function<Task<Status>(std::uint64_t number)>;

struct Load {
  Request request;
  StoreLoadOptions options;
  std::uint64_t limit = 0;  // requests; 0: until the time is over
  std::uint64_t next = 0;
  MonotonicTime end{};
  LoadReport report;
};

Task<void> run_worker(Load* load) {
  Executor& executor = *Executor::current();
  while (true) {
    const MonotonicTime begin = executor.now();
    const bool over = load->limit > 0 ? load->next >= load->limit : begin >= load->end;
    if (over) break;
    const Status status = co_await load->request(load->next++);
    const auto us =
        std::chrono::duration_cast<std::chrono::microseconds>(executor.now() - begin).count();
    load->report.latency_us.add(static_cast<std::uint64_t>(us));
    ++load->report.requests;
    if (status.ok()) continue;
    ++load->report.errors;
    if (load->report.first_error.empty()) load->report.first_error = status.to_string();
  }
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Task<LoadReport> run_load(StoreLoadOptions options, std::uint64_t limit, Request request) {
  Load load;
  load.request = std::move(request);
  load.limit = limit;
  const MonotonicTime begin = Executor::current()->now();
  const double cpu_before = cpu_seconds();
  load.end =
      begin + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.seconds));
  TaskScope scope;
  for (std::uint64_t i = 0; i < options.concurrency; ++i) scope.spawn(run_worker(&load));
  co_await scope.join();
  load.report.seconds = std::chrono::duration<double>(Executor::current()->now() - begin).count();
  load.report.client_cpu_seconds = cpu_seconds() - cpu_before;
  co_return std::move(load.report);
}

Status first_error(const LoadReport& report) {
  return report.errors == 0 ? OkStatus() : InternalError("preparing: " + report.first_error);
}

std::string object_key(std::uint64_t number) {
  return std::to_string(number / kFilesPerDirectory) + "/" + std::to_string(number);
}

// Contents follow from the size alone: the data path does not look at them.
Buffer object_bytes(std::size_t size) {
  SeededRandom random(size);
  Buffer bytes = Buffer::allocate(size);
  for (std::size_t i = 0; i < size; ++i)
    bytes.mutable_data()[i] = static_cast<std::byte>(random.below(256));
  return bytes;
}

Task<Status> put_object(ClientStack* stack, std::string key, Buffer bytes) {
  auto writer = stack->objects().create_writer(bytes.size());
  for (std::size_t at = 0; at < bytes.size(); at += kMaxColumnBytes) {
    Buffer piece = bytes.slice(at, std::min<std::size_t>(kMaxColumnBytes, bytes.size() - at));
    const Status taken = co_await writer->append(std::move(piece));
    if (!taken.ok()) co_return taken;
  }
  client::ObjectTarget target{kBucket, std::move(key)};
  const auto stored = co_await writer->commit_object(std::move(target), {}, {}, {});
  co_return stored.status();
}

Task<Status> get_object(ClientStack* stack, std::string key, std::uint64_t size) {
  auto opened = co_await stack->objects().open_object(kBucket, std::move(key), {}, std::nullopt);
  if (!opened.ok()) co_return opened.status();
  std::uint64_t got = 0;
  while (true) {
    const auto piece = co_await opened->reader->next();
    if (!piece.ok()) co_return piece.status();
    if (piece->empty()) break;
    got += piece->size();
  }
  co_return got == size ? OkStatus() : CorruptionError("an object of the wrong length");
}

// Names of files, spread over directories.
class Tree {
 public:
  Tree(ClientStack& stack, std::uint64_t count) : files_(stack.files()), count_(count) {}

  Task<Status> make_directories() {
    const std::string top = "shoal-bench-" + std::to_string(secure_random_u64() % 1'000'000);
    auto made = co_await make(kRootInode, top, proto::DIRECTORY);
    if (!made.ok()) co_return made.status();
    const InodeId root(made->inode());
    const std::uint64_t directories = std::max<std::uint64_t>(16, count_ / kFilesPerDirectory);
    for (std::uint64_t i = 0; i < directories; ++i) {
      const auto directory = co_await make(root, std::to_string(i), proto::DIRECTORY);
      if (!directory.ok()) co_return directory.status();
      directories_.push_back(InodeId(directory->inode()));
    }
    co_return OkStatus();
  }
  Task<Status> create(std::uint64_t number) {
    const auto made = co_await make(directory_of(number), name_of(number), proto::REGULAR);
    co_return made.status();
  }
  Task<Status> stat(std::uint64_t number) {
    const auto found = co_await files_.lookup(directory_of(number), name_of(number));
    co_return found.status();
  }
  Task<Status> unlink(std::uint64_t number) {
    co_return co_await files_.unlink(directory_of(number), name_of(number));
  }
  // There and back again, so that the names last for any number of requests.
  Task<Status> rename(std::uint64_t number) {
    const bool back = number / count_ % 2 == 1;
    const std::uint64_t file = number % count_;
    proto::RenameFile request;
    request.set_source_parent(directory_of(file).value());
    request.set_target_parent(directory_of(file).value());
    request.set_source_name(name_of(file) + (back ? ".new" : ""));
    request.set_target_name(name_of(file) + (back ? "" : ".new"));
    co_return co_await files_.rename(std::move(request));
  }
  Task<Status> read_directory(std::uint64_t number) {
    const auto page = co_await files_.read_directory(directories_[number % directories_.size()], "",
                                                     kDirectoryPage);
    co_return page.status();
  }

 private:
  Task<Result<client::Attributes>> make(InodeId parent, std::string name, proto::FileType type) {
    proto::CreateFile request;
    request.set_parent(parent.value());
    request.set_name(std::move(name));
    request.set_type(type);
    request.set_mode(type == proto::DIRECTORY ? 0755 : 0644);
    request.set_exclusive(true);
    co_return co_await files_.create(std::move(request));
  }
  InodeId directory_of(std::uint64_t number) const {
    return directories_[number % directories_.size()];
  }
  static std::string name_of(std::uint64_t number) { return "file." + std::to_string(number); }

  client::PosixApi& files_;
  const std::uint64_t count_;
  std::vector<InodeId> directories_;
};

}  // namespace

Task<Result<LoadReport>> run_data_load(ClientStack* stack, StoreLoadOptions options) {
  const Status made = co_await stack->objects().create_bucket(kBucket, {});
  if (!made.ok() && made.code() != StatusCode::kAlreadyExists) co_return made;
  const Buffer bytes = object_bytes(options.size_bytes);
  const Request put = [stack, bytes](std::uint64_t number) {
    return put_object(stack, object_key(number), bytes);
  };
  LoadReport report;
  if (options.operation == "put") {
    report = co_await run_load(options, 0, put);
  } else if (options.operation == "get") {
    report = co_await run_load(options, options.count, put);
    CO_RETURN_IF_ERROR(first_error(report));
    const Request get = [stack, options](std::uint64_t number) {
      return get_object(stack, object_key(number * 7919 % options.count), options.size_bytes);
    };
    report = co_await run_load(options, 0, get);
  } else {
    co_return InvalidArgumentError("--op " + options.operation + ": expected put or get");
  }
  report.bytes = (report.requests - report.errors) * options.size_bytes;
  co_return report;
}

Task<Result<LoadReport>> run_meta_load(ClientStack* stack, StoreLoadOptions options) {
  const std::map<std::string, Task<Status> (Tree::*)(std::uint64_t)> operations{
      {"create", &Tree::create},
      {"stat", &Tree::stat},
      {"rename", &Tree::rename},
      {"readdir", &Tree::read_directory},
      {"unlink", &Tree::unlink}};
  const auto operation = operations.find(options.operation);
  if (operation == operations.end()) {
    co_return InvalidArgumentError("--op " + options.operation +
                                   ": expected create, stat, rename, readdir or unlink");
  }
  Tree tree(*stack, options.count);
  CO_RETURN_IF_ERROR(co_await tree.make_directories());
  if (options.operation != "create") {
    const Request create = [&tree](std::uint64_t number) { return tree.create(number); };
    const LoadReport filled = co_await run_load(options, options.count, create);
    CO_RETURN_IF_ERROR(first_error(filled));
  }
  const auto method = operation->second;
  // Names run out when they are removed; else any number of requests goes round them.
  const bool once = options.operation == "unlink";
  const bool makes = options.operation == "create" || options.operation == "rename";
  const Request request = [&tree, method, makes, options](std::uint64_t number) {
    return (tree.*method)(makes ? number : number % options.count);
  };
  co_return co_await run_load(options, once ? options.count : 0, request);
}

}  // namespace shoal::tools
