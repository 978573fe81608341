/* Products of whole numbers: weights in eight bits with a scale for each output, beside inputs in
 * eight bits with a scale for each row. Sums are exact, so any order gives the same. Included by
 * linear.h. */

enum { BLOCK = 64, ZERO = 128 }; /* Inputs are filled up to a multiple; what 0 is stored as. */

#if defined(__AVX2__) && !defined(__AVX512VNNI__)
typedef int16_t Input; /* Its instruction multiplies those, and sums up pairs. */
#else
typedef uint8_t Input;
#endif

/* Each row of x around ZERO, with a scale of its own; rows are `width` apart. */
static void quantise(int64_t N, int64_t K, const float *x, Input *q, int64_t width, float *scales) {
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
      /* Rounds into the low bits. */
      ivec whole = (ivec)(v * inverse + (12582912.0f + ZERO)) & 0xFF;
      typedef Input inputs __attribute__((vector_size(LANES * sizeof(Input))));
      inputs packed = __builtin_convertvector(whole, inputs);
      memcpy(q + k, &packed, (size_t)(K - k >= LANES ? LANES : K - k) * sizeof(Input));
    }
    for (k = K; k < width; k++) q[k] = ZERO; /* Beside weights of zero. */
  }
}

INLINE void put_whole(const Linear *w, Out out, int64_t row, int64_t first, float scale, ivec sum) {
  int64_t left = out.outputs - first;
  if (left <= 0) return;
  /* Shifts and scales are filled up to whole panels. */
  vec v = __builtin_convertvector(sum - *(const ivec *)(w->shifts + first), vec);
  v *= load(w->scales + first) * scale;
  float *y = out.y + row * out.ldy + first;
  if (left >= LANES)
    store(y, out.bias ? v + load(out.bias + first) : v);
  else
    store_part(y, out.bias ? v + load_part(out.bias + first, left, 0) : v, left);
}

#if defined(__AVX2__) && !defined(__AVX512VNNI__)
/* Two sums for each of eight outputs: those of even and of odd pairs of inputs. */
INLINE void rows_whole(int R, int P, const Linear *w, const Input *q, int64_t width, const float *scales, int64_t n, int64_t panel, Out out) {
  for (int c = 0; c < P * STRIPS; c++) {
    const int8_t *at = (const int8_t *)w->panels + (panel + c / STRIPS) * width * PANEL + c % STRIPS * 4 * LANES;
    __m256i lower[ROWS], upper[ROWS];
    for (int r = 0; r < R; r++) lower[r] = upper[r] = _mm256_setzero_si256();
    for (int64_t k = 0; k < width / 4; k++, at += 4 * PANEL) {
      __m256i first = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)at));
      __m256i second = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(at + 16)));
      for (int r = 0; r < R; r++) {
        long long four;
        memcpy(&four, q + (n + r) * width + 4 * k, 8);
        __m256i x = _mm256_set1_epi64x(four);
        lower[r] = _mm256_add_epi32(lower[r], _mm256_madd_epi16(x, first));
        upper[r] = _mm256_add_epi32(upper[r], _mm256_madd_epi16(x, second));
      }
    }
    for (int r = 0; r < R; r++) {
      __m256i sums = _mm256_permute4x64_epi64(_mm256_hadd_epi32(lower[r], upper[r]), 0xD8);
      put_whole(w, out, n + r, panel * PANEL + c * LANES, scales[n + r], (ivec)sums);
    }
  }
}
#else
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

INLINE void rows_whole(int R, int P, const Linear *w, const Input *q, int64_t width, const float *scales, int64_t n, int64_t panel, Out out) {
  const int8_t *at = (const int8_t *)w->panels + panel * width * PANEL;
  ivec acc[ROWS][WIDEST * STRIPS];
  for (int r = 0; r < R; r++)
    for (int c = 0; c < P * STRIPS; c++) acc[r][c] = (ivec){0};
  for (int64_t k = 0; k < width / 4; k++)
    for (int r = 0; r < R; r++) {
      int32_t four;
      memcpy(&four, q + (n + r) * width + 4 * k, 4);
      for (int c = 0; c < P * STRIPS; c++)
        acc[r][c] = dot4(acc[r][c], four, at + (c / STRIPS * (width / 4) + k) * 4 * PANEL + c % STRIPS * 4 * LANES);
    }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < P * STRIPS; c++)
      put_whole(w, out, n + r, panel * PANEL + c * LANES, scales[n + r], acc[r][c]);
}
#endif

#ifdef __AMX_INT8__
#include "tiles.h"
#endif

static void product_int8(int64_t N, const float *x, const Linear *w, Out out) {
  int64_t width = (w->inputs + BLOCK - 1) / BLOCK * BLOCK;
  Input *q = malloc((size_t)(N * width) * sizeof(Input));
  float *scales = malloc((size_t)N * sizeof(float));
  quantise(N, w->inputs, x, q, width, scales);
#ifdef __AMX_INT8__
  if (N > 2) /* Sums of whole numbers are the same in any order. */
    tiles_int8(N, w, q, width, scales, out);
  else
#endif
    FOR_TILES(N, out.outputs, rows_whole(R, P, w, q, width, scales, n, panel, out));
  free(scales);
  free(q);
}
