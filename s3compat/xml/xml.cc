#include "s3compat/xml/xml.h"

#include <expat.h>

namespace shoal::s3compat {
namespace {

constexpr std::size_t kMaxDepth = 16;
constexpr std::size_t kMaxElements = 50'000;

struct Parse {
  XML_Parser parser = nullptr;
  XmlElement root;
  std::vector<XmlElement*> open;
  std::size_t elements = 0;
  std::string error;
  void stop(const char* why) {
    error = why;
    XML_StopParser(parser, XML_FALSE);
  }
};

void on_start(void* data, const XML_Char* name, const XML_Char**) {
  auto& parse = *static_cast<Parse*>(data);
  if (parse.open.size() >= kMaxDepth || ++parse.elements > kMaxElements)
    return parse.stop("too deep or too long");
  std::string_view plain(name);
  if (const std::size_t colon = plain.rfind(':'); colon != std::string_view::npos)
    plain.remove_prefix(colon + 1);
  XmlElement* element = &parse.root;
  if (!parse.open.empty()) element = &parse.open.back()->children.emplace_back();
  element->name = plain;
  parse.open.push_back(element);
}

void on_end(void* data, const XML_Char*) { static_cast<Parse*>(data)->open.pop_back(); }

void on_text(void* data, const XML_Char* text, int length) {
  auto& parse = *static_cast<Parse*>(data);
  if (!parse.open.empty()) parse.open.back()->text.append(text, static_cast<std::size_t>(length));
}

void on_doctype(void* data, const XML_Char*, const XML_Char*, const XML_Char*, int) {
  static_cast<Parse*>(data)->stop("a document type is not allowed");
}

}  // namespace

void XmlWriter::element(std::string_view name, std::string_view value) {
  begin(name);
  for (const char c : value) {
    switch (c) {
      case '&': text_ += "&amp;"; break;
      case '<': text_ += "&lt;"; break;
      case '>': text_ += "&gt;"; break;
      case '"': text_ += "&quot;"; break;
      default:
        // What XML 1.0 cannot hold as itself goes as a reference, as AWS does.
        if (static_cast<unsigned char>(c) < 0x20) {
          text_ += "&#" + std::to_string(static_cast<int>(c)) + ";";
        } else {
          text_.push_back(c);
        }
    }
  }
  end(name);
}

const XmlElement* XmlElement::child(std::string_view wanted) const {
  for (const XmlElement& element : children) {
    if (element.name == wanted) return &element;
  }
  return nullptr;
}

std::string XmlElement::child_text(std::string_view wanted) const {
  const XmlElement* element = child(wanted);
  return element == nullptr ? "" : element->text;
}

Result<XmlElement> parse_xml(std::string_view text) {
  Parse parse;
  const std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser(
      XML_ParserCreate("UTF-8"), XML_ParserFree);
  parse.parser = parser.get();
  XML_SetUserData(parser.get(), &parse);
  XML_SetElementHandler(parser.get(), on_start, on_end);
  XML_SetCharacterDataHandler(parser.get(), on_text);
  XML_SetStartDoctypeDeclHandler(parser.get(), on_doctype);
  // Elements hold pointers to their last child while they are open, and only the innermost one
  // grows.
  if (XML_Parse(parser.get(), text.data(), static_cast<int>(text.size()), XML_TRUE) !=
      XML_STATUS_OK) {
    const std::string why =
        !parse.error.empty() ? parse.error : XML_ErrorString(XML_GetErrorCode(parser.get()));
    return InvalidArgumentError("line " + std::to_string(XML_GetCurrentLineNumber(parser.get())) +
                                ": " + why);
  }
  return std::move(parse.root);
}

}  // namespace shoal::s3compat
