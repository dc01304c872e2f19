// The audit of a .tflite file, as `wherry check FILE.tflite` prints it.
#pragma once

#include "cli/session.h"

namespace wherry {

struct CheckFileOptions {
  std::filesystem::path file, reference;  // reference: any source, or a float .tflite; empty: none
  std::filesystem::path data;             // to run the file on; empty: none. Images are read as the reference's text says
  LoadOptions load;                       // of the reference
};

// Faults that make the file's numbers wrong are E805, after all of the audit has been printed.
void check_file(Session& session, const CheckFileOptions& options);

}  // namespace wherry
