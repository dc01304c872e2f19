#include "base/files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "base/diagnostics.h"

namespace wherry {
namespace {

namespace fs = std::filesystem;

fs::path scratch(const std::string& name) { return fs::path(testing::TempDir()) / (name + std::to_string(getpid())); }

std::string code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Failure& failure) {
    return failure.diagnostics().front().code;
  }
  return "";
}

TEST(Files, AnAbandonedFileLeavesNothing) {
  const fs::path folder = scratch("abandoned");
  fs::create_directories(folder);
  { AtomicFile(folder / "x").write("half"); }
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST(Files, ACommittedFileIsWhole) {
  const fs::path path = scratch("whole");
  AtomicFile file(path);
  file.write("abc");
  file.pad_to(8);
  file.write(std::string(3 << 20, 'x'));  // larger than the buffer
  EXPECT_EQ(file.size(), 8 + (3U << 20U));
  file.commit();
  const std::string text = read_text(path);
  EXPECT_EQ(text.substr(0, 9), std::string("abc\0\0\0\0\0x", 9));
  EXPECT_EQ(text.size(), 8 + (3U << 20U));
}

TEST(Files, FaultsHaveCodes) {
  EXPECT_EQ(code_of([] { MappedFile::open("/nowhere/at/all"); }), "E101");
  EXPECT_EQ(code_of([] { MappedFile::open("/tmp"); }), "E101");
  EXPECT_EQ(code_of([] { AtomicFile file("/nowhere/at/all"); }), "E601");
  EXPECT_EQ(code_of([] {
              AtomicFile file("/dev/shm");  // the temporary can be made, the rename onto a folder cannot
              file.write("x");
              file.commit();
            }),
            "E601");
}

TEST(Files, AnEmptyFileIsReadAsEmpty) {
  const fs::path path = scratch("empty");
  write_text(path, "");
  EXPECT_EQ(MappedFile::open(path)->text(), "");
}

}  // namespace
}  // namespace wherry
