// CHECK: an invariant of the program itself. On in release builds; a failure prints the place and
// aborts. Bytes from a disk, a peer or a user never reach a CHECK: they give a Status.
#pragma once

namespace shoal {
[[noreturn]] void check_failed(const char* file, int line, const char* expression);
}  // namespace shoal

#define CHECK(expression)                                     \
  do {                                                        \
    if (!(expression)) [[unlikely]]                           \
      ::shoal::check_failed(__FILE__, __LINE__, #expression); \
  } while (false)
