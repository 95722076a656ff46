// Text forms: what decodes, encodes to what decodes to the same.
#include "base/encoding.h"

#include "base/check.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {

std::vector<std::string> seeds() {
  return {"Zm9vYmFy", "Zg==", "Zm8=", "666f6f", "00FFab", "a%20b+c%2f", "%00%ff", "/a/b~c"};
}
std::vector<std::string> words() { return {"%", "%2", "%00", "=", "==", "+", "/", "A"}; }

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shoal;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CHECK(base64_decode(base64_encode(text)) == text);
  CHECK(hex_decode(hex_encode(text)) == text);
  if (const auto bytes = base64_decode(text)) CHECK(base64_decode(base64_encode(*bytes)) == bytes);
  if (const auto bytes = hex_decode(text)) CHECK(hex_decode(hex_encode(*bytes)) == bytes);
  for (const bool plus : {false, true}) {
    for (const bool slash : {false, true})
      CHECK(percent_decode(percent_encode(text, slash), plus) == text);
    if (const auto bytes = percent_decode(text, plus)) CHECK(bytes->size() <= text.size());
  }
  return 0;
}
