/* Nothing but the header and dlopen: dlopen LIBRARY MODEL_DIR */
#include <autoround/autoround.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  autoround_status (*open_model)(autoround_context *, const char *, const autoround_options *, autoround_model **, autoround_error **);
  const char *(*architecture)(const autoround_model *);
  void (*free_model)(autoround_model *);
  autoround_model *model = NULL;
  void *library = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  *(void **)&open_model = dlsym(library, "autoround_model_open");
  *(void **)&architecture = dlsym(library, "autoround_model_architecture");
  *(void **)&free_model = dlsym(library, "autoround_model_free");
  if (!open_model || !architecture || !free_model || open_model(NULL, argv[2], NULL, &model, NULL) != AUTOROUND_OK) return 1;
  printf("%s\n", architecture(model));
  if (strcmp(architecture(model), "LlamaForCausalLM") != 0) return 1;
  free_model(model);
  return dlclose(library); /* harmless: the library stays mapped */
}
