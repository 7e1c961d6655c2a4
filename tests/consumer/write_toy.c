/* write_toy DIRECTORY [INTERMEDIATE [LAYERS]]: a toy checkpoint for programs that are not linked with the test support. */
#include <stdlib.h>

#include "support/toy_checkpoint.h"

int main(int argc, char **argv) {
  toy_shape shape = toy_default();
  if (argc >= 3) shape.intermediate = atoi(argv[2]);
  if (argc >= 4) shape.layers = atoi(argv[3]);
  return argc >= 2 && argc <= 4 ? toy_checkpoint_write(argv[1], &shape) : 2;
}
