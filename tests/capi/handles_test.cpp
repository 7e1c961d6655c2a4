#include <algorithm>
#include <functional>

#include "host.hpp"

TEST_CASE("handles: freed in any order", "[capi][handles]") {
  for (int order = 0; order < 6; ++order) {
    host::Toy toy;
    host::Session session = toy.session();
    std::vector<std::function<void()>> frees = {[&] { toy.model.reset(); }, [&] { toy.recipe.reset(); },
                                                [&] { toy.data.reset(); }, [&] { toy.options.reset(); },
                                                [&] { session.reset(); }};
    std::rotate(frees.begin(), frees.begin() + order % 5, frees.end());
    if (order == 5) std::reverse(frees.begin(), frees.end());
    for (const auto& free : frees) free();
  }
  CHECK(autoround_live_handles(nullptr) == 0);
}

TEST_CASE("handles: a result and a tensor outlive the model", "[capi][handles]") {
  host::Result result;
  host::Tensor tensor;
  {
    const host::Toy toy;
    result = toy.oneshot();
    tensor = host::make<host::Tensor>(autoround_model_tensor, static_cast<const autoround_model*>(toy.model.get()),
                                      "model.layers.0.mlp.up_proj.weight");
  }
  CHECK(std::string(autoround_result_block_name(result.get(), 1)) == "model.layers.1");
  CHECK(std::string(autoround_tensor_dtype(tensor.get())) == "BF16");
  CHECK(autoround_tensor_byte_size(tensor.get()) == 96 * 64 * 2);
}

TEST_CASE("handles: free of NULL is a no-op", "[capi][handles]") {
  autoround_context_free(nullptr);
  autoround_recipe_free(nullptr);
  autoround_model_free(nullptr);
  autoround_calibration_free(nullptr);
  autoround_options_free(nullptr);
  autoround_session_free(nullptr);
  autoround_result_free(nullptr);
  autoround_tensor_free(nullptr);
  autoround_error_free(nullptr);
  autoround_string_free(nullptr);
}

TEST_CASE("handles: counters see every kind and end at zero", "[capi][handles]") {
  {
    const host::Toy toy;
    const host::Cancel cancel(autoround_cancel_new());
    const host::Session session = toy.session();
    for (const char* kind : {"model", "recipe", "calibration", "options", "session", "cancel"}) {
      INFO(kind);
      CHECK(autoround_live_handles(kind) == 1);
    }
    CHECK(autoround_live_handles(nullptr) == 6);
    CHECK(autoround_live_handles("nothing") == 0);
    autoround_error* error = nullptr;
    CHECK(autoround_session_start(session.get(), &error) == AUTOROUND_ERROR_INVALID_STATE);
    CHECK(autoround_live_handles("error") == 1);
    autoround_error_free(error);
  }
  CHECK(autoround_live_handles(nullptr) == 0);
}

TEST_CASE("handles: a session freed in mid-run leaves nothing behind", "[capi][handles]") {
  host::Toy toy;
  toy.write_to("out");
  {
    const host::Session session = toy.session();
    host::ok(autoround_session_initialize, session.get());
    host::ok(autoround_session_start, session.get());
    CHECK(host::siblings(toy).size() > 1);  // the hidden folder it writes to
    size_t block = 0;
    host::ok(autoround_session_next_block, session.get(), &block);
  }
  CHECK(host::siblings(toy).size() == 1);
}
