#include "base/memory.h"

#include <malloc.h>

// mimalloc's, when the program is linked with it (mimalloc.h).
extern "C" void mi_collect(bool force) noexcept __attribute__((weak));

namespace shoal {

void release_free_memory() {
  if (mi_collect != nullptr) {
    mi_collect(true);
  } else {
    malloc_trim(0);
  }
}

}  // namespace shoal
