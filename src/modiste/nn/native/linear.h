/* Matrix products with packed matrices: y_NO = x_NK times panels of sixteen outputs.
 *
 * Every sum runs over k in order, whatever the number of rows, so a row's bits are its own.
 * Legend: N rows, K inputs, O outputs; a panel holds the weights of LANES outputs. */
#ifndef MODISTE_LINEAR_H
#define MODISTE_LINEAR_H

#include <stdlib.h>

#include "vector.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#ifdef __AVX512F__
#define ROWS 8
#define PANELS 3
#else
#define ROWS 4
#define PANELS 1
#endif

enum { FP32 = 0, BF16 = 1, INT8 = 2 };
enum { BLOCK = 64, ZERO = 128 }; /* INT8: inputs are filled up to a multiple; what 0 is stored as. */

typedef struct {
  int64_t kind, inputs, outputs;
  const void *panels; /* FP32 [O/16][K][16]; BF16 [O/16][K/2][16][2]; INT8 [O/16][K/4][16][4] */
  const float *scales;   /* INT8: of each output */
  const int32_t *shifts; /* INT8: ZERO times the sum of each output's weights */
  const float *bias;     /* or NULL */
} Linear;

/* A matrix in float32 whose element (k, panel p) is LANES floats at k * step + p * next. */
typedef struct {
  const float *at;
  int64_t step, next;
} Panels;

INLINE void tile(int R, int P, int64_t K, const float *x, int64_t ldx, Panels w, vec acc[ROWS][PANELS]) {
  for (int r = 0; r < R; r++)
    for (int p = 0; p < P; p++) acc[r][p] = all(0);
  for (int64_t k = 0; k < K; k++) {
    vec b[PANELS];
    for (int p = 0; p < P; p++) b[p] = load(w.at + k * w.step + p * w.next);
    for (int r = 0; r < R; r++)
      for (int p = 0; p < P; p++) acc[r][p] += x[r * ldx + k] * b[p];
  }
}

INLINE void tile_bf16(int R, int P, int64_t K, const float *x, int64_t ldx, const int32_t *w, vec acc[ROWS][PANELS]) {
  for (int r = 0; r < R; r++)
    for (int p = 0; p < P; p++) acc[r][p] = all(0);
  for (int64_t k = 0; k < (K + 1) / 2; k++) {
    vec even[PANELS], odd[PANELS];
    for (int p = 0; p < P; p++) {
      ivec both = *(const ivec *)(w + (p * ((K + 1) / 2) + k) * LANES);
      even[p] = (vec)(both << 16), odd[p] = (vec)(both & (int32_t)0xFFFF0000);
    }
    for (int r = 0; r < R; r++)
      for (int p = 0; p < P; p++) {
        acc[r][p] += x[r * ldx + 2 * k] * even[p];
        if (2 * k + 1 < K) acc[r][p] += x[r * ldx + 2 * k + 1] * odd[p];
      }
  }
}

/* Where the sums of `R` rows and `P` panels go, from output `first` on. */
typedef struct {
  float *y;
  int64_t ldy, outputs;
  const float *bias;
  int add; /* to what is there, or instead of it */
} Out;

INLINE void put(int R, int P, Out out, int64_t row, int64_t first, vec acc[ROWS][PANELS]) {
  for (int r = 0; r < R; r++)
    for (int p = 0; p < P; p++) {
      int64_t o = first + p * LANES, left = out.outputs - o;
      float *y = out.y + (row + r) * out.ldy + o;
      vec v = acc[r][p];
      if (left >= LANES) {
        if (out.bias) v += load(out.bias + o);
        store(y, out.add ? load(y) + v : v);
      } else {
        if (out.bias) v += load_part(out.bias + o, left, 0);
        store_part(y, out.add ? load_part(y, left, 0) + v : v, left);
      }
    }
}

#define FOR_ROWS(N, ...)                  \
  do {                                     \
    int64_t n = 0;                         \
    for (; n + ROWS <= (N); n += ROWS) {   \
      enum { R = ROWS };                   \
      __VA_ARGS__;                                \
    }                                      \
    for (; n + 4 <= (N); n += 4) {         \
      enum { R = 4 };                      \
      __VA_ARGS__;                                \
    }                                      \
    if ((N) - n == 3) {                    \
      enum { R = 3 };                      \
      __VA_ARGS__;                                \
    } else if ((N) - n == 2) {             \
      enum { R = 2 };                      \
      __VA_ARGS__;                                \
    } else if ((N) - n == 1) {             \
      enum { R = 1 };                      \
      __VA_ARGS__;                                \
    }                                      \
  } while (0)

#define FOR_PANELS(O, ...)                              \
  do {                                                   \
    int64_t count = ((O) + LANES - 1) / LANES, panel = 0; \
    for (; panel + PANELS <= count; panel += PANELS) {   \
      enum { P = PANELS };                               \
      __VA_ARGS__;                                              \
    }                                                    \
    for (; panel < count; panel++) {                     \
      enum { P = 1 };                                    \
      __VA_ARGS__;                                              \
    }                                                    \
  } while (0)

static void product(int64_t N, int64_t K, const float *x, int64_t ldx, Panels w, Out out) {
  FOR_PANELS(out.outputs, FOR_ROWS(N, {
    vec acc[ROWS][PANELS];
    Panels here = {w.at + panel * w.next, w.step, w.next};
    tile(R, P, K, x + n * ldx, ldx, here, acc);
    put(R, P, out, n, panel * LANES, acc);
  }));
}

static void product_bf16(int64_t N, int64_t K, const float *x, int64_t ldx, const int32_t *w, Out out) {
  FOR_PANELS(out.outputs, FOR_ROWS(N, {
    vec acc[ROWS][PANELS];
    tile_bf16(R, P, K, x + n * ldx, ldx, w + panel * ((K + 1) / 2) * LANES, acc);
    put(R, P, out, n, panel * LANES, acc);
  }));
}

/* Each row of x as u8 around ZERO, with a scale of its own; rows are `width` apart. */
static void quantise(int64_t N, int64_t K, const float *x, uint8_t *q, int64_t width, float *scales) {
  for (int64_t n = 0; n < N; n++, x += K, q += width) {
    vec most = all(0), poison = all(0);
    int64_t k = 0;
    for (; k < K; k += LANES) {
      vec v = K - k >= LANES ? load(x + k) : load_part(x + k, K - k, 0);
      most = larger(larger(v, -v), most);
      poison += v * 0.0f; /* What is no number must not look like one. */
    }
    float largest = largest_of(most), broken = sum_of(poison);
    float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    scales[n] = largest / 127.0f + broken;
    for (k = 0; k < K; k += LANES) {
      vec v = K - k >= LANES ? load(x + k) : load_part(x + k, K - k, 0);
      ivec whole = (ivec)(v * inverse + (12582912.0f + ZERO)); /* Rounds into the low bits. */
      typedef uint8_t bytes __attribute__((vector_size(LANES)));
      bytes packed = __builtin_convertvector(whole, bytes);
      memcpy(q + k, &packed, (size_t)(K - k >= LANES ? LANES : K - k));
    }
    memset(q + K, ZERO, (size_t)(width - K)); /* Beside weights of zero. */
  }
}

INLINE ivec dot4(ivec acc, int32_t four, const int8_t *w) {
#if defined(__AVX512VNNI__)
  return (ivec)_mm512_dpbusd_epi32((__m512i)acc, _mm512_set1_epi32(four), _mm512_loadu_si512(w));
#else
  uint8_t x[4];
  memcpy(x, &four, 4);
  for (int i = 0; i < LANES; i++)
    acc[i] += x[0] * w[4 * i] + x[1] * w[4 * i + 1] + x[2] * w[4 * i + 2] + x[3] * w[4 * i + 3];
  return acc;
#endif
}

INLINE void put_int8(const Linear *w, Out out, int64_t row, int64_t first, float scale, ivec sum) {
  /* Shifts and scales are filled up to whole panels. */
  vec v = __builtin_convertvector(sum - *(const ivec *)(w->shifts + first), vec);
  v *= load(w->scales + first) * scale;
  int64_t left = out.outputs - first;
  float *y = out.y + row * out.ldy + first;
  if (left >= LANES)
    store(y, out.bias ? v + load(out.bias + first) : v);
  else
    store_part(y, out.bias ? v + load_part(out.bias + first, left, 0) : v, left);
}

INLINE void rows_int8(int R, int P, const Linear *w, const uint8_t *q, int64_t width, const float *scales, int64_t n, int64_t panel, Out out) {
  const int8_t *at = (const int8_t *)w->panels + panel * width * LANES;
  ivec acc[ROWS][PANELS];
  for (int r = 0; r < R; r++)
    for (int p = 0; p < P; p++) acc[r][p] = (ivec){0};
  for (int64_t k = 0; k < width / 4; k++)
    for (int r = 0; r < R; r++) {
      int32_t four;
      memcpy(&four, q + (n + r) * width + 4 * k, 4);
      for (int p = 0; p < P; p++)
        acc[r][p] = dot4(acc[r][p], four, at + (p * (width / 4) + k) * 4 * LANES);
    }
  for (int r = 0; r < R; r++)
    for (int p = 0; p < P; p++)
      put_int8(w, out, n + r, (panel + p) * LANES, scales[n + r], acc[r][p]);
}

#ifdef __AMX_INT8__
#include "tiles.h"
#endif

static void product_int8(int64_t N, const float *x, const Linear *w, Out out) {
  int64_t width = (w->inputs + BLOCK - 1) / BLOCK * BLOCK;
  uint8_t *q = malloc((size_t)(N * width));
  float *scales = malloc((size_t)N * sizeof(float));
  quantise(N, w->inputs, x, q, width, scales);
#ifdef __AMX_INT8__
  if (N > 2) /* Sums of whole numbers are the same in any order. */
    tiles_int8(N, w, q, width, scales, out);
  else
#endif
    FOR_PANELS(out.outputs, FOR_ROWS(N, rows_int8(R, P, w, q, width, scales, n, panel, out)));
  free(scales);
  free(q);
}

static void linear(const Linear *w, int64_t N, const float *x, float *y) {
  Out out = {y, w->outputs, w->outputs, w->bias, 0};
  switch (w->kind) {
    case FP32: {
      Panels panels = {w->panels, LANES, w->inputs * LANES};
      product(N, w->inputs, x, w->inputs, panels, out);
      break;
    }
    case BF16: product_bf16(N, w->inputs, x, w->inputs, w->panels, out); break;
    case INT8: product_int8(N, x, w, out); break;
  }
}

#endif
