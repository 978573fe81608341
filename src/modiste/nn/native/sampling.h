/* From logits to one token a row. Its twin in numpy, and what it means, is serve/sampling.py.
 *
 * Weights are exp((logit - best) / temperature) in double, and nothing about a row depends on the
 * others. "Most likely first" is by falling logit, ties by rising token. What is cut gets weight 0.
 *
 * Legend: V vocabulary. */
#ifndef MODISTE_SAMPLING_H
#define MODISTE_SAMPLING_H

#include <stdlib.h>

#include "vector.h"

enum { DOUBLES = 8, BUCKETS = 2048, STRETCH = 512 };
/* Nats below the best at which the buckets of a nucleus end: what is less likely shares the last. */
#define NUCLEUS_NATS 40.0
#define COLDEST 1e-300

typedef double dvec __attribute__((vector_size(8 * DOUBLES), aligned(8)));
typedef int64_t lvec __attribute__((vector_size(8 * DOUBLES), aligned(8)));
typedef float hvec __attribute__((vector_size(4 * DOUBLES), aligned(4)));

typedef struct {
  int64_t row;
  double temperature; /* 0 takes the most likely */
  double top_p, min_p, u;
  int64_t top_k; /* 0 is none */
} Draw;

typedef struct {
  float logit;
  int32_t token;
} Candidate;

typedef struct {
  double *weights; /* [V] */
  Candidate *candidates; /* [V] */
} Bench;

/* exp of x <= 0, relative error below 1e-15; 0 below -700. */
INLINE dvec exp_below(dvec x) {
  const dvec magic = 6755399441055744.0 - (dvec){0}; /* 1.5 * 2^52: adding it rounds, and leaves the whole number in the low bits. */
  lvec live = (lvec)(x > -700.0);
  dvec kept = (dvec)(live & (lvec)x);
  dvec shifted = kept * 1.44269504088896340736 + magic, n = shifted - magic;
  dvec r = kept - n * 6.93147180369123816490e-01;
  r = r - n * 1.90821492927058770002e-10;
  static const double inverse[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                                   1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0};
  dvec p = inverse[0] - (dvec){0};
  for (int i = 1; i < 14; i++) p = p * r + inverse[i];
  return (dvec)(live & ((lvec)p + ((lvec)shifted << 52)));
}

INLINE double sum_of_doubles(const double *x, int64_t n) {
  dvec total = {0};
  int64_t i = 0;
  for (; i + DOUBLES <= n; i += DOUBLES) total += *(const dvec *)(x + i);
  double s = 0;
  for (int lane = 0; lane < DOUBLES; lane++) s += total[lane];
  for (; i < n; i++) s += x[i];
  return s;
}

static float largest(int64_t V, const float *logits) {
  vec most = all(-INFINITY);
  int64_t i = 0;
  for (; i + LANES <= V; i += LANES) most = larger(load(logits + i), most);
  if (i < V) most = larger(load_part(logits + i, V - i, -INFINITY), most);
  return largest_of(most);
}

static int64_t first_of(int64_t V, const float *logits, float value) {
  enum { PIECE = 256 };
  int64_t i = 0;
  for (; i + PIECE <= V; i += PIECE) {
    int32_t here = 0;
    for (int64_t at = i; at < i + PIECE; at++) here |= logits[at] == value;
    if (here) break;
  }
  for (; i < V; i++)
    if (logits[i] == value) return i;
  return 0;
}

static void weigh(int64_t V, const float *logits, float best, double scale, double *weights) {
  int64_t i = 0;
  for (; i + DOUBLES <= V; i += DOUBLES) {
    dvec x = __builtin_convertvector(*(const hvec *)(logits + i), dvec);
    *(dvec *)(weights + i) = exp_below((x - (double)best) * scale);
  }
  if (i == V) return;
  dvec x = -INFINITY - (dvec){0};
  for (int64_t at = i; at < V; at++) x[at - i] = ((double)logits[at] - (double)best) * scale;
  x = exp_below(x);
  memcpy(weights + i, &x, (size_t)(V - i) * sizeof(double));
}

static int more_likely(const void *a, const void *b) {
  const Candidate *first = a, *second = b;
  if (first->logit != second->logit) return first->logit > second->logit ? -1 : 1;
  return (first->token > second->token) - (first->token < second->token);
}

INLINE int64_t bucket_of(float logit, float best, double per_logit) {
  double at = ((double)best - (double)logit) * per_logit;
  return at < BUCKETS - 1 ? (int64_t)at : BUCKETS - 1;
}

/* Cuts all but the most likely tokens whose `amounts` together reach `wanted`: of an amount of 1 each
 * where there are none, otherwise of their own. Only the bucket in which it is reached is sorted. */
static void keep_head(int64_t V, const float *logits, float best, double range, const double *amounts, double wanted,
                      Bench bench) {
  double mass[BUCKETS] = {0}, per_logit = range > 0 ? (BUCKETS - 1) / range : 0;
  for (int64_t i = 0; i < V; i++) mass[bucket_of(logits[i], best, per_logit)] += amounts ? amounts[i] : 1;
  int64_t bucket = 0;
  double before = 0;
  while (bucket < BUCKETS - 1 && before + mass[bucket] < wanted) before += mass[bucket++];
  int64_t n = 0, end = 0;
  for (int64_t i = 0; i < V; i++) {
    int64_t own = bucket_of(logits[i], best, per_logit);
    if (own == bucket) bench.candidates[n++] = (Candidate){logits[i], (int32_t)i};
    if (own > bucket) bench.weights[i] = 0;
  }
  qsort(bench.candidates, (size_t)n, sizeof(Candidate), more_likely);
  for (; end < n; end++) {
    before += amounts ? amounts[bench.candidates[end].token] : 1;
    if (before >= wanted) break;
  }
  for (int64_t at = end + 1; at < n; at++) bench.weights[bench.candidates[at].token] = 0;
}

static double lowest_finite(int64_t V, const float *logits, float best) {
  float least = best;
  for (int64_t i = 0; i < V; i++)
    if (logits[i] < least && logits[i] > -INFINITY) least = logits[i];
  return least;
}

/* The token at `u` of the cumulated weights, in the order of tokens. */
static int64_t at_share(int64_t V, const double *weights, double u) {
  double total = 0, passed = 0;
  for (int64_t i = 0; i < V; i += STRETCH) total += sum_of_doubles(weights + i, V - i < STRETCH ? V - i : STRETCH);
  int64_t last = 0;
  for (int64_t i = 0; i < V; i += STRETCH) {
    int64_t n = V - i < STRETCH ? V - i : STRETCH;
    double own = sum_of_doubles(weights + i, n);
    if (own == 0) continue;
    int here = passed + own > u * total;
    double cumulated = passed;
    for (int64_t at = i; at < i + n; at++) {
      if (weights[at] == 0) continue;
      last = at;
      cumulated += weights[at];
      if (here && cumulated > u * total) return at;
    }
    if (here) return last; /* Rounding; the sum of the block says that it is one of its tokens. */
    passed += own;
  }
  return last;
}

static int64_t drawn(int64_t V, const float *logits, const Draw *draw, Bench bench) {
  float best = largest(V, logits);
  if (draw->temperature == 0 || best == INFINITY) return first_of(V, logits, best);
  double scale = draw->temperature > COLDEST ? 1 / draw->temperature : 1 / COLDEST;
  weigh(V, logits, best, scale, bench.weights);
  if (draw->top_k > 0 && draw->top_k < V)
    keep_head(V, logits, best, (double)best - lowest_finite(V, logits, best), NULL, (double)draw->top_k, bench);
  if (draw->min_p > 0)
    for (int64_t i = 0; i < V; i++) bench.weights[i] = bench.weights[i] < draw->min_p ? 0 : bench.weights[i];
  if (draw->top_p < 1) {
    double wanted = draw->top_p * sum_of_doubles(bench.weights, V);
    keep_head(V, logits, best, NUCLEUS_NATS / scale, bench.weights, wanted, bench);
  }
  return at_share(V, bench.weights, draw->u);
}

#endif
