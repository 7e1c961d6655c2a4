#include <autoround/autoround.h>

#include <cstdio>

int main(int argc, char** argv) {
  autoround_model* model = nullptr;
  autoround_error* error = nullptr;
  if (argc < 2 || autoround_model_open(nullptr, argv[1], nullptr, &model, &error) != AUTOROUND_OK) return 1;
  std::printf("%s with %zu blocks\n", autoround_model_architecture(model), autoround_model_block_count(model));
  autoround_model_free(model);
  return 0;
}
