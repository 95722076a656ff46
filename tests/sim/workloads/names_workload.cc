// Names that are made once each. Invariant: every command takes effect exactly once, however often
// its messages were sent: an exclusive creation of a name that nobody else uses never finds it
// there, a removal never finds it gone, and a file has as many links as were acknowledged.
#include <set>

#include "tests/sim/workloads/workload.h"

namespace shoal::sim {
namespace {

class NamesWorkload final : public Workload {
 public:
  NamesWorkload(SimCluster& cluster, std::string name, std::uint64_t seed)
      : Workload(cluster, std::move(name), seed) {}

  Task<void> run(client::ClientStack* client) override;
  Task<void> check(client::ClientStack* client) override;

 private:
  Task<void> link(client::ClientStack* client);
  Task<void> unlink(client::ClientStack* client);
  Task<void> create(client::ClientStack* client);
  Task<void> count_links(client::ClientStack* client, bool at_rest);
  Task<void> check_name(client::ClientStack* client, std::string name, bool expected);
  proto::CreateFile creation(const std::string& name) const;

  std::uint64_t directory_ = 0;
  std::uint64_t inode_ = 0;        // the file with many names
  std::set<std::string> links_;    // acknowledged
  std::set<std::string> removed_;  // acknowledged, links and others
  std::set<std::string> made_;     // acknowledged, not links
  std::set<std::string> unknown_;  // links made or removed without a known outcome
  std::uint64_t next_name_ = 0;
};

proto::CreateFile NamesWorkload::creation(const std::string& name) const {
  proto::CreateFile request;
  request.set_parent(directory_);
  request.set_name(name);
  request.set_type(proto::REGULAR);
  request.set_exclusive(true);
  return request;
}

Task<void> NamesWorkload::run(client::ClientStack* client) {
  if (directory_ == 0) directory_ = co_await need_directory(client, name_);
  while (inode_ == 0 && !stopping()) {
    // Each try has a name of its own: one whose outcome is unknown is left alone.
    const std::string name = "base-" + std::to_string(next_name_++);
    const auto made = co_await client->files().create(creation(name));
    if (made.ok()) inode_ = made->inode();
    if (made.status().code() == StatusCode::kAlreadyExists) breach("'" + name + "' was made twice");
  }
  while (!stopping()) {
    const std::uint64_t what = random_.below(8);
    if (what < 3) {
      co_await link(client);
    } else if (what < 5) {
      co_await unlink(client);
    } else if (what < 7) {
      co_await create(client);
    } else {
      co_await count_links(client, false);
    }
    co_await think();
  }
}

Task<void> NamesWorkload::link(client::ClientStack* client) {
  const std::string name = "link-" + std::to_string(next_name_++);
  unknown_.insert(name);
  const auto linked = co_await client->files().link(InodeId(inode_), InodeId(directory_), name);
  if (linked.ok()) {
    unknown_.erase(name);
    links_.insert(name);
    note_acknowledged(name);
  } else if (linked.status().code() == StatusCode::kAlreadyExists) {
    breach("'" + name + "' was linked twice");
  }
}

Task<void> NamesWorkload::unlink(client::ClientStack* client) {
  std::set<std::string>& from = random_.below(2) == 0 ? links_ : made_;
  if (from.empty()) co_return;
  const std::string name = *from.begin();
  const bool is_link = links_.erase(name) > 0;
  if (is_link) unknown_.insert(name);
  made_.erase(name);
  const Status gone = co_await client->files().unlink(InodeId(directory_), name);
  if (gone.ok()) {
    unknown_.erase(name);
    removed_.insert(name);
    note_acknowledged(name);
  } else if (gone.code() == StatusCode::kNotFound) {
    breach("'" + name + "' was removed twice");
  }
}

Task<void> NamesWorkload::create(client::ClientStack* client) {
  const std::string name = "file-" + std::to_string(next_name_++);
  const auto made = co_await client->files().create(creation(name));
  if (made.ok()) {
    made_.insert(name);
    note_acknowledged(name);
  } else if (made.status().code() == StatusCode::kAlreadyExists) {
    breach("'" + name + "' was made twice");
  }
}

Task<void> NamesWorkload::count_links(client::ClientStack* client, bool at_rest) {
  const std::size_t least = links_.size() + 1;
  const auto found = co_await client->files().get_attributes(InodeId(inode_));
  if (!found.ok()) {
    if (at_rest) breach("the file with many names is gone: " + found.status().to_string());
    co_return;
  }
  const std::size_t most = links_.size() + 1 + unknown_.size();
  if (found->link_count() < least || found->link_count() > most) {
    breach(std::to_string(found->link_count()) + " links, between " + std::to_string(least) +
           " and " + std::to_string(most) + " were acknowledged");
  }
}

Task<void> NamesWorkload::check_name(client::ClientStack* client, std::string name, bool expected) {
  const auto found = co_await client->files().lookup(InodeId(directory_), name);
  if (found.ok()) {
    if (!expected) breach("'" + name + "' was removed and is back");
  } else if (found.status().code() != StatusCode::kNotFound) {
    breach("'" + name + "' cannot be looked up: " + found.status().to_string());
  } else if (expected) {
    breach("'" + name + "' was made and is gone");
  }
}

Task<void> NamesWorkload::check(client::ClientStack* client) {
  if (inode_ == 0) co_return;
  for (const std::string& name : links_) co_await check_name(client, name, true);
  for (const std::string& name : made_) co_await check_name(client, name, true);
  for (const std::string& name : removed_) co_await check_name(client, name, false);
  co_await count_links(client, true);
}

}  // namespace

std::unique_ptr<Workload> make_names_workload(SimCluster& cluster, std::string name,
                                              std::uint64_t seed) {
  return std::make_unique<NamesWorkload>(cluster, std::move(name), seed);
}

}  // namespace shoal::sim
