/* write_toy DIRECTORY [LAYERS]: a toy checkpoint for programs that are not linked with the test support. */
#include <stdlib.h>

#include "support/toy_checkpoint.h"

int main(int argc, char **argv) {
  toy_shape shape = toy_default();
  if (argc == 3) shape.layers = atoi(argv[2]);
  return argc == 2 || argc == 3 ? toy_checkpoint_write(argv[1], &shape) : 2;
}
