#include "tests/sim/sim_network.h"

namespace shoal::sim {

std::vector<MonotonicTime> SimNetwork::arrivals(const SimHost& from, const SimHost& to) {
  std::vector<MonotonicTime> times;
  const int copies = simulator_.chance(faults_.duplicate_per_mille) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const bool late = simulator_.chance(faults_.late_per_mille);
    const Duration delay =
        simulator_.between(faults_.min_delay, late ? faults_.max_lateness : faults_.max_delay);
    const bool lost = simulator_.chance(faults_.loss_per_mille);
    if (lost || cut_.contains({from.number, to.number})) continue;
    times.push_back(simulator_.now() + delay);
  }
  return times;
}

void SimNetwork::host_died(SimHost& host) {
  // A broken connection is noticed, or the machine is just silent.
  const bool noticed = simulator_.chance(700);
  for (const auto& [number, died] : std::exchange(host.serving, {})) {
    if (noticed) (*died)();
  }
}

Task<Status> SimStorageLink::write_fragment(WriteFragmentRequest request, MonotonicTime deadline) {
  return send<Status>(deadline, [request = std::move(request), deadline](StorageApi* storage) {
    return storage->write_fragment(request, deadline);
  });
}
Task<Result<Buffer>> SimStorageLink::read_fragment(ReadFragmentRequest request,
                                                   MonotonicTime deadline) {
  return send<Result<Buffer>>(deadline, [request, deadline](StorageApi* storage) {
    return storage->read_fragment(request, deadline);
  });
}
Task<Result<RowShape>> SimStorageLink::row_shape(DriveId drive, PackId pack, std::uint32_t row,
                                                 MonotonicTime deadline) {
  return send<Result<RowShape>>(deadline, [=](StorageApi* storage) {
    return storage->row_shape(drive, pack, row, deadline);
  });
}
Task<Status> SimStorageLink::seal_pack(DriveId drive, PackId pack, std::uint64_t epoch,
                                       MonotonicTime deadline) {
  return send<Status>(deadline, [=](StorageApi* storage) {
    return storage->seal_pack(drive, pack, epoch, deadline);
  });
}
Task<Status> SimStorageLink::delete_pack(DriveId drive, PackId pack, MonotonicTime deadline) {
  return send<Status>(deadline, [=, this](StorageApi* storage) {
    if (network_.on_drop) network_.on_drop(drive, pack, nullptr, false);
    return storage->delete_pack(drive, pack, deadline);
  });
}
Task<Status> SimStorageLink::evict_pack(DriveId drive, PackId pack, MonotonicTime deadline) {
  return send<Status>(deadline, [=, this](StorageApi* storage) {
    if (network_.on_drop) network_.on_drop(drive, pack, nullptr, true);
    return storage->evict_pack(drive, pack, deadline);
  });
}
Task<Result<std::vector<RowObject>>> SimStorageLink::row_directory(DriveId drive, FragmentKey key,
                                                                   MonotonicTime deadline) {
  return send<Result<std::vector<RowObject>>>(
      deadline, [=](StorageApi* storage) { return storage->row_directory(drive, key, deadline); });
}
Task<Status> SimStorageLink::scrub(DriveId drive, ScrubAction action,
                                   std::uint64_t bytes_per_second, MonotonicTime deadline) {
  return send<Status>(deadline, [=](StorageApi* storage) {
    return storage->scrub(drive, action, bytes_per_second, deadline);
  });
}
Task<Result<std::vector<DamagedFragment>>> SimStorageLink::damaged_fragments(
    DriveId drive, FragmentKey after, std::uint32_t limit, MonotonicTime deadline) {
  return send<Result<std::vector<DamagedFragment>>>(deadline, [=](StorageApi* storage) {
    return storage->damaged_fragments(drive, after, limit, deadline);
  });
}
Task<Status> SimStorageLink::delete_rows(DriveId drive, PackId pack,
                                         std::vector<std::uint32_t> rows, MonotonicTime deadline) {
  return send<Status>(deadline, [=, this](StorageApi* storage) {
    if (network_.on_drop) network_.on_drop(drive, pack, &rows, false);
    return storage->delete_rows(drive, pack, rows, deadline);
  });
}
Task<Result<std::vector<PackInfo>>> SimStorageLink::list_packs(DriveId drive, PackId after,
                                                               std::uint32_t limit,
                                                               MonotonicTime deadline) {
  return send<Result<std::vector<PackInfo>>>(deadline, [=](StorageApi* storage) {
    return storage->list_packs(drive, after, limit, deadline);
  });
}
Task<Result<std::vector<FragmentInfo>>> SimStorageLink::list_fragments(DriveId drive, PackId pack,
                                                                       std::uint32_t first_row,
                                                                       std::uint32_t limit,
                                                                       FragmentDetail detail,
                                                                       MonotonicTime deadline) {
  return send<Result<std::vector<FragmentInfo>>>(deadline, [=](StorageApi* storage) {
    return storage->list_fragments(drive, pack, first_row, limit, detail, deadline);
  });
}
Task<Result<std::vector<DriveStatus>>> SimStorageLink::status(MonotonicTime deadline) {
  return send<Result<std::vector<DriveStatus>>>(
      deadline, [=](StorageApi* storage) { return storage->status(deadline); });
}

Task<Result<proto::CommandReply>> SimMetadataLink::execute(proto::Command command,
                                                           MonotonicTime deadline) {
  std::function<Task<Result<proto::CommandReply>>(MetadataApi*)> call =
      [command = std::move(command), deadline](MetadataApi* metadata) {
        return metadata->execute(command, deadline);
      };
  return network_.call<Result<proto::CommandReply>, MetadataApi>(&from_, &to_, &SimHost::metadata,
                                                                 deadline, std::move(call));
}
Task<Result<proto::QueryReply>> SimMetadataLink::query(proto::Query query, MonotonicTime deadline) {
  std::function<Task<Result<proto::QueryReply>>(MetadataApi*)> call =
      [query = std::move(query), deadline](MetadataApi* metadata) {
        return metadata->query(query, deadline);
      };
  return network_.call<Result<proto::QueryReply>, MetadataApi>(&from_, &to_, &SimHost::metadata,
                                                               deadline, std::move(call));
}

}  // namespace shoal::sim
