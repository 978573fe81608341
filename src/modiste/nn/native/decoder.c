/* All layers of a decoder for any mix of rows, in one call. Its twin in torch is nn/decoder.py.
 *
 * Rows of a span (one sequence) lie behind each other. Nothing is kept between calls, nothing is
 * locked: threads may call it side by side with other rows. Layouts of structs are those of
 * nn/native.py.
 *
 * Legend: N rows, D hidden size, H query heads, K key/value heads, E head size, I intermediate
 * size, C cells, R rank. */
#include "attention.h"
#include "feed_forward.h"
#include "sampling.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

typedef struct {
  const float *input_norm, *q_norm, *k_norm, *mlp_norm; /* q_norm and k_norm may be NULL */
  Linear qkv, o;
  FeedForward mlp;
  Linear router;
  const FeedForward *experts; /* or NULL, then mlp is meant */
  int64_t window;             /* 0 is none */
} Layer;

typedef struct {
  int64_t n_layers, hidden, intermediate, heads, kv_heads, head_size;
  float norm_eps;
  const Layer *layers;
  const float *norm;
  Mixture mixture;
} Decoder;

typedef struct {
  float *keys, *values; /* [n_layers][C][K][E] */
  int64_t n_cells;
} Cells;

typedef struct {
  const float *cos, *sin; /* [positions][E / 2] */
} Rotary;

static void norm(int64_t N, int64_t D, const float *x, int64_t ldx, const float *weight, float eps, float *y, int64_t ldy) {
  for (int64_t n = 0; n < N; n++, x += ldx, y += ldy) {
    vec squares = all(0);
    int64_t i = 0;
    for (; i + LANES <= D; i += LANES) squares += load(x + i) * load(x + i);
    float total = sum_of(squares);
    for (; i < D; i++) total += x[i] * x[i];
    float factor = 1.0f / sqrtf(total / (float)D + eps);
    for (i = 0; i + LANES <= D; i += LANES) store(y + i, load(x + i) * factor * load(weight + i));
    for (; i < D; i++) y[i] = x[i] * factor * weight[i];
  }
}

static void rotate(float *x, int64_t size, const float *cos, const float *sin) {
  for (int64_t i = 0; i < size / 2; i++) {
    float first = x[i], second = x[i + size / 2];
    x[i] = first * cos[i] - second * sin[i];
    x[i + size / 2] = second * cos[i] + first * sin[i];
  }
}

/* Turns queries and keys, stores keys and values in their cells. */
static void write_cells(const Decoder *d, const Layer *layer, int64_t index, int64_t n_spans, const Span *spans, float *qkv, Cells cells, Rotary rotary) {
  int64_t size = d->head_size, heads = d->heads, kv = d->kv_heads, step = kv * size;
  int64_t width = (heads + 2 * kv) * size;
  for (int64_t s = 0; s < n_spans; s++)
    for (int64_t r = 0; r < spans[s].n_rows; r++) {
      int64_t position = spans[s].length - spans[s].n_rows + r;
      int64_t cell = (index * cells.n_cells + spans[s].first_cell + position) * step;
      float *row = qkv + (spans[s].first_row + r) * width;
      if (layer->q_norm) {
        norm(heads, size, row, size, layer->q_norm, d->norm_eps, row, size);
        norm(kv, size, row + heads * size, size, layer->k_norm, d->norm_eps, row + heads * size, size);
      }
      for (int64_t h = 0; h < heads + kv; h++)
        rotate(row + h * size, size, rotary.cos + position * (size / 2), rotary.sin + position * (size / 2));
      memcpy(cells.keys + cell, row + heads * size, (size_t)step * sizeof(float));
      memcpy(cells.values + cell, row + (heads + kv) * size, (size_t)step * sizeof(float));
    }
}

/* x: embeddings in, last hidden states out, [N][D]. 0, or 1 where there is no memory. */
int modiste_forward(const Decoder *d, int64_t N, float *x, int64_t n_spans, const Span *spans, Cells cells, Rotary rotary) {
  int64_t D = d->hidden, I = d->intermediate, size = d->head_size, longest = 0;
  int64_t width = (d->heads + 2 * d->kv_heads) * size, q = d->heads * size, step = d->kv_heads * size;
  for (int64_t s = 0; s < n_spans; s++) longest = most(longest, spans[s].length);
  int64_t group = d->heads / d->kv_heads;
  int64_t wide = most(most(D, q), I), keys = longest + 2 * PANEL;
  int64_t X = d->mixture.n_experts, S = N * d->mixture.n_picked, F = d->mixture.expert_size, M = X ? N : 0;
  enum { PARTS = 15 };
  int64_t parts[PARTS] = {N * wide, N * most(width, 2 * most(I, F)), N * most(D, 1), N * widest_rank(n_spans, spans),
                          size * CELLS, most(QUERIES, group) * keys,
                          M * X, S, S, S, S, X, M * (int64_t)(sizeof(Span) / sizeof(float)), M * most(D, F), M * D};
  int64_t floats = 0;
  for (int i = 0; i < PARTS; i++) floats += (parts[i] + PANEL - 1) / PANEL * PANEL;
  float *scratch = aligned_alloc(64, (size_t)floats * sizeof(float));
  if (scratch == NULL) return 1;
  float *at[PARTS], *next = scratch;
  for (int i = 0; i < PARTS; i++) at[i] = next, next += (parts[i] + PANEL - 1) / PANEL * PANEL;
  float *h = at[0], *big = at[1], *small = at[2], *low = at[3], *turned = at[4], *scores = at[5];
  Room room = {at[6], at[7], at[8], (int32_t *)at[9], (int32_t *)at[10], (int32_t *)at[11], (Span *)at[12], at[13], at[14]};

  for (int64_t l = 0; l < d->n_layers; l++) {
    const Layer *layer = d->layers + l;
    const Heads heads = {d->heads, d->kv_heads, size, layer->window};
    norm(N, D, x, D, layer->input_norm, d->norm_eps, h, D);
    linear(&layer->qkv, N, h, big);
    add_deltas(l, QKV, n_spans, spans, h, D, big, width, low);
    write_cells(d, layer, l, n_spans, spans, big, cells, rotary);
    for (int64_t s = 0; s < n_spans; s++) {
      int64_t first = (l * cells.n_cells + spans[s].first_cell) * step, row = spans[s].first_row;
      attend(&heads, spans[s].n_rows, spans[s].length, big + row * width, width, cells.keys + first,
             cells.values + first, h + row * q, turned, scores);
    }
    linear(&layer->o, N, h, small);
    add_deltas(l, O, n_spans, spans, h, q, small, D, low);
    for (int64_t i = 0; i < N * D; i++) x[i] += small[i];

    norm(N, D, x, D, layer->mlp_norm, d->norm_eps, h, D);
    if (layer->experts)
      mixture(&d->mixture, &layer->router, layer->experts, N, h, small, l, n_spans, spans, big, low, room);
    else
      feed_forward(&layer->mlp, N, h, small, l, GATE_UP, n_spans, spans, big, low);
    for (int64_t i = 0; i < N * D; i++) x[i] += small[i];
  }
  norm(N, D, x, D, d->norm, d->norm_eps, x, D);
  free(scratch);
  return 0;
}

void modiste_linear(const Linear *w, int64_t N, const float *x, float *y) { linear(w, N, x, y); }

/* logits: [rows][V]; tokens: [n], one for each draw. 0, or 1 where there is no memory. */
int modiste_sample(int64_t V, const float *logits, int64_t n, const Draw *draws, int64_t *tokens) {
  double *weights = malloc((size_t)V * (sizeof(double) + sizeof(Candidate)));
  if (weights == NULL) return 1;
  Bench bench = {weights, (Candidate *)(weights + V)};
  for (int64_t i = 0; i < n; i++) tokens[i] = drawn(V, logits + draws[i].row * V, draws + i, bench);
  free(weights);
  return 0;
}

/* Which layout of structs this was compiled for; counted up with every change of one. */
int modiste_layout(void) { return 4; }

/* Whether this processor and system run what this file was compiled for. */
int modiste_usable(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#if defined(__AMX_INT8__)
  unsigned a, b, c, d;
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d >> 24 & 3) != 3) return 0;
  if (syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) != 0) return 0;
#endif
#if defined(__AVX512VNNI__)
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#endif
  return 1;
}
