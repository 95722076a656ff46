// XML bodies: bounded, and every text that was read can be written and read again.
#include "s3compat/xml/xml.h"

#include "base/check.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

std::size_t check_element(const s3compat::XmlElement& element, std::size_t depth) {
  CHECK(depth <= 16);
  s3compat::XmlWriter xml;
  xml.begin("Root");
  xml.element("Text", element.text);
  xml.end("Root");
  const auto again = s3compat::parse_xml(xml.take());
  CHECK(again.ok() && again->child_text("Text") == element.text);
  std::size_t count = 1;
  for (const s3compat::XmlElement& child : element.children)
    count += check_element(child, depth + 1);
  return count;
}

}  // namespace

std::vector<std::string> seeds() {
  return {"<Delete><Quiet>true</Quiet><Object><Key>a &amp; b</Key></Object></Delete>",
          "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<s3:CompleteMultipartUpload "
          "xmlns:s3=\"http://s3.amazonaws.com/doc/2006-03-01/\"><s3:Part><s3:PartNumber>1"
          "</s3:PartNumber><s3:ETag>\"e\"</s3:ETag></s3:Part></s3:CompleteMultipartUpload>",
          "<a b='c'><![CDATA[<x>]]><!-- d --><?e f?>&#65;&#x42;&lt;&gt;&quot;&apos;\r\n</a>",
          "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
          "<a><b><c><d><e><f><g/></f></e></d></c></b></a>"};
}
std::vector<std::string> words() {
  return {"<",   ">",    "</",        "/>",   "&",         "&amp;",    "&#",          ";",
          "<a>", "</a>", "<![CDATA[", "]]>",  "<!--",      "-->",      "<?",          "?>",
          "\"",  "'",    "x:",        "\xff", "<!DOCTYPE", "<!ENTITY", " xmlns=\"x\""};
}

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shoal;
  const auto root = s3compat::parse_xml({reinterpret_cast<const char*>(data), size});
  if (!root.ok()) {
    CHECK(root.status().code() == StatusCode::kInvalidArgument);
  } else {
    CHECK(fuzz::check_element(*root, 1) <= 50'000);
  }
  return 0;
}
