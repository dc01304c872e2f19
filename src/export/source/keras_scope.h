// One block as a keras.layers.Layer, or the whole model as a keras.Model.
#pragma once

#include "base/diagnostics.h"
#include "export/source/keras_items.h"
#include "export/source/variables.h"

#include <set>

namespace wherry::source {

// What the classes of one file share.
struct KerasContext {
  const Program& program;
  const KerasUses& uses;
  Diagnostics& diagnostics;
  std::set<std::string, std::less<>> weights = {};              // keys in the weights' file
  Names module_names = {};                                      // of the file
  std::vector<std::vector<std::string>> classes = {};           // by scope and use
  std::vector<std::map<std::string, std::string>> params = {};  // by scope: text's name → Python's
  std::set<std::string, std::less<>> training = {};             // classes whose call takes whether it trains
  std::vector<std::string> definitions = {};                    // that the classes call
  bool underscores = false;                                     // some layer's name begins with one in the text, not in Keras
};

// The scope's class; several where its uses differ in what no argument says. Adds the scope's entry to context.classes.
// Needs: the scopes that it uses are written.
std::vector<std::string> keras_scope(KerasContext& context, std::size_t scope);

}  // namespace wherry::source
