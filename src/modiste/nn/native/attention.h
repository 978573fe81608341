/* Attention of some rows of one sequence over its cells, a few rows and heads at a time.
 *
 * Cells lie behind each other, [C][K heads][E]. Sixteen keys are turned so that a score is a sum
 * over E in order; a row's softmax and its weighted sum of values run over its cells in order. */
#ifndef MODISTE_ATTENTION_H
#define MODISTE_ATTENTION_H

#include "linear.h"

enum { QUERIES = 64 }; /* Rows times heads that share one turning of the keys. */

typedef struct {
  int64_t heads, kv_heads, size;
  int64_t window; /* how many last cells a row sees; 0 is all */
} Heads;

/* Swaps the squares of `S` beside the diagonal, of all squares of 2 S along it. */
#define SWAP(S)                                                                                  \
  do {                                                                                           \
    ivec lower, upper;                                                                           \
    _Pragma("GCC unroll 16") for (int j = 0; j < LANES; j++) {                                   \
      lower[j] = j & S ? LANES + j - S : j;                                                      \
      upper[j] = j & S ? LANES + j : j + S;                                                      \
    }                                                                                            \
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++)                                     \
      if (!(i & S)) {                                                                            \
        vec a = m[i], b = m[i + S];                                                              \
        m[i] = __builtin_shuffle(a, b, lower);                                                   \
        m[i + S] = __builtin_shuffle(a, b, upper);                                               \
      }                                                                                          \
  } while (0)

INLINE void transpose(vec m[LANES]) {
  SWAP(8);
  SWAP(4);
  SWAP(2);
  SWAP(1);
}

/* turned[e][t] = keys[t][e] for `n` cells, zero beyond. */
static void turn(const float *keys, int64_t step, int64_t n, int64_t size, float *turned) {
  if (n == LANES && size % LANES == 0) {
    for (int64_t e = 0; e < size; e += LANES) {
      vec square[LANES];
      for (int t = 0; t < LANES; t++) square[t] = load(keys + t * step + e);
      transpose(square);
      for (int i = 0; i < LANES; i++) store(turned + (e + i) * LANES, square[i]);
    }
    return;
  }
  if (n < LANES) memset(turned, 0, (size_t)(size * LANES) * sizeof(float));
  for (int64_t t = 0; t < n; t++)
    for (int64_t e = 0; e < size; e++) turned[e * LANES + t] = keys[t * step + e];
}

/* In place: scores of cells [from, to) become weights, all others of [0, room) zero. */
static float softmax(float *scores, int64_t from, int64_t to, int64_t room, float scale) {
  for (int64_t t = 0; t < from; t++) scores[t] = -INFINITY;
  for (int64_t t = to; t < room; t++) scores[t] = -INFINITY;
  vec most = all(-INFINITY), total = all(0);
  for (int64_t t = 0; t < room; t += LANES) most = larger(load(scores + t), most);
  float largest = largest_of(most);
  for (int64_t t = 0; t < room; t += LANES) {
    vec p = exp_of((load(scores + t) - largest) * scale);
    total += p;
    store(scores + t, p);
  }
  return sum_of(total);
}

/* Rows [0, n_rows) of a span that is `length` long with them: q and out are [n_rows][heads][E]
 * with rows `ldq` apart; keys and values point at its first cell. */
static void attend(const Heads *h, int64_t n_rows, int64_t length, const float *q, int64_t ldq, const float *keys, const float *values, float *out, float *turned, float *scores) {
  int64_t group = h->heads / h->kv_heads, step = h->kv_heads * h->size, size = h->size;
  int64_t most_rows = QUERIES / group > 0 ? QUERIES / group : 1;
  float scale = 1.0f / sqrtf((float)size);
  for (int64_t row = 0; row < n_rows; row += most_rows) {
    int64_t rows = n_rows - row < most_rows ? n_rows - row : most_rows;
    int64_t first_end = length - n_rows + row + 1, end = first_end + rows - 1;
    int64_t from = h->window && first_end > h->window ? first_end - h->window : 0;
    int64_t n = end - from, room = (n + LANES - 1) / LANES * LANES;
    for (int64_t kv = 0; kv < h->kv_heads; kv++) {
      const float *k = keys + from * step + kv * size, *v = values + from * step + kv * size;
      for (int64_t t = 0; t < n; t += LANES) {
        turn(k + t * step, step, n - t < LANES ? n - t : LANES, size, turned);
        Panels panel = {turned, LANES, 0};
        for (int64_t r = 0; r < rows; r++) {
          Out to = {scores + r * group * room + t, room, LANES, NULL, 0};
          product(group, size, q + (row + r) * ldq + kv * group * size, size, panel, to);
        }
      }
      for (int64_t r = 0; r < rows; r++) {
        int64_t last = first_end + r - from;
        int64_t first = h->window && first_end + r > h->window ? first_end + r - h->window - from : 0;
        float totals[QUERIES];
        float *mine = scores + r * group * room;
        for (int64_t g = 0; g < group; g++) totals[g] = softmax(mine + g * room, first, last, room, scale);
        float *o = out + ((row + r) * h->heads + kv * group) * size;
        Panels cells = {v, step, LANES};
        Out to = {o, size, size, NULL, 0};
        product(group, last, mine, room, cells, to);
        for (int64_t g = 0; g < group; g++)
          for (int64_t e = 0; e < size; e++) o[g * size + e] /= totals[g];
      }
    }
  }
}

#endif
