/* Matrix products with packed matrices: y_NO = x_NK times panels of sixteen outputs.
 *
 * Every sum runs over k in order, whatever the number of rows, so a row's bits are its own.
 * Legend: N rows, K inputs, O outputs; a panel holds the weights of LANES outputs. */
#ifndef MODISTE_LINEAR_H
#define MODISTE_LINEAR_H

#include <stdlib.h>

#include "vector.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { PANEL = 16, STRIPS = PANEL / LANES };

/* Of a tile whose sums stay in registers: the most rows, the panels beside so many, and the panels
 * beside one, two and three rows, where few sums would wait for each other. */
#if defined(__AVX512F__)
enum { ROWS = 8, PANELS = 3, PANELS_1 = 8, PANELS_2 = 4, PANELS_3 = 4, WIDEST = 8 };
#elif defined(__AVX2__)
enum { ROWS = 6, PANELS = 1, PANELS_1 = 4, PANELS_2 = 2, PANELS_3 = 2, WIDEST = 4 };
#else
enum { ROWS = 3, PANELS = 1, PANELS_1 = 2, PANELS_2 = 1, PANELS_3 = 1, WIDEST = 2 };
#endif

enum { FP32 = 0, BF16 = 1, INT8 = 2 };

typedef struct {
  int64_t kind, inputs, outputs;
  const void *panels; /* FP32 [O/16][K][16]; BF16 [O/16][K/2][16][2]; INT8 [O/16][K/4][16][4] */
  const float *scales;   /* INT8: of each output */
  const int32_t *shifts; /* INT8: ZERO times the sum of each output's weights */
  const float *bias;     /* or NULL */
} Linear;

/* A matrix in float32 whose element (k, panel p) is PANEL floats at k * step + p * next. */
typedef struct {
  const float *at;
  int64_t step, next;
} Panels;

/* Sums of a tile, by rows and strips of LANES outputs. */
typedef vec Sums[ROWS][WIDEST * STRIPS];

INLINE void tile(int R, int P, int64_t K, const float *x, int64_t ldx, Panels w, Sums acc) {
  for (int64_t k = 0; k < K; k++) {
    vec b[WIDEST * STRIPS];
    for (int c = 0; c < P * STRIPS; c++) b[c] = load(w.at + k * w.step + c / STRIPS * w.next + c % STRIPS * LANES);
    for (int r = 0; r < R; r++)
      for (int c = 0; c < P * STRIPS; c++) acc[r][c] += x[r * ldx + k] * b[c];
  }
}

INLINE void tile_bf16(int R, int P, int64_t K, const float *x, int64_t ldx, const int32_t *w, Sums acc) {
  int64_t pairs = (K + 1) / 2;
  for (int64_t k = 0; k < pairs; k++) {
    vec even[WIDEST * STRIPS], odd[WIDEST * STRIPS];
    for (int c = 0; c < P * STRIPS; c++) {
      ivec both = *(const ivec *)(w + (c / STRIPS * pairs + k) * PANEL + c % STRIPS * LANES);
      even[c] = (vec)(both << 16), odd[c] = (vec)(both & (int32_t)0xFFFF0000);
    }
    for (int r = 0; r < R; r++)
      for (int c = 0; c < P * STRIPS; c++) acc[r][c] += x[r * ldx + 2 * k] * even[c];
    if (2 * k + 1 < K)
      for (int r = 0; r < R; r++)
        for (int c = 0; c < P * STRIPS; c++) acc[r][c] += x[r * ldx + 2 * k + 1] * odd[c];
  }
}

/* What becomes of sums: they go to y, are added to it, or were begun there. */
enum { SET, ADD, GO_ON };

/* Where they go, from output `first` on. */
typedef struct {
  float *y;
  int64_t ldy, outputs;
  const float *bias;
  int how;
} Out;

/* The same for outputs that end within a panel; `sums` are rows of whole panels. */
static __attribute__((noinline)) void begin_part(int rows, int width, Out out, int64_t row, int64_t first, float *sums) {
  for (int r = 0; r < rows; r++)
    for (int i = 0; i < width; i++) sums[r * width + i] = first + i < out.outputs ? out.y[(row + r) * out.ldy + first + i] : 0;
}

static __attribute__((noinline)) void put_part(int rows, int width, Out out, int64_t row, int64_t first, const float *sums) {
  for (int r = 0; r < rows; r++)
    for (int i = 0; i < width && first + i < out.outputs; i++) {
      float v = sums[r * width + i], *y = out.y + (row + r) * out.ldy + first + i;
      if (out.bias) v += out.bias[first + i];
      *y = out.how == ADD ? *y + v : v;
    }
}

INLINE void begin(int R, int P, Out out, int64_t row, int64_t first, Sums acc) {
  float part[ROWS * WIDEST * PANEL];
  const float *from = out.y + row * out.ldy + first;
  int64_t ld = out.ldy;
  if (out.how == GO_ON && first + P * PANEL > out.outputs) {
    begin_part(R, P * PANEL, out, row, first, part);
    from = part, ld = P * PANEL;
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < P * STRIPS; c++) acc[r][c] = out.how == GO_ON ? load(from + r * ld + c * LANES) : all(0);
}

INLINE void put(int R, int P, Out out, int64_t row, int64_t first, Sums acc) {
  if (first + P * PANEL > out.outputs) {
    float part[ROWS * WIDEST * PANEL];
    for (int r = 0; r < R; r++)
      for (int c = 0; c < P * STRIPS; c++) store(part + (r * P * STRIPS + c) * LANES, acc[r][c]);
    put_part(R, P * PANEL, out, row, first, part);
    return;
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < P * STRIPS; c++) {
      float *y = out.y + (row + r) * out.ldy + first + c * LANES;
      vec v = acc[r][c];
      if (out.bias) v += load(out.bias + first + c * LANES);
      store(y, out.how == ADD ? load(y) + v : v);
    }
}

#define WITH(r, p, ...)    \
  if (ROWS >= (r)) {       \
    enum { R = r, P = p }; \
    __VA_ARGS__;           \
  }

/* Rows in groups of about one size, at most ROWS. */
#define FOR_ROWS(N, p, ...)                                                  \
  for (int64_t n = 0, group = ((N) + ROWS - 1) / ROWS, rows; group > 0; group--, n += rows) { \
    rows = ((N) - n + group - 1) / group;                                    \
    switch (rows) {                                                          \
      case 2: WITH(2, p, __VA_ARGS__) break;                                 \
      case 3: WITH(3, p, __VA_ARGS__) break;                                 \
      case 4: WITH(4, p, __VA_ARGS__) break;                                 \
      case 5: WITH(5, p, __VA_ARGS__) break;                                 \
      case 6: WITH(6, p, __VA_ARGS__) break;                                 \
      case 7: WITH(7, p, __VA_ARGS__) break;                                 \
      case 8: WITH(8, p, __VA_ARGS__) break;                                 \
    }                                                                        \
  }

#define FEW_ROWS(r, p, ...)                                         \
  {                                                                 \
    const int64_t n = 0;                                            \
    for (; panel + p <= count; panel += p) WITH(r, p, __VA_ARGS__)  \
    for (; panel < count; panel++) WITH(r, 1, __VA_ARGS__)          \
  }

/* For all rows and outputs, with R rows from n on and P panels from `panel` on. */
#define FOR_TILES(N, O, ...)                                                            \
  do {                                                                                  \
    int64_t count = ((O) + PANEL - 1) / PANEL, panel = 0;                               \
    if ((N) == 1)                                                                       \
      FEW_ROWS(1, PANELS_1, __VA_ARGS__)                                                \
    else if ((N) == 2)                                                                  \
      FEW_ROWS(2, PANELS_2, __VA_ARGS__)                                                \
    else if ((N) == 3)                                                                  \
      FEW_ROWS(3, PANELS_3, __VA_ARGS__)                                                \
    else {                                                                              \
      for (; panel + PANELS <= count; panel += PANELS) FOR_ROWS(N, PANELS, __VA_ARGS__) \
      if (PANELS > 1)                                                                   \
        for (; panel < count; panel++) FOR_ROWS(N, 1, __VA_ARGS__)                      \
    }                                                                                   \
  } while (0)

static void product(int64_t N, int64_t K, const float *x, int64_t ldx, Panels w, Out out) {
  FOR_TILES(N, out.outputs, {
    Sums acc;
    Panels here = {w.at + panel * w.next, w.step, w.next};
    begin(R, P, out, n, panel * PANEL, acc);
    tile(R, P, K, x + n * ldx, ldx, here, acc);
    put(R, P, out, n, panel * PANEL, acc);
  });
}

/* Unpacking pays where many rows read a panel, and the registers do not hold both kinds. */
enum { MANY_ROWS = LANES < PANEL ? 2 * ROWS : 1 << 30, UNPACKED = 256 };

/* The same sums in the same order, from some inputs of one panel after the other in float32. */
static void unpacked_bf16(int64_t N, int64_t K, const float *x, int64_t ldx, const int32_t *w, Out out) {
  float values[UNPACKED * PANEL];
  int64_t count = (out.outputs + PANEL - 1) / PANEL;
  for (int64_t panel = 0; panel < count; panel++, w += (K + 1) / 2 * PANEL)
    for (int64_t from = 0; from < K; from += UNPACKED) {
      int64_t some = K - from < UNPACKED ? K - from : UNPACKED, left = out.outputs - panel * PANEL;
      for (int64_t i = 0; i < (some + 1) / 2 * PANEL; i += LANES) {
        ivec both = *(const ivec *)(w + from / 2 * PANEL + i);
        float *to = values + i / PANEL * 2 * PANEL + i % PANEL;
        store(to, (vec)(both << 16));
        store(to + PANEL, (vec)(both & (int32_t)0xFFFF0000));
      }
      Out part = {out.y + panel * PANEL, out.ldy, left < PANEL ? left : PANEL, NULL, from ? GO_ON : out.how};
      if (from + some == K && out.bias) part.bias = out.bias + panel * PANEL;
      product(N, some, x + from, ldx, (Panels){values, PANEL, 0}, part);
    }
}

static void product_bf16(int64_t N, int64_t K, const float *x, int64_t ldx, const int32_t *w, Out out) {
  if (N >= MANY_ROWS && (out.how == SET || K <= UNPACKED)) {
    unpacked_bf16(N, K, x, ldx, w, out);
    return;
  }
  FOR_TILES(N, out.outputs, {
    Sums acc;
    begin(R, P, out, n, panel * PANEL, acc);
    tile_bf16(R, P, K, x + n * ldx, ldx, w + panel * ((K + 1) / 2) * PANEL, acc);
    put(R, P, out, n, panel * PANEL, acc);
  });
}

#include "whole.h"

static void linear(const Linear *w, int64_t N, const float *x, float *y) {
  Out out = {y, w->outputs, w->outputs, w->bias, SET};
  switch (w->kind) {
    case FP32: {
      Panels panels = {w->panels, PANEL, w->inputs * PANEL};
      product(N, w->inputs, x, w->inputs, panels, out);
      break;
    }
    case BF16: product_bf16(N, w->inputs, x, w->inputs, w->panels, out); break;
    case INT8: product_int8(N, x, w, out); break;
  }
}

#endif
