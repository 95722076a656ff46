// RpcChannel: this process's connection to one peer: one gRPC stream that carries many requests a
// frame, matched by id. It connects when first used and again after a failure. Batching clocks
// itself: what is asked while a frame is being sent goes into the next one; nothing waits for a
// timer. Belongs to one executor.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <memory>
#include <string>
#include <vector>

#include "base/async/sync.h"
#include "base/clock.h"
#include "proto/rpc/frame.h"

namespace grpc {
class Channel;
}

namespace shoal::rpc {

struct ChannelOptions {
  std::string address;  // HOST:PORT
  std::string name;     // who we are, for the peer's log
  std::string
      cluster_uuid;  // a peer of another cluster is refused; "": learnt from the first hello
  // A connection on which a call has waited in vain for at least so long, and nothing else has come
  // meanwhile, is given up, and the next call makes a new one.
  Duration silence = std::chrono::seconds(5);
};

class RpcChannel {
 public:
  RpcChannel(Executor& executor, ChannelOptions options);
  // close() must have returned.
  ~RpcChannel();

  // Sends one request and waits for its reply. Errors: kUnavailable when the peer cannot be reached
  // or the connection broke (the outcome is unknown unless nothing was sent), kDeadlineExceeded,
  // kTooLarge beyond kMaxEntryBytes, kCancelled after close(), kFenced when the peer belongs to
  // another cluster, kNotSupported when it speaks another protocol version, and what the peer gave
  // as refusal.
  Task<Result<Message>> call(Message request, MonotonicTime deadline);
  // Ends the connection; calls under way give kCancelled.
  Task<void> close();

  const std::string& address() const { return options_.address; }
  // Of the peer, once a call has succeeded.
  const std::string& cluster_uuid() const { return options_.cluster_uuid; }

 private:
  class Stream;
  struct Call {
    MonotonicTime deadline;
    MonotonicTime begin;
    Completion<Result<Message>> done;
  };

  void connect();
  void schedule_flush();
  void flush();
  void on_frame(Stream* stream, Result<std::vector<Entry>> entries);
  void on_write_done(Stream* stream, bool ok);
  void on_read_end(Stream* stream);
  void give_up(Stream* stream, const Status& why);
  void on_done(Stream* stream, const Status& status);
  Status take_hello(const Entry& entry);
  void fail_calls(const Status& status);
  void watch_deadlines();
  void expire_calls();

  Executor& executor_;
  ChannelOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<Stream> stream_;  // null: not connected
  Status stream_trouble_;           // why the stream was given up, when it was we who did
  MonotonicTime heard_at_{};        // when the last answer came
  Outbox outbox_;
  bool flush_posted_ = false;
  absl::flat_hash_map<std::uint64_t, Call*> calls_;
  std::uint64_t next_id_ = 1;
  TimerId deadline_timer_;
  bool closing_ = false;
  std::size_t live_streams_ = 0;  // whose last callback has not come
  Signal streams_ended_;
};

}  // namespace shoal::rpc
