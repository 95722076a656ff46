// Keys of the records of a checkpoint: a letter that says what the record is of, and mostly a
// number, big-endian so that records sort by it. In the order of keys packs come before the inodes
// whose bytes they hold, and inodes before the entries that lead to them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace shoal::metad {

inline constexpr char kConfigLetter = 'c';   // and bucket inode '/' name
inline constexpr char kPackLetter = 'f';     // and the pack: where fragments are
inline constexpr char kGlobalsLetter = 'g';  // alone
inline constexpr char kInodeLetter = 'i';    // and the inode
inline constexpr char kMapLetter = 'm';      // alone: the cluster map
inline constexpr char kEntryLetter = 'n';    // and the directory and the entry's key
inline constexpr char kSessionLetter = 's';  // and the session
inline constexpr char kUploadLetter = 'u';   // and the upload's id

inline constexpr std::size_t kNumberKeyBytes = 9;  // letter and number

inline std::string number_key(char letter, std::uint64_t number) {
  std::string key(1, letter);
  for (int shift = 56; shift >= 0; shift -= 8)
    key.push_back(static_cast<char>(number >> shift & 0xff));
  return key;
}
// Of a key with a number.
inline std::uint64_t number_of_key(std::string_view key) {
  std::uint64_t number = 0;
  for (std::size_t i = 1; i < kNumberKeyBytes && i < key.size(); ++i)
    number = number << 8 | static_cast<unsigned char>(key[i]);
  return number;
}

}  // namespace shoal::metad
