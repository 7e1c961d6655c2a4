#include "support/toy_checkpoint.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
  char name[128];
  int rows, columns; /* columns 0: a vector */
} toy_tensor;

typedef struct {
  toy_tensor *items;
  int count, capacity;
} toy_list;

static void add(toy_list *list, int rows, int columns, const char *format, int layer) {
  if (list->count == list->capacity) {
    list->capacity = list->capacity ? 2 * list->capacity : 32;
    list->items = realloc(list->items, sizeof(toy_tensor) * (size_t)list->capacity);
  }
  snprintf(list->items[list->count].name, sizeof list->items[0].name, format, layer);
  list->items[list->count].rows = rows;
  list->items[list->count++].columns = columns;
}

static toy_list all_tensors(const toy_shape *s) {
  toy_list list = {NULL, 0, 0};
  const int head = s->hidden / s->heads, i_last = s->layers;
  int i;
  add(&list, s->vocab, s->hidden, "model.embed_tokens.weight", 0);
  for (i = 0; i < i_last; ++i) {
    add(&list, s->hidden, 0, "model.layers.%d.input_layernorm.weight", i);
    add(&list, s->hidden, 0, "model.layers.%d.post_attention_layernorm.weight", i);
    add(&list, s->heads * head, s->hidden, "model.layers.%d.self_attn.q_proj.weight", i);
    add(&list, s->kv_heads * head, s->hidden, "model.layers.%d.self_attn.k_proj.weight", i);
    add(&list, s->kv_heads * head, s->hidden, "model.layers.%d.self_attn.v_proj.weight", i);
    add(&list, s->hidden, s->heads * head, "model.layers.%d.self_attn.o_proj.weight", i);
    add(&list, s->intermediate, s->hidden, "model.layers.%d.mlp.gate_proj.weight", i);
    add(&list, s->intermediate, s->hidden, "model.layers.%d.mlp.up_proj.weight", i);
    add(&list, s->hidden, s->intermediate, "model.layers.%d.mlp.down_proj.weight", i);
  }
  add(&list, s->hidden, 0, "model.norm.weight", 0);
  if (!s->tied) add(&list, s->vocab, s->hidden, "lm_head.weight", 0);
  return list;
}

/* Roughly normal: the sum of four uniform numbers, from a linear congruential generator. */
static float next_value(uint64_t *state, float scale) {
  float sum = 0.0f;
  int i;
  for (i = 0; i < 4; ++i) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    sum += (float)(*state >> 40) / 16777216.0f - 0.5f;
  }
  return sum * scale;
}

static uint16_t bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return (uint16_t)(bits >> 16);
}

static int write_config(const char *directory, const toy_shape *s) {
  char path[4096];
  FILE *file;
  snprintf(path, sizeof path, "%s/config.json", directory);
  if (!(file = fopen(path, "wb"))) return 1;
  fprintf(file,
          "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"torch_dtype\": \"bfloat16\",\n"
          " \"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d,\n"
          " \"num_key_value_heads\": %d, \"vocab_size\": %d, \"max_position_embeddings\": 2048, \"rms_norm_eps\": 1e-05,\n"
          " \"rope_theta\": 10000.0, \"hidden_act\": \"silu\", \"tie_word_embeddings\": %s}\n",
          s->hidden, s->intermediate, s->layers, s->heads, s->kv_heads, s->vocab, s->tied ? "true" : "false");
  return fclose(file) != 0;
}

static int write_weights(const char *directory, const toy_shape *s) {
  toy_list list = all_tensors(s);
  uint64_t state = 88172645463325252u + s->seed, offset = 0, length;
  char path[4096], *header = malloc((size_t)list.count * 256 + 64), *end = header;
  FILE *file;
  int i, j, failed;
  end += sprintf(end, "{");
  for (i = 0; i < list.count; ++i) {
    const toy_tensor *t = &list.items[i];
    const uint64_t bytes = 2u * (uint64_t)t->rows * (uint64_t)(t->columns ? t->columns : 1);
    end += sprintf(end, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%d", i ? "," : "", t->name, t->rows);
    if (t->columns) end += sprintf(end, ",%d", t->columns);
    end += sprintf(end, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset, (unsigned long long)(offset + bytes));
    offset += bytes;
  }
  end += sprintf(end, "}");
  length = (uint64_t)(end - header);

  snprintf(path, sizeof path, "%s/model.safetensors", directory);
  if (!(file = fopen(path, "wb"))) return 1;
  fwrite(&length, sizeof length, 1, file);
  fwrite(header, 1, (size_t)length, file);
  for (i = 0; i < list.count; ++i) {
    const toy_tensor *t = &list.items[i];
    for (j = 0; j < t->rows * (t->columns ? t->columns : 1); ++j) {
      /* Norm weights sit near 1, the others near 0 with a spread that keeps activations alive. */
      const uint16_t value = bf16(t->columns ? next_value(&state, 0.2f) : 1.0f + next_value(&state, 0.1f));
      fwrite(&value, sizeof value, 1, file);
    }
  }
  failed = ferror(file) != 0;
  failed |= fclose(file) != 0;
  free(header);
  free(list.items);
  return failed;
}

toy_shape toy_default(void) {
  toy_shape shape = {2, 64, 4, 2, 96, 64, 1, 1};
  return shape;
}

int toy_checkpoint_write(const char *directory, const toy_shape *shape) {
  if (mkdir(directory, 0777) != 0) {
    struct stat existing;
    if (stat(directory, &existing) != 0 || !S_ISDIR(existing.st_mode)) return 1;
  }
  return write_config(directory, shape) || write_weights(directory, shape);
}
