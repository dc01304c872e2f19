// Lists of files and of labels: rows of cells, however they are separated.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace wherry {

struct Table {
  std::vector<std::vector<std::string>> rows;  // none is empty; blank lines and lines that begin with # are left out
};

// .csv: commas, cells may be quoted; .tsv: tabs; others: tabs where there are some, else one cell and a last word without spaces
// behind it as the second ("a photo.jpg 281"), else the line. Byte-order marks and line ends of Windows are taken off. Fails with E101.
Table read_table(const std::filesystem::path& file);

}  // namespace wherry
