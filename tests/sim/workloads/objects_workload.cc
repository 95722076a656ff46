// Objects through the S3 door. Invariant: what was acknowledged is there, byte for byte, until
// something newer is acknowledged; what was deleted stays away.
#include <map>
#include <vector>

#include "tests/sim/workloads/workload.h"

namespace shoal::sim {
namespace {

constexpr int kWorkers = 3;
constexpr std::uint64_t kKeysPerWorker = 4;

struct Value {
  std::uint64_t version = 0;  // 0: there is no such object
  std::uint32_t size = 0;
};

// One worker alone uses a key, so what may be there is known: one value, or after an operation
// without a known outcome two; then the key is left alone until the end. So is the source of such a
// copy: it may still be made, of what the source holds then.
struct Key {
  std::vector<Value> possible{Value{}};
  std::string source;  // of the copy under way
  bool left_alone = false;
};

class ObjectsWorkload final : public Workload {
 public:
  ObjectsWorkload(SimCluster& cluster, std::string name, std::uint64_t seed)
      : Workload(cluster, std::move(name), seed), content_seed_(seed) {}

  Task<void> run(client::ClientStack* client) override;
  Task<void> check(client::ClientStack* client) override;

 private:
  Task<int> work(client::ClientStack* client, int worker);
  Task<void> put(client::ClientStack* client, std::string key);
  Task<void> remove(client::ClientStack* client, std::string key);
  Task<void> copy(client::ClientStack* client, std::string source, std::string key);
  Task<void> get(client::ClientStack* client, std::string key, bool at_rest);
  Task<Result<Buffer>> fetch(client::ClientStack* client, std::string key);
  void check_value(const std::string& key, const Result<Buffer>& found, bool at_rest);
  std::string pick_key(int worker);
  Buffer bytes_of(const Value& value) const {
    return content_of(content_seed_, value.version, value.size);
  }
  void leave_alone(Key& key);
  // The outcome of an operation that would make `value` of what was.
  void settle(const std::string& key, const Status& status, const Value& value);

  const std::uint64_t content_seed_;
  std::map<std::string, Key> keys_;
  std::vector<std::string> workers_keys_[kWorkers];
  std::uint64_t next_key_ = 0;
  std::uint64_t next_version_ = 1;
};

Task<void> ObjectsWorkload::run(client::ClientStack* client) {
  while (!stopping()) {
    const Status made = co_await client->objects().create_bucket(name_, {});
    if (made.ok() || made.code() == StatusCode::kAlreadyExists) break;
    co_await sleep_for(std::chrono::milliseconds(300));
  }
  // Whatever was under way when the last life ended has no known outcome.
  for (auto& [name, key] : keys_)
    if (key.possible.size() > 1) leave_alone(key);
  std::vector<Task<int>> workers;
  for (int worker = 0; worker < kWorkers; ++worker) workers.push_back(work(client, worker));
  (void)co_await when_all(std::move(workers));
}

std::string ObjectsWorkload::pick_key(int worker) {
  auto& mine = workers_keys_[worker];
  std::erase_if(mine, [&](const std::string& key) { return keys_[key].left_alone; });
  while (mine.size() < kKeysPerWorker) {
    const std::uint64_t number = next_key_++;
    mine.push_back((number % 3 == 0 ? "deep/er/" : "") + std::string("key-") +
                   std::to_string(number));
    keys_[mine.back()];
  }
  return mine[random_.below(mine.size())];
}

Task<int> ObjectsWorkload::work(client::ClientStack* client, int worker) {
  while (!stopping()) {
    const std::string key = pick_key(worker);
    const std::uint64_t what = random_.below(10);
    if (what < 5) {
      co_await put(client, key);
    } else if (what < 7) {
      co_await get(client, key, false);
    } else if (what < 9) {
      co_await remove(client, key);
    } else {
      const std::string source = pick_key(worker);
      if (source != key && keys_[source].possible[0].version != 0)
        co_await copy(client, source, key);
    }
    co_await think();
  }
  co_return 0;
}

void ObjectsWorkload::leave_alone(Key& key) {
  key.left_alone = true;
  if (!key.source.empty()) keys_[key.source].left_alone = true;
}

void ObjectsWorkload::settle(const std::string& name, const Status& status, const Value& value) {
  Key& key = keys_[name];
  if (status.ok()) {
    key.possible.assign(1, value);
    key.source.clear();
    note_acknowledged(name);
  } else {
    leave_alone(key);
  }
}

Task<void> ObjectsWorkload::put(client::ClientStack* client, std::string key) {
  Value value;
  value.version = next_version_++;
  const std::uint32_t bounds[] = {100, 5000, 40'000, 200'000};
  value.size = static_cast<std::uint32_t>(random_.below(bounds[random_.below(4)])) + 1;
  keys_[key].possible.push_back(value);
  const std::unique_ptr<client::ObjectWriter> writer = client->objects().create_writer(value.size);
  const Status appended = co_await writer->append(bytes_of(value));
  Status stored = appended;
  if (appended.ok()) {
    client::ObjectTarget target{name_, key};
    const auto committed = co_await writer->commit_object(std::move(target), {}, {}, {});
    stored = committed.status();
  }
  settle(key, stored, value);
}

Task<void> ObjectsWorkload::remove(client::ClientStack* client, std::string key) {
  keys_[key].possible.emplace_back();
  std::vector<std::string> keys(1, key);
  const auto removed = co_await client->objects().delete_objects(name_, std::move(keys), {});
  settle(key, removed.ok() ? (*removed)[0] : removed.status(), Value{});
}

Task<void> ObjectsWorkload::copy(client::ClientStack* client, std::string source, std::string key) {
  const Value value = keys_[source].possible[0];
  keys_[key].possible.push_back(value);
  keys_[key].source = source;
  proto::CopyObject request;
  request.set_source_bucket(name_);
  request.set_source_key(source);
  request.set_bucket(name_);
  request.set_key(key);
  const auto copied = co_await client->objects().copy_object(std::move(request));
  settle(key, copied.status(), value);
}

Task<Result<Buffer>> ObjectsWorkload::fetch(client::ClientStack* client, std::string key) {
  auto opened = co_await client->objects().open_object(name_, key, {}, std::nullopt);
  if (!opened.ok()) co_return opened.status();
  BufferList pieces;
  while (true) {
    auto piece = co_await opened->reader->next();
    if (!piece.ok()) co_return piece.status();
    if (piece->empty()) break;
    pieces.push_back(std::move(*piece));
  }
  co_return flatten(pieces);
}

void ObjectsWorkload::check_value(const std::string& key, const Result<Buffer>& found,
                                  bool at_rest) {
  const std::vector<Value>& possible = keys_[key].possible;
  const bool no_bucket = !found.ok() && found.status().code() == StatusCode::kNoSuchBucket;
  const bool absent = (!found.ok() && found.status().code() == StatusCode::kNotFound) ||
                      (no_bucket && acknowledged() == 0);
  if (!found.ok() && !absent) {
    if (at_rest) breach("'" + key + "' cannot be read: " + found.status().to_string());
    return;
  }
  for (const Value& value : possible) {
    if (absent && value.version == 0) return;
    if (absent || value.version == 0 || value.size != found->size()) continue;
    if (bytes_of(value).view() == found->view()) return;
  }
  breach(absent ? "'" + key + "' was acknowledged and is gone"
                : "'" + key + "' holds " + std::to_string(found->size()) +
                      " bytes that it should not");
}

Task<void> ObjectsWorkload::get(client::ClientStack* client, std::string key, bool at_rest) {
  const auto found = co_await fetch(client, key);
  check_value(key, found, at_rest);
}

Task<void> ObjectsWorkload::check(client::ClientStack* client) {
  std::vector<std::string> names;
  for (const auto& [name, key] : keys_) names.push_back(name);
  for (const std::string& name : names) co_await get(client, name, true);
  if (names.empty() || acknowledged() == 0) co_return;
  proto::ListObjects request;
  request.set_bucket(name_);
  request.set_limit(1000);
  const auto listed = co_await client->objects().list_objects(std::move(request));
  if (!listed.ok()) {
    breach("listing: " + listed.status().to_string());
    co_return;
  }
  std::map<std::string, bool> found;
  for (const proto::Dentry& entry : listed->objects()) found[entry.key()] = true;
  for (const auto& [name, key] : keys_) {
    if (key.possible.size() > 1) continue;
    if (found.contains(name) != (key.possible[0].version != 0))
      breach("the listing is wrong about '" + name + "'");
  }
}

}  // namespace

std::unique_ptr<Workload> make_objects_workload(SimCluster& cluster, std::string name,
                                                std::uint64_t seed) {
  return std::make_unique<ObjectsWorkload>(cluster, std::move(name), seed);
}

}  // namespace shoal::sim
