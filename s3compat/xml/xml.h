// XML: a writer for answers and a bounded reader for the few bodies that requests have.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace shoal::s3compat {

class XmlWriter {
 public:
  XmlWriter() : text_("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n") {}
  // The root; with S3's namespace.
  void begin_root(std::string_view name) {
    text_.append("<").append(name).append(" xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
  }
  void begin(std::string_view name) { text_.append("<").append(name).append(">"); }
  void end(std::string_view name) { text_.append("</").append(name).append(">"); }
  void element(std::string_view name, std::string_view value);
  void element(std::string_view name, std::uint64_t value) { element(name, std::to_string(value)); }
  void element(std::string_view name, bool value) { element(name, value ? "true" : "false"); }
  void element(std::string_view name, const char* value) { element(name, std::string_view(value)); }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// A parsed element: its name without a prefix, its text, its children.
struct XmlElement {
  std::string name;
  std::string text;
  std::vector<XmlElement> children;
  const XmlElement* child(std::string_view wanted) const;
  std::string child_text(std::string_view wanted) const;
};

// Parses a document without DTD or entities of its own. Errors: kInvalidArgument with line and
// cause.
Result<XmlElement> parse_xml(std::string_view text);

}  // namespace shoal::s3compat
