#include "base/posix_name.h"

#include <openssl/sha.h>

#include <array>

#include "base/encoding.h"

namespace shoal {
namespace {

constexpr std::size_t kLongPrefixBytes = 128;
constexpr std::size_t kLongDigits = 32;

bool has_nul(std::string_view raw) { return raw.find('\0') != std::string_view::npos; }

// NUL and % as %XX.
std::string escape_bytes(std::string_view raw) {
  std::string text;
  for (const char c : raw) {
    if (c == '\0') {
      text += "%00";
    } else if (c == '%') {
      text += "%25";
    } else {
      text.push_back(c);
    }
  }
  return text;
}

std::string long_name(std::string_view raw, bool is_directory) {
  std::size_t cut = kLongPrefixBytes;
  while (cut > 0 && (static_cast<unsigned char>(raw[cut]) & 0xc0) == 0x80)
    --cut;  // not inside a UTF-8 sequence
  // Escaping may triple the bytes: what does not fit is left to the digest.
  std::string shown = escape_bytes(raw.substr(0, cut));
  while (kEscapePrefix.size() + 2 + shown.size() + 1 + kLongDigits > kMaxPosixName) {
    do {
      --cut;
    } while (cut > 0 && (static_cast<unsigned char>(raw[cut]) & 0xc0) == 0x80);
    shown = escape_bytes(raw.substr(0, cut));
  }
  std::string hashed(1, is_directory ? kDirectoryByte : kFileByte);
  hashed.append(raw);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(hashed.data()), hashed.size(), digest.data());
  const std::string hex = hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
  return std::string(kEscapePrefix) + "l~" + shown + "~" + hex.substr(0, kLongDigits);
}

std::string short_name(std::string_view raw, bool shadowed) {
  const std::string prefix(kEscapePrefix);
  if (raw.empty()) return prefix + "e";
  if (raw == ".") return prefix + "d1";
  if (raw == "..") return prefix + "d2";
  if (has_nul(raw)) return prefix + "z~" + escape_bytes(raw);
  if (shadowed) return prefix + "f~" + std::string(raw);
  if (raw.starts_with(kEscapePrefix)) return prefix + "q~" + std::string(raw);
  return std::string(raw);
}

Result<RawName> malformed(std::string_view name) {
  return InvalidArgumentError("name " + std::string(name) + " looks like an escape and is none");
}

Result<RawName> parse_long(std::string_view name, std::string_view rest) {
  if (rest.size() < kLongDigits + 1 || rest[rest.size() - kLongDigits - 1] != '~')
    return malformed(name);
  const auto prefix = percent_decode(rest.substr(0, rest.size() - kLongDigits - 1), false);
  if (!prefix) return malformed(name);
  return RawName{*prefix, false, true};
}

Result<RawName> parse_escape(std::string_view name) {
  const std::string_view rest = name.substr(kEscapePrefix.size());
  if (rest == "e") return RawName{""};
  if (rest == "d1") return RawName{"."};
  if (rest == "d2") return RawName{".."};
  if (rest.size() < 2 || rest[1] != '~') return malformed(name);
  const std::string_view text = rest.substr(2);
  switch (rest[0]) {
    case 'f': return text.empty() ? malformed(name) : RawName{std::string(text), true};
    case 'q': return text.starts_with(kEscapePrefix) ? RawName{std::string(text)} : malformed(name);
    case 'l': return parse_long(name, text);
    case 's':
    case 'z': {
      const auto raw = percent_decode(text, false);
      if (!raw || escape_bytes(*raw) != text) return malformed(name);
      if (rest[0] == 'z' && !has_nul(*raw)) return malformed(name);
      return RawName{*raw, rest[0] == 's'};
    }
    default: return malformed(name);
  }
}

}  // namespace

std::string to_posix_name(std::string_view raw, bool is_directory, bool shadowed) {
  // A special component that is shadowed too has no short form of its own.
  const bool special = raw.empty() || raw == "." || raw == ".." || has_nul(raw);
  if (special && shadowed) {
    const std::string view = std::string(kEscapePrefix) + "s~" + escape_bytes(raw);
    if (view.size() <= kMaxPosixName) return view;
    return long_name(raw, is_directory);
  }
  std::string view = short_name(raw, shadowed);
  return view.size() <= kMaxPosixName ? view : long_name(raw, is_directory);
}

Result<RawName> from_posix_name(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || has_nul(name) ||
      name.find('/') != std::string_view::npos) {
    return InvalidArgumentError("'" + std::string(name) + "' cannot be a file's name");
  }
  if (name.size() > kMaxPosixName) return NameTooLongError("a file's name may have 255 bytes");
  if (!name.starts_with(kEscapePrefix)) return RawName{std::string(name)};
  ASSIGN_OR_RETURN(RawName raw, parse_escape(name));
  // One entry has one name: another spelling of it would be an alias.
  if (!raw.is_long && to_posix_name(raw.raw, false, raw.shadowed_file) != name)
    return malformed(name);
  return raw;
}

}  // namespace shoal
