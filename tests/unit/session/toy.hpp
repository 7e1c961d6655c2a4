// A toy checkpoint opened as a session's model.
#pragma once

#include <memory>

#include "session/model.hpp"
#include "support/temporary_directory.hpp"
#include "support/toy_checkpoint.h"

namespace autoround::test {

struct ToyModel {
  explicit ToyModel(toy_shape shape = toy_default()) {
    if (toy_checkpoint_write((folder / "model").c_str(), &shape) != 0) throw std::runtime_error("cannot write the toy");
    model = session::Model::open(folder / "model", Logger());
  }
  TemporaryDirectory folder;
  std::shared_ptr<const session::Model> model;
};

}  // namespace autoround::test
