// Where samples come from: a folder of images, a list of files, or arrays.
#pragma once

#include "data/images.h"
#include "import/npy.h"

#include <memory>
#include <optional>

namespace wherry {

// Cheap to open: images are read when asked for, arrays stay mapped where their file allows. Any thread may ask.
class Dataset {
 public:
  struct Sample {
    std::string name;   // the file, relative to the folder or list; "x.npz[3]"
    std::string label;  // as a list's second column or an archive's array of labels says it; "": not said there
    std::filesystem::path file;
  };

  // By what `path` is:
  //   a folder             its .jpg, .jpeg, .png and .webp files, sub-folders too, ordered by their path's bytes
  //   .txt, .csv, .tsv     one file a row, relative to the list, in its order; a second column is the label; a header is allowed
  //   .npy, .npz           samples along the first axis; uint8 arrays are images [n, h, w, 3], [n, 3, h, w] or grey [n, h, w];
  //                        an integer array of one axis named labels, label, targets or y gives the labels
  //   an image             itself
  // Fails with E101, E102, E107, E801 (nothing in it). Names of files of formats that are not read are E802, all at once.
  static std::shared_ptr<const Dataset> open(const std::filesystem::path& path);
  // `count` of them at even distances, the first among them; all when there are no more.
  std::shared_ptr<const Dataset> evenly(std::size_t count) const;

  const std::filesystem::path& path() const { return path_; }
  std::size_t size() const { return samples_.size(); }
  const Sample& sample(std::size_t i) const { return samples_.at(i); }

  bool holds_images() const { return arrays_.empty() || images_; }
  Image image(std::size_t i) const;  // Needs: holds_images(). E101, E802
  // The sample's slice of each array, with a first axis of one. Needs: !holds_images().
  std::vector<NamedArray> arrays(std::size_t i) const;
  const std::vector<NamedArray>& all_arrays() const { return arrays_; }

 private:
  void read_folder();
  void read_list();
  void read_arrays();
  std::vector<NamedArray> slices(std::size_t i) const;

  std::filesystem::path path_;
  std::vector<Sample> samples_;
  std::vector<std::size_t> rows_;  // of the arrays, by sample
  std::vector<NamedArray> arrays_;
  bool images_ = false;  // the only array holds images
};

}  // namespace wherry
