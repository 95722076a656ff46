// JsonWriter: writes JSON text. Only what the tools print; nothing here reads JSON.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace shoal::tools {

class JsonWriter {
 public:
  void begin_object(std::string_view key = "") { open(key, '{'); }
  void end_object() { close('}'); }
  void begin_array(std::string_view key = "") { open(key, '['); }
  void end_array() { close(']'); }
  void field(std::string_view key, std::string_view text) {
    start(key);
    quote(text);
  }
  void field(std::string_view key, const char* text) { field(key, std::string_view(text)); }
  void field(std::string_view key, std::uint64_t number) {
    start(key);
    text_ += std::to_string(number);
  }
  void field(std::string_view key, bool truth) {
    start(key);
    text_ += truth ? "true" : "false";
  }
  void field(std::string_view key, double number);
  void value(std::string_view text) { field("", text); }
  const std::string& text() const { return text_; }

 private:
  void start(std::string_view key) {
    if (need_comma_) text_.push_back(',');
    need_comma_ = true;
    if (key.empty()) return;
    quote(key);
    text_.push_back(':');
  }
  void open(std::string_view key, char bracket) {
    start(key);
    text_.push_back(bracket);
    need_comma_ = false;
  }
  void close(char bracket) {
    text_.push_back(bracket);
    need_comma_ = true;
  }
  void quote(std::string_view text);

  std::string text_;
  bool need_comma_ = false;
};

// Resident memory of a process, bytes; 0 when it is gone. Source: proc(5), statm.
std::uint64_t resident_bytes(pid_t pid);

}  // namespace shoal::tools
