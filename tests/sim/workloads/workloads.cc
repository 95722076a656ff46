#include <cstring>

#include "tests/sim/workloads/workload.h"

namespace shoal::sim {
namespace {

using Make = std::unique_ptr<Workload> (*)(SimCluster&, std::string, std::uint64_t);
struct Kind {
  const char* name;
  Make make;
};
constexpr Kind kKinds[] = {
    {"objects", make_objects_workload},
    {"files", make_files_workload},
    {"ring", make_ring_workload},
    {"names", make_names_workload},
};

Task<void> run_life(Workload* workload, client::ClientStack* client) {
  workload->running = true;
  co_await workload->run(client);
  workload->running = false;
}

}  // namespace

Buffer content_of(std::uint64_t seed, std::uint64_t version, std::size_t size) {
  SeededRandom random(seed * 0x9e3779b97f4a7c15 + version);
  Buffer content = Buffer::allocate(size);
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random.next();
    std::memcpy(content.mutable_data() + at, &word, std::min(sizeof word, size - at));
  }
  return content;
}

Task<std::uint64_t> need_directory(client::ClientStack* client, std::string name) {
  while (true) {
    proto::CreateFile request;
    request.set_parent(kRootInode.value());
    request.set_name(name);
    request.set_type(proto::DIRECTORY);
    request.set_mode(0755);
    const auto made = co_await client->files().create(std::move(request));
    if (made.ok()) co_return made->inode();
    const auto there = co_await client->files().lookup(kRootInode, name);
    if (there.ok()) co_return there->inode();
    co_await sleep_for(std::chrono::milliseconds(200));
  }
}

std::vector<std::unique_ptr<Workload>> make_workloads(SimCluster& cluster, Random& random) {
  std::vector<std::unique_ptr<Workload>> all;
  std::uint64_t next = random.below(std::size(kKinds));
  for (std::size_t i = 0; i < cluster.clients().size(); ++i) {
    std::vector<Workload*> mine;
    const std::uint64_t count = 1 + random.below(cluster.options().load.most_workloads);
    for (std::uint64_t n = 0; n < count; ++n) {
      const Kind& kind = kKinds[next++ % std::size(kKinds)];
      all.push_back(
          kind.make(cluster, std::string(kind.name) + "-" + std::to_string(i), random.next()));
      mine.push_back(all.back().get());
    }
    cluster.clients()[i]->on_start = [mine](client::ClientStack* client) {
      for (Workload* workload : mine) spawn(run_life(workload, client));
    };
  }
  return all;
}

}  // namespace shoal::sim
