/* What follows attention in a layer: one gated network, or the experts that a router picks for each
 * row. Its twin in torch is nn/feed_forward.py.
 *
 * Legend: N rows, D hidden size, I intermediate size, X experts, P of them picked for a row. */
#ifndef MODISTE_FEED_FORWARD_H
#define MODISTE_FEED_FORWARD_H

#include "deltas.h"

typedef struct {
  Linear gate_up, down;
} FeedForward;

typedef struct {
  int64_t n_experts, n_picked, expert_size; /* n_experts is 0 where no layer is a mixture */
  int64_t whole; /* whether the shares of those that are picked are scaled to add up to one */
} Mixture;

static void swiglu(int64_t N, int64_t I, const float *gate_up, float *y) {
  for (int64_t n = 0; n < N; n++, gate_up += 2 * I, y += I)
    for (int64_t i = 0; i < I; i += LANES) {
      int64_t left = I - i;
      vec gate = left >= LANES ? load(gate_up + i) : load_part(gate_up + i, left, 0);
      vec up = left >= LANES ? load(gate_up + I + i) : load_part(gate_up + I + i, left, 0);
      vec v = gate / (1.0f + exp_of(-gate)) * up;
      if (left >= LANES)
        store(y + i, v);
      else
        store_part(y + i, v, left);
    }
}

/* y = the network's answer; x is overwritten, `big` and `low` are scratch. */
static void feed_forward(const FeedForward *mlp, int64_t N, float *x, float *y, int64_t layer, int64_t column,
                         int64_t n_spans, const Span *spans, float *big, float *low) {
  int64_t D = mlp->gate_up.inputs, I = mlp->down.inputs;
  linear(&mlp->gate_up, N, x, big);
  add_deltas(layer, column, n_spans, spans, x, D, big, 2 * I, low);
  swiglu(N, I, big, x);
  linear(&mlp->down, N, x, y);
  add_deltas(layer, column + 1, n_spans, spans, x, I, y, D, low);
}

/* Scratch of a mixture, for N rows. */
typedef struct {
  float *logits; /* [N][X] */
  float *shares; /* [N][P], and the same by expert */
  float *sorted_shares;
  int32_t *picks; /* [N][P] */
  int32_t *rows;  /* [N][P], by expert */
  int32_t *ends;  /* [X] where an expert's rows end */
  Span *spans;    /* [N] of one expert's rows */
  float *x, *y;   /* [N][most(D, I)] and [N][D] of one expert's rows */
} Room;

/* The P greatest logits of a row and their shares in the softmax of all. */
static void pick(const Mixture *m, float *logits, float *shares, int32_t *picks) {
  int64_t X = m->n_experts, P = m->n_picked;
  float largest = logits[0];
  for (int64_t e = 1; e < X; e++) largest = logits[e] > largest ? logits[e] : largest;
  vec sums = all(0);
  for (int64_t e = 0; e < X; e += LANES) {
    vec v = X - e >= LANES ? load(logits + e) : load_part(logits + e, X - e, -INFINITY);
    v = exp_of(v - largest);
    sums += v;
    if (X - e >= LANES)
      store(logits + e, v);
    else
      store_part(logits + e, v, X - e);
  }
  float total = sum_of(sums), shared = 0;
  for (int64_t p = 0; p < P; p++) {
    int64_t best = -1;
    for (int64_t e = 0; e < X; e++) {
      int taken = 0;
      for (int64_t before = 0; before < p; before++) taken |= picks[before] == e;
      /* What is no number is less than nothing, so that every row has its experts. */
      if (!taken && (best < 0 || logits[e] > logits[best])) best = e;
    }
    picks[p] = (int32_t)best;
    shares[p] = logits[best];
    shared += logits[best];
  }
  float whole = m->whole ? shared + 0.0f * total : total; /* An expert that is not picked may be broken. */
  for (int64_t p = 0; p < P; p++) shares[p] /= whole;
}

/* Rows in the order of their experts, and of the step within one. */
static void by_expert(const Mixture *m, int64_t N, Room room) {
  int64_t X = m->n_experts, S = N * m->n_picked;
  memset(room.ends, 0, (size_t)X * sizeof(int32_t));
  for (int64_t i = 0; i < S; i++) room.ends[room.picks[i]]++;
  int32_t first = 0;
  for (int64_t e = 0; e < X; e++) {
    int32_t count = room.ends[e];
    room.ends[e] = first; /* Counted up to its end below. */
    first += count;
  }
  for (int64_t i = 0; i < S; i++) {
    int32_t at = room.ends[room.picks[i]]++;
    room.rows[at] = (int32_t)(i / m->n_picked);
    room.sorted_shares[at] = room.shares[i];
  }
}

/* Which adapters the rows of one expert go through; returns the number of spans. */
static int64_t spans_of(int64_t n, const int32_t *rows, int64_t n_spans, const Span *spans, Span *found) {
  int64_t s = 0, count = 0;
  for (int64_t i = 0; i < n; i++) {
    while (s + 1 < n_spans && rows[i] >= spans[s].first_row + spans[s].n_rows) s++;
    if (count && found[count - 1].adapter == spans[s].adapter)
      found[count - 1].n_rows++;
    else
      found[count++] = (Span){i, 1, 0, 0, spans[s].adapter};
  }
  return count;
}

/* y = the answers of the experts that each row of x goes to, added up in their order. */
static void mixture(const Mixture *m, const Linear *router, const FeedForward *experts, int64_t N, const float *x,
                    float *y, int64_t layer, int64_t n_spans, const Span *spans, float *big, float *low, Room room) {
  int64_t D = router->inputs, first = 0;
  linear(router, N, x, room.logits);
  for (int64_t n = 0; n < N; n++)
    pick(m, room.logits + n * m->n_experts, room.shares + n * m->n_picked, room.picks + n * m->n_picked);
  by_expert(m, N, room);
  memset(y, 0, (size_t)(N * D) * sizeof(float));
  for (int64_t e = 0; e < m->n_experts; e++) {
    int64_t n = room.ends[e] - first;
    const int32_t *rows = room.rows + first;
    const float *shares = room.sorted_shares + first;
    first += n;
    if (n == 0) continue;
    for (int64_t i = 0; i < n; i++) memcpy(room.x + i * D, x + rows[i] * D, (size_t)D * sizeof(float));
    int64_t n_found = spans_of(n, rows, n_spans, spans, room.spans);
    feed_forward(experts + e, n, room.x, room.y, layer, SITES + 2 * e, n_found, room.spans, big, low);
    for (int64_t i = 0; i < n; i++)
      for (int64_t d = 0; d < D; d++) y[rows[i] * D + d] += shares[i] * room.y[i * D + d];
  }
}

#endif
