#include "s3compat/xml/xml.h"

#include <gtest/gtest.h>

namespace shoal::s3compat {
namespace {

constexpr char kDelete[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
    "  <Quiet>true</Quiet>\n"
    "  <Object><Key>a &amp; b</Key></Object>\n"
    "  <Object><Key><![CDATA[<c>]]></Key><VersionId/></Object>\n"
    "</Delete>\n";

StatusCode code_of(std::string_view text) { return parse_xml(text).status().code(); }

TEST(XmlReader, ABodyOfARequest) {
  const auto root = parse_xml(kDelete);
  ASSERT_TRUE(root.ok()) << root.status().to_string();
  EXPECT_EQ(root->name, "Delete");
  EXPECT_EQ(root->child_text("Quiet"), "true");
  ASSERT_EQ(root->children.size(), 3U);
  EXPECT_EQ(root->children[1].child_text("Key"), "a & b");
  EXPECT_EQ(root->children[2].child_text("Key"), "<c>");
  EXPECT_NE(root->children[2].child("VersionId"), nullptr);
  EXPECT_EQ(root->children[1].child("VersionId"), nullptr);
  EXPECT_EQ(root->child_text("None"), "");
}

TEST(XmlReader, PrefixesAndUnknownElementsAndAttributesAreNoMatter) {
  const auto root = parse_xml(
      "<s3:CompleteMultipartUpload xmlns:s3=\"x\" a=\"1\"><!-- c --><?pi x?>"
      "<s3:Part b='2'><Extra><Deep>1</Deep></Extra><s3:ETag>\"e\"</s3:ETag>"
      "<PartNumber>7</PartNumber></s3:Part></s3:CompleteMultipartUpload>");
  ASSERT_TRUE(root.ok()) << root.status().to_string();
  EXPECT_EQ(root->name, "CompleteMultipartUpload");
  EXPECT_EQ(root->children[0].name, "Part");
  EXPECT_EQ(root->children[0].child_text("ETag"), "\"e\"");
  EXPECT_EQ(root->children[0].child_text("PartNumber"), "7");
}

TEST(XmlReader, TheFiveEntitiesAndReferences) {
  const auto root = parse_xml("<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#233;&#13;</a>");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(root->text, "<>&\"'AB\xc3\xa9\r");
}

TEST(XmlReader, ADocumentTypeIsRefusedBeforeAnythingOfIt) {
  const char* const bomb =
      "<!DOCTYPE a [<!ENTITY b \"xxxxxxxxxx\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">"
      "<!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;\">]><a>&d;</a>";
  EXPECT_EQ(code_of(bomb), StatusCode::kInvalidArgument);
  EXPECT_NE(parse_xml(bomb).status().message().find("document type"), std::string::npos);
  EXPECT_EQ(code_of("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>"),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of("<!DOCTYPE a><a/>"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of("<a>&undefined;</a>"), StatusCode::kInvalidArgument);
}

TEST(XmlReader, WhatIsNotWellFormedIsRefusedWithItsLine) {
  for (const std::string_view text : {"",
                                      " ",
                                      "text",
                                      "<",
                                      "<a",
                                      "<a>",
                                      "<a></b>",
                                      "<a/><b/>",
                                      "<a/>text",
                                      "</a>",
                                      "<a><b></a>",
                                      "<a b></a>",
                                      "<a b=1/>",
                                      "<a>&#0;</a>",
                                      "<a>&#1;</a>",
                                      "<a>&#xFFFE;</a>",
                                      "<a>\x01</a>",
                                      "<a>\xff</a>",
                                      "<a>\xc3</a>",
                                      "<a>]]></a>",
                                      "<1/>"}) {
    EXPECT_EQ(code_of(text), StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(code_of({"<a>\0</a>", 8}), StatusCode::kInvalidArgument);
  EXPECT_NE(parse_xml("<a>\n\n<b>\n</a>").status().message().find("line 4"), std::string::npos);
}

TEST(XmlReader, DepthAndNumberAreBounded) {
  const auto nested = [](int depth) {
    std::string text;
    for (int i = 0; i < depth; ++i) text += "<a>";
    for (int i = 0; i < depth; ++i) text += "</a>";
    return text;
  };
  EXPECT_TRUE(parse_xml(nested(16)).ok());
  EXPECT_EQ(code_of(nested(17)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of(nested(100'000)), StatusCode::kInvalidArgument);
  std::string wide = "<a>";
  for (int i = 0; i < 49'999; ++i) wide += "<b/>";
  EXPECT_TRUE(parse_xml(wide + "</a>").ok());
  EXPECT_EQ(code_of(wide + "<b/></a>"), StatusCode::kInvalidArgument);
}

// 1000 keys of 1024 bytes, all escaped, must be read.
TEST(XmlReader, TheLargestDeleteIsRead) {
  std::string text = "<Delete>";
  for (int i = 0; i < 1000; ++i)
    text += "<Object><Key>" + std::string(1024, 'k') + "</Key></Object>";
  const auto root = parse_xml(text + "</Delete>");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(root->children.size(), 1000U);
}

TEST(XmlWriter, AnAnswer) {
  XmlWriter xml;
  xml.begin_root("ListBucketResult");
  xml.element("Name", "bucket");
  xml.element("MaxKeys", std::uint64_t{1000});
  xml.element("IsTruncated", false);
  xml.begin("Contents");
  xml.element("Key", std::string("a/b"));
  xml.end("Contents");
  xml.end("ListBucketResult");
  EXPECT_EQ(xml.take(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<Name>bucket</Name><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
            "<Contents><Key>a/b</Key></Contents></ListBucketResult>");
}

TEST(XmlWriter, WhatXmlCanHoldComesBack) {
  for (const std::string& text :
       {std::string("<>&\"'"), std::string("]]>"), std::string("a\tb\nc\rd"), std::string(" x "),
        std::string("caf\xc3\xa9 \xf0\x9f\x90\x9f"), std::string("&amp;"), std::string("\x7f")}) {
    XmlWriter xml;
    xml.begin("Root");
    xml.element("Key", text);
    xml.end("Root");
    const auto root = parse_xml(xml.take());
    ASSERT_TRUE(root.ok()) << root.status().to_string();
    EXPECT_EQ(root->child_text("Key"), text);
  }
}

// Of what XML 1.0 cannot hold at all AWS writes a reference all the same.
TEST(XmlWriter, ControlCharactersAreReferences) {
  XmlWriter xml;
  xml.element("Key", std::string("a\x01"
                                 "b\0",
                                 4));
  EXPECT_EQ(xml.take(), "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Key>a&#1;b&#0;</Key>");
}

}  // namespace
}  // namespace shoal::s3compat
