// The POSIX view of S3 key components. A directory holds the exact bytes of key components; some
// cannot be a POSIX name, or are shadowed by a directory of the same name. Such an entry is shown
// under a reversible escape that starts with ".shoal~". A name that a POSIX user makes and that
// starts so is stored so that it reads back as itself.
//
//   component (raw)                     POSIX view
//   ordinary                            itself
//   ""                                  .shoal~e
//   "." / ".."                          .shoal~d1 / .shoal~d2
//   file shadowed by directory NAME     .shoal~f~NAME
//   starts with ".shoal~"               .shoal~q~NAME
//   holds a NUL byte                    .shoal~z~NAME with NUL and % as %XX
//   one of "", ".", "..", with NUL, and shadowed   .shoal~s~NAME with NUL and % as %XX
//   view would be longer than 255 bytes .shoal~l~<first 128 bytes, cut at a UTF-8 boundary, NUL and
//   % as %XX>~<32 hex
//                                       digits of SHA-256 of type byte and raw>; found again by
//                                       search of that prefix
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace shoal {

inline constexpr std::string_view kEscapePrefix = ".shoal~";
inline constexpr std::size_t kMaxPosixName = 255;

// The type byte of a dentry key: a file sorts as name + '\0', a directory as name + '/', which is
// S3's order of keys.
inline constexpr char kFileByte = '\0';
inline constexpr char kDirectoryByte = '/';

// The name under which POSIX shows an entry. `shadowed`: it is a file and a directory of the same
// raw name exists.
std::string to_posix_name(std::string_view raw, bool is_directory, bool shadowed);

struct RawName {
  std::string raw;  // the stored component; of a long name only its first bytes
  bool shadowed_file =
      false;             // the view names the file, although a directory has the same raw name
  bool is_long = false;  // raw is a prefix; compare to_posix_name of the candidates
};
// What a POSIX name stands for. Errors: kInvalidArgument for "", ".", "..", '/' or NUL inside or a
// malformed escape, kNameTooLong beyond 255 bytes.
Result<RawName> from_posix_name(std::string_view name);

}  // namespace shoal
