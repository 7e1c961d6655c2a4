/* write_toy DIRECTORY: a toy checkpoint for programs that are not linked with the test support. */
#include "support/toy_checkpoint.h"

int main(int argc, char **argv) {
  const toy_shape shape = toy_default();
  return argc == 2 ? toy_checkpoint_write(argv[1], &shape) : 2;
}
