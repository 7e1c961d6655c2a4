// The whole run, in the order in which it happens. The stepwise calls of the C ABI are these same lines.
#include "session/session.hpp"

namespace autoround::session {

std::shared_ptr<const Result> oneshot(std::shared_ptr<const Model> model, recipe::Recipe recipe,
                                      std::shared_ptr<const calibration::SampleSet> data, Options options) {
  Session session(std::move(model), std::move(recipe), std::move(data), std::move(options));
  session.initialize();              // resolve and check everything that can fail before a weight is read
  session.start();                   // hooks on, outputs reserved
  while (session.next_block()) {     // run the data to the next decoder layer, capture both sides of it
    session.sequential_epoch_end();  // tune it, write it, carry its quantized output on
  }
  session.end();              // what lies outside the layers; hooks off
  return session.finalize();  // outputs appear
}

}  // namespace autoround::session
