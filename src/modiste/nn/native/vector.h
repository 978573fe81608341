/* As many floats at a time as a register of the processor holds. Wider ones would live in memory:
 * products were twenty times slower with sixteen on AVX2.
 *
 * No operation here may be reordered by the compiler (no -ffast-math): a row's bits must not
 * depend on how many rows are computed beside it. */
#ifndef MODISTE_VECTOR_H
#define MODISTE_VECTOR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE vec all(float value) { return value - (vec){0}; }

INLINE vec load(const float *from) { return *(const vec *)from; }

INLINE void store(float *to, vec value) { *(vec *)to = value; }

/* The first n < LANES floats, the others `other`. */
INLINE vec load_part(const float *from, int64_t n, float other) {
  float part[LANES];
  for (int64_t i = 0; i < LANES; i++) part[i] = i < n ? from[i] : other;
  return load(part);
}

INLINE void store_part(float *to, vec value, int64_t n) {
  memcpy(to, &value, (size_t)n * sizeof(float));
}

INLINE vec choose(ivec where, vec yes, vec no) {
  return (vec)((where & (ivec)yes) | (~where & (ivec)no));
}

INLINE vec larger(vec a, vec b) { return choose(a > b, a, b); }

INLINE float sum_of(vec v) {
  float s = 0;
  for (int i = 0; i < LANES; i++) s += v[i];
  return s;
}

INLINE float largest_of(vec v) {
  float m = v[0];
  for (int i = 1; i < LANES; i++) m = v[i] > m ? v[i] : m;
  return m;
}

/* exp with a relative error below 2e-7: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes).
 * Below -87 it is 0, above 88 infinite; what is no number stays none. */
INLINE vec exp_of(vec x) {
  const vec magic = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number. */
  vec n = (x * 1.44269504088896341f + magic) - magic;
  vec r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  ivec power = (__builtin_convertvector(choose((x < 89.0f) & (x > -89.0f), n, all(0)), ivec) + 127)
               << 23;
  vec y = p * (vec)power;
  y = choose(x < -87.0f, all(0), y);
  return choose(x > 88.0f, all(INFINITY), y);
}

#endif
