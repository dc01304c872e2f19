#include "import/archive.h"

#include "packed.h"

#include <gmock/gmock.h>

namespace wherry::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const Entries entries = {{"net/a", "alpha"}, {"net/b/c", std::string(1000, 'x')}, {"net/empty", ""}};

std::string open_all(const std::string& bytes) {
  return fault([&] {
    Archive archive(owned(bytes), "'x.pt2'");
    for (const std::string& name : archive.names()) archive.read(name);
  });
}

TEST(Archive, ReadsStoredEntriesInPlace) {
  const OwnedBytes bytes = owned(packed(entries));
  Archive archive(bytes, "'x.pt2'");
  EXPECT_EQ(archive.root(), "net");
  EXPECT_EQ(archive.names(), (std::vector<std::string>{"a", "b/c", "empty"}));
  EXPECT_EQ(archive.read("a").text(), "alpha");
  EXPECT_EQ(archive.read("empty").text(), "");
  const std::byte* at = archive.read("b/c").bytes.data();
  EXPECT_GE(at, bytes.bytes.data());
  EXPECT_LT(at, bytes.bytes.data() + bytes.bytes.size());
}

TEST(Archive, InflatesCompressedEntries) {
  Archive archive = Archive::open(data("small.pt2"));
  EXPECT_THAT(std::string(archive.read("models/model.json").text()), StartsWith("{\"graph_module\""));
}

TEST(Archive, NamesAMissingEntryAndTheNearest) {
  Archive archive(owned(packed(entries)), "'x.pt2'");
  const std::string text = fault([&] { archive.read("b/d"); });
  EXPECT_THAT(text, StartsWith("error E103: 'x.pt2': it has no entry 'b/d'; did you mean 'b/c'?"));
  EXPECT_THAT(text, HasSubstr("export it again, or copy the file again"));
}

TEST(Archive, FindsAChangedByte) {
  std::string bytes = packed(entries);
  bytes[bytes.find("alpha")] = 'A';
  EXPECT_THAT(open_all(bytes), StartsWith("error E102: 'x.pt2': the bytes of entry 'a' are damaged: their CRC-32 is"));
}

TEST(Archive, RefusesWhatIsNoArchive) {
  EXPECT_THAT(open_all("{\"not\": \"zip\"}"), StartsWith("error E107: 'x.pt2' is not a zip archive"));
  EXPECT_THAT(open_all(""), StartsWith("error E107"));
}

TEST(Archive, RefusesEveryTruncation) {
  const std::string bytes = packed(entries);
  for (std::size_t length = 4; length < bytes.size(); ++length)
    EXPECT_THAT(open_all(bytes.substr(0, length)), StartsWith("error E10")) << length;
}

TEST(Archive, RefusesEntriesThatOverlap) {
  std::string bytes = packed(entries);
  const std::size_t first = bytes.find("PK\1\2"), second = bytes.find("PK\1\2", first + 1);
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(first) + 10, 20, bytes.begin() + static_cast<std::ptrdiff_t>(second) + 10);
  EXPECT_THAT(open_all(bytes), StartsWith("error E102"));
}

TEST(Archive, SurvivesEveryFlippedByte) {
  const std::string bytes = packed(entries);
  int refused = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at)
    for (const int mask : {0x01, 0x80, 0xff}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ mask);
      refused += open_all(changed).empty() ? 0 : 1;
    }
  EXPECT_GT(refused, 1000);  // the padding, the times and the attributes mean nothing
}

TEST(Archive, RefusesASizeThatCannotInflate) {
  std::string bytes = packed({{"net/a", "alpha"}});
  for (const std::size_t at : {bytes.find("PK\3\4") + 8, bytes.find("PK\1\2") + 10}) bytes[at] = 8;  // deflated
  for (const std::size_t at : {bytes.find("PK\3\4") + 22, bytes.find("PK\1\2") + 24}) bytes.replace(at, 4, "\xff\xff\xff\x7f");
  EXPECT_THAT(open_all(bytes), HasSubstr("says that 5 bytes inflate to 2147483647"));
}

}  // namespace
}  // namespace wherry::testing
