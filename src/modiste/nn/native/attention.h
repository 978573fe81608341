/* Attention of some rows of one sequence over its cells, a few rows and heads at a time.
 *
 * Cells lie behind each other, [C][K heads][E]. Keys are turned, in panels, so that a score is a sum
 * over E in order; a row's softmax and its weighted sum of values run over its cells in order. */
#ifndef MODISTE_ATTENTION_H
#define MODISTE_ATTENTION_H

#include "linear.h"

enum {
  QUERIES = 64, /* Rows times heads that share one turning of the keys. */
  CELLS = 64,   /* Keys that are turned at a time. */
};

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
#if LANES > 8
  SWAP(8);
#endif
#if LANES > 4
  SWAP(4);
#endif
  SWAP(2);
  SWAP(1);
}

/* turned[e][t] = keys[t][e] for `n` cells of a panel, zero beyond. */
static void turn(const float *keys, int64_t step, int64_t n, int64_t size, float *turned) {
  if (n == PANEL && size % LANES == 0) {
    for (int64_t e = 0; e < size; e += LANES)
      for (int first = 0; first < PANEL; first += LANES) {
        vec square[LANES];
        for (int t = 0; t < LANES; t++) square[t] = load(keys + (first + t) * step + e);
        transpose(square);
        for (int i = 0; i < LANES; i++) store(turned + (e + i) * PANEL + first, square[i]);
      }
    return;
  }
  if (n < PANEL) memset(turned, 0, (size_t)(size * PANEL) * sizeof(float));
  for (int64_t t = 0; t < n; t++)
    for (int64_t e = 0; e < size; e++) turned[e * PANEL + t] = keys[t * step + e];
}

/* In place: scores of cells [from, to) become weights, others up to a full panel zero. */
static float softmax(float *scores, int64_t from, int64_t to, float scale) {
  int64_t room = (to + PANEL - 1) / PANEL * PANEL;
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

/* Some rows of one key/value head: row r and head g of its group at q + r * ldq + g * E and
 * scores + (r * group + g) * room. */
typedef struct {
  int64_t rows, group, size, step;
  const float *q;
  int64_t ldq;
  float *scores;
  int64_t room;
} Block;

/* Scores of n cells. */
static void score(const Block *b, int64_t n, const float *keys, float *turned) {
  for (int64_t t = 0; t < n; t += CELLS) {
    int64_t some = n - t < CELLS ? n - t : CELLS, outputs = (some + PANEL - 1) / PANEL * PANEL;
    for (int64_t p = 0; p < some; p += PANEL)
      turn(keys + (t + p) * b->step, b->step, some - p < PANEL ? some - p : PANEL, b->size, turned + p * b->size);
    Panels panels = {turned, PANEL, PANEL * b->size};
    if (b->rows >= b->group)
      for (int64_t g = 0; g < b->group; g++) {
        Out to = {b->scores + g * b->room + t, b->group * b->room, outputs, NULL, SET};
        product(b->rows, b->size, b->q + g * b->size, b->ldq, panels, to);
      }
    else
      for (int64_t r = 0; r < b->rows; r++) {
        Out to = {b->scores + r * b->group * b->room + t, b->room, outputs, NULL, SET};
        product(b->group, b->size, b->q + r * b->ldq, b->size, panels, to);
      }
  }
}

/* Values summed up by their weights into out, rows `ldo` apart: row r sees the first `seen` + r
 * cells. What later cells hold must not touch it, so those are added by row. */
static void sum_up(const Block *b, int64_t seen, const float *values, float *out, int64_t ldo) {
  for (int64_t r = 0; r < b->rows; r += ROWS) {
    int64_t rows = b->rows - r < ROWS ? b->rows - r : ROWS;
    const float *weights = b->scores + r * b->group * b->room;
    Panels cells = {values, b->step, PANEL};
    for (int64_t g = 0; rows > 1 && g < b->group; g++) {
      Out to = {out + r * ldo + g * b->size, ldo, b->size, NULL, SET};
      product(rows, seen + r, weights + g * b->room, b->group * b->room, cells, to);
    }
    for (int64_t i = rows > 1 ? 1 : 0; i < rows; i++) {
      int64_t done = rows > 1 ? seen + r : 0;
      Out to = {out + (r + i) * ldo, b->size, b->size, NULL, done ? GO_ON : SET};
      Panels rest = {values + done * b->step, b->step, PANEL};
      product(b->group, seen + r + i - done, weights + i * b->group * b->room + done, b->room, rest, to);
    }
  }
}

/* Rows [0, n_rows) of a span that is `length` long with them: q and out are [n_rows][heads][E]
 * with rows of q `ldq` apart; keys and values point at its first cell. */
static void attend(const Heads *h, int64_t n_rows, int64_t length, const float *q, int64_t ldq, const float *keys, const float *values, float *out, float *turned, float *scores) {
  int64_t group = h->heads / h->kv_heads, step = h->kv_heads * h->size, size = h->size;
  int64_t most_rows = QUERIES / group > 0 ? QUERIES / group : 1, ldo = h->heads * size;
  float scale = 1.0f / sqrtf((float)size);
  for (int64_t row = 0; row < n_rows; row += most_rows) {
    int64_t rows = n_rows - row < most_rows ? n_rows - row : most_rows;
    int64_t first_end = length - n_rows + row + 1, end = first_end + rows - 1;
    int64_t from = h->window && first_end > h->window ? first_end - h->window : 0;
    int64_t n = end - from, room = (n + PANEL - 1) / PANEL * PANEL;
    for (int64_t kv = 0; kv < h->kv_heads; kv++) {
      int64_t first = from * step + kv * size;
      Block block = {rows, group, size, step, q + row * ldq + kv * group * size, ldq, scores, room};
      float *o = out + row * ldo + kv * group * size;
      score(&block, n, keys + first, turned);
      float totals[QUERIES];
      for (int64_t i = 0; i < rows * group; i++) {
        int64_t last = first_end + i / group;
        int64_t begin = h->window && last > h->window ? last - h->window - from : 0;
        totals[i] = softmax(scores + i * room, begin, last - from, scale);
      }
      sum_up(&block, first_end - from, values + first, o, ldo);
      for (int64_t i = 0; i < rows * group; i++)
        for (int64_t e = 0; e < size; e++) o[i / group * ldo + i % group * size + e] /= totals[i];
    }
  }
}

#endif
