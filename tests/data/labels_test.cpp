#include "data/labels.h"

#include "base/files.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <numeric>

namespace wherry {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class LabelsTest : public testing::Test {
 protected:
  LabelsTest() : folder_(fs::temp_directory_path() / fmt::format("wherry_labels_{}", ::getpid())) {
    fs::create_directories(folder_ / "data");
  }
  ~LabelsTest() override { fs::remove_all(folder_); }

  std::shared_ptr<const Dataset> data(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      fs::create_directories((folder_ / "data" / name).parent_path());
      write_text(folder_ / "data" / name, "");
    }
    return Dataset::open(folder_ / "data");
  }
  fs::path file(const std::string& name, const std::string& text) {
    write_text(folder_ / name, text);
    return folder_ / name;
  }
  std::optional<Truth> truth(const std::shared_ptr<const Dataset>& dataset, const std::vector<fs::path>& files, std::size_t outputs) {
    Diagnostics diagnostics;
    const LabelFiles read = read_label_files(files, *dataset, outputs, diagnostics);
    std::optional<Truth> found = find_truth(*dataset, read, outputs, diagnostics);
    said_.clear();
    for (const Diagnostic& d : diagnostics.all()) said_ += render(d);
    return found;
  }

  fs::path folder_;
  std::string said_;
};

const char* const table = "class\twnid\tname\n0\tn01440764\ttench\n2\tn01484850\tgreat white shark, white shark\n1\tn01443537\tgoldfish\n";

TEST_F(LabelsTest, WordNetIdsInFileNamesByTheTable) {
  const auto found = truth(data({"n01484850_great_white_shark.JPEG", "ILSVRC2012_val_1_n01440764.JPEG"}), {file("t.tsv", table)}, 3);
  ASSERT_TRUE(found) << said_;
  EXPECT_THAT(found->of_samples, ElementsAre(0, 2));
  EXPECT_EQ(found->from, "the files' names");
}

TEST_F(LabelsTest, FoldersByIdNameOrNumber) {
  const auto found = truth(data({"n01443537/a.png", "Great_White-Shark/b.png", "0/c.png"}), {file("t.tsv", table)}, 3);
  ASSERT_TRUE(found) << said_;
  EXPECT_THAT(found->of_samples, ElementsAre(0, 2, 1));  // 0/, Great_…/, n…/
}

TEST_F(LabelsTest, AFolderForEachWordNetIdCountsAlphabetically) {
  const auto found = truth(data({"n00000003/a.png", "n00000001/b.png", "n00000002/c.png"}), {}, 3);
  ASSERT_TRUE(found) << said_;
  EXPECT_THAT(found->of_samples, ElementsAre(0, 1, 2));
}

TEST_F(LabelsTest, RowsForFilesAndRowsInOrder) {
  const auto dataset = data({"a.png", "b.png"});
  EXPECT_THAT(truth(dataset, {file("l.csv", "b.png,0\na.png,2\n")}, 3)->of_samples, ElementsAre(2, 0));
  EXPECT_THAT(truth(dataset, {file("l.txt", "1\n2\n")}, 3)->of_samples, ElementsAre(1, 2));
  EXPECT_THAT(truth(dataset, {file("n.txt", "x\ny\nz\n"), file("l.csv", "b.png,y\na.png,z\n")}, 3)->of_samples, ElementsAre(2, 1));
}

TEST_F(LabelsTest, TheDevkitsGroundTruthGoesByItsNumbers) {
  const fs::path devkit = file("t.tsv", "class\twnid\tilsvrc2012_id\n0\tn00000001\t2\n1\tn00000002\t3\n2\tn00000003\t1\n");
  const auto dataset = data({"ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"});
  const auto found = truth(dataset, {devkit, file("ILSVRC2012_validation_ground_truth.txt", "1\n3\n")}, 3);
  ASSERT_TRUE(found) << said_;
  EXPECT_THAT(found->of_samples, ElementsAre(2, 1));
}

TEST_F(LabelsTest, WhatDoesNotFitIsNamed) {
  const auto dataset = data({"cat/a.png", "7/b.png", "n01440764/c.png"});
  truth(dataset, {file("t.tsv", table)}, 3);
  EXPECT_THAT(said_, AllOf(HasSubstr("error E808"), HasSubstr("2 of 3 labels"), HasSubstr("no class is called 'cat'"),
                           HasSubstr("'7' is class 7, outside 0 to 2")));
  truth(dataset, {file("t.tsv", table)}, 4);
  EXPECT_THAT(said_, AllOf(HasSubstr("the table has 3 classes, the model 4 outputs"), HasSubstr("background class")));
  truth(dataset, {file("l.txt", "1\n2\n")}, 7);
  EXPECT_THAT(said_, AllOf(HasSubstr("E808"), HasSubstr("has 2 rows"), HasSubstr("7 outputs"), HasSubstr("3 samples")));
  truth(dataset, {file("dup.txt", "cat\ncat\ndog\nbird\n")}, 4);
  EXPECT_THAT(said_, HasSubstr("'cat' is the name of several classes"));
}

TEST_F(LabelsTest, NamesThatNeedNotBeLabelsAreAWarning) {
  EXPECT_FALSE(truth(data({"n01440764_tench.JPEG"}), {}, 3));
  EXPECT_THAT(said_, AllOf(HasSubstr("warning E808"), HasSubstr("--labels TABLE.tsv")));
  EXPECT_FALSE(truth(data({"photo.png"}), {}, 3) && said_.empty());
}

// Predictions of a good model whose outputs stand for other classes than the labels say.
class OrderTest : public testing::Test {
 protected:
  static constexpr std::size_t count = 40;
  std::optional<OrderFinding> found(const std::function<std::size_t(std::size_t)>& output_of, std::size_t samples_of_class = 1) {
    std::vector<std::size_t> truth, predicted;
    for (std::size_t s = 0; s < samples_of_class; ++s)
      for (std::size_t c = 0; c < count; ++c) truth.push_back(c), predicted.push_back(c % 10 == 9 ? 3 : output_of(c));  // nine of ten right
    return find_order(truth, predicted, {}, count);
  }
};

TEST_F(OrderTest, TheRightOrderFindsNothing) {
  EXPECT_FALSE(found([](std::size_t c) { return c; }));
}

TEST_F(OrderTest, ABackgroundClassInFront) {
  const auto order = found([](std::size_t c) { return (c + 1) % count; });
  ASSERT_TRUE(order);
  EXPECT_THAT(order->order, HasSubstr("background class"));
  EXPECT_GT(order->accuracy, 0.85);
}

TEST_F(OrderTest, FoldersOfNumbersSortedAsWords) {
  std::vector<std::size_t> sorted(count);
  std::iota(sorted.begin(), sorted.end(), std::size_t{0});
  std::sort(sorted.begin(), sorted.end(), [](std::size_t a, std::size_t b) { return std::to_string(a) < std::to_string(b); });
  const auto order =
      found([&](std::size_t c) { return static_cast<std::size_t>(std::find(sorted.begin(), sorted.end(), c) - sorted.begin()); });
  ASSERT_TRUE(order);
  EXPECT_THAT(order->order, AllOf(HasSubstr("trained with"), HasSubstr("0, 1, 10, 100")));
}

TEST_F(OrderTest, AnyPermutationWhereThereAreSamplesToLearnItFrom) {
  const auto shuffled = [](std::size_t c) { return (c * 7 + 5) % count; };
  EXPECT_FALSE(found(shuffled, 1));
  const auto order = found(shuffled, 6);
  ASSERT_TRUE(order);
  EXPECT_THAT(order->order, HasSubstr("none of the known orders"));
  EXPECT_GT(order->accuracy, 0.85);
}

TEST_F(OrderTest, AModelThatKnowsNothingFindsNothing) {
  EXPECT_FALSE(found([](std::size_t c) { return (c * c * 31 + c % 7) % 3; }, 6));
}

}  // namespace
}  // namespace wherry
