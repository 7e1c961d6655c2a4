/* A plug-in of another version: it has no kernels for the one that asks. */
#include <stddef.h>
#include <stdint.h>

const void *autoround_device_kernels(uint32_t version);

const void *autoround_device_kernels(uint32_t version) {
  (void)version;
  return NULL;
}
