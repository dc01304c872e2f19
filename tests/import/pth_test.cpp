#include "import/pickle/read_pth.h"

#include "import/pickle/unpickle.h"
#include "packed.h"

#include <gmock/gmock.h>

#include <random>

namespace wherry::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::string_literals;

Weights read(const Entries& entries) { return read_checkpoint(owned(packed(entries)), "'x.pth'"); }
std::string fault_of(const Entries& entries) {
  return fault([&] { read(entries); });
}

// A pickle of protocol 2 with this body.
Entries pickle(std::string body) { return {{"x/data.pkl", "\x80\x02" + std::move(body) + "."}}; }

class Formats : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Pth, Formats, ::testing::Values("small.pth", "small_legacy.pth"));

TEST_P(Formats, ReadsTheNestedStateDict) {
  const Weights weights = read_pth(data(GetParam()));
  ASSERT_EQ(weights.size(), 2U);
  EXPECT_EQ(text(weights.at("a").type()), "float32[2, 3]");
  EXPECT_EQ(weights.at("a").contiguous().to_floats(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(text(weights.at("b").type()), "float32[2, 2]");
  EXPECT_EQ(weights.at("b").contiguous().to_floats(), (std::vector<float>{1, 4, 2, 5}));
}

TEST_P(Formats, SurvivesEveryTruncationAndFlip) {
  const std::string bytes = read_text(data(GetParam()));
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    EXPECT_NE(fault([&] { read_checkpoint(owned(bytes.substr(0, at)), "'x.pth'"); }), "") << at;
    for (const int mask : {0x01, 0x10, 0xff}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ mask);
      fault([&] { read_checkpoint(owned(changed), "'x.pth'"); });
    }
  }
}

TEST(Pth, RunsNothing) {
  EXPECT_THAT(fault_of(pickle("cos\nsystem\nX\x08\0\0\0touch /x\x85R"s)),
              StartsWith("error E108: 'x.pth': the pickle asks for 'os.system'"));
  EXPECT_THAT(fault_of(pickle("c__main__\nNet\n)\x81")),
              HasSubstr("E108: 'x.pth': the pickle asks for '__main__.Net', which Wherry does not run"));
  EXPECT_THAT(fault_of(pickle("cbuiltins\neval\n")), HasSubstr("torch.save(model.state_dict(), path)"));
}

TEST(Pth, SaysWhatItIsInstead) {
  EXPECT_THAT(fault([] { read_checkpoint(owned("hello"), "'x.pth'"); }),
              StartsWith("error E107: 'x.pth' is not a file that torch.save wrote"));
  EXPECT_THAT(fault_of({{"x/constants.pkl", ""}}), HasSubstr("E107: 'x.pth' is a TorchScript archive"));
  EXPECT_THAT(fault_of({{"x/other", ""}}), HasSubstr("E103: 'x.pth': it has no entry 'data.pkl'"));
  EXPECT_THAT(fault_of(pickle("}X\1\0\0\0aK\1s"s)), HasSubstr("E107: 'x.pth' holds no dictionary of tensors"));
}

TEST(Pth, DamagedPickles) {
  for (const std::string& body : std::vector<std::string>{"",
                                                          "0",
                                                          "1",
                                                          "R",
                                                          "t",
                                                          "h\7",
                                                          "s",
                                                          "a",
                                                          "u",
                                                          "e",
                                                          "Q",
                                                          "K",
                                                          "X\xff\xff\xff\xff",
                                                          "c",
                                                          "cfoo\n",
                                                          "((((t",
                                                          "]}s",
                                                          "NNR",
                                                          "\x93",
                                                          "))R",
                                                          "\x8a\xff",
                                                          "b",
                                                          "(1",
                                                          "2",
                                                          "q\1",
                                                          "\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
                                                          "]K\1K\2s"})
    EXPECT_THAT(fault_of(pickle(body)), StartsWith("error E1")) << body;
}

TEST(Pth, WrongLengthOfAStorage) {
  Entries entries = unpacked("small.pth");
  Entries shorter;
  for (auto& [name, bytes] : entries) shorter[name] = name.ends_with("data/0") ? bytes.substr(0, 8) : bytes;
  EXPECT_THAT(fault_of(shorter),
              HasSubstr("E105: 'x.pth': the pickle is damaged: storage '0' has 6 elements of float32, but holds 8 bytes"));
}

TEST(Pth, SurvivesAnyPickle) {
  Entries entries = unpacked("small.pth");
  const auto it = std::find_if(entries.begin(), entries.end(), [](const auto& e) { return e.first.ends_with("data.pkl"); });
  ASSERT_NE(it, entries.end());
  const std::string whole = it->second;
  const std::string opcodes = "(.0125BCGJKMNQRTUX]abcehjlqrstu})\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x93\x94\x95";
  std::mt19937 random(3);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = whole;
    for (unsigned change = 0; change <= random() % 5; ++change) {
      const std::size_t at = random() % bytes.size();
      const char opcode = opcodes[random() % opcodes.size()];
      if (random() % 3 == 0)
        bytes.insert(at, 1, opcode);
      else if (random() % 3 == 0)
        bytes.erase(at, 1 + random() % 4);
      else
        bytes[at] = random() % 2 ? opcode : static_cast<char>(random());
      if (bytes.empty()) bytes = ".";
    }
    it->second = bytes;
    fault_of(entries);
  }
}

}  // namespace
}  // namespace wherry::testing
