/* Low-rank deltas of many adapters on the rows of a step. Layouts are those of nn/adapter_table.py.
 *
 * Legend: N rows, K inputs, R rank. */
#ifndef MODISTE_DELTAS_H
#define MODISTE_DELTAS_H

#include "linear.h"

/* Outputs [first, first + outputs) see ranks [first_rank, first_rank + rank). */
typedef struct {
  int64_t first, outputs, first_rank, rank;
  const void *up; /* [outputs/16][rank][16], the scale folded in */
} Segment;

typedef struct {
  int64_t rank;      /* of all segments; 0 where the adapter leaves the site alone */
  const void *down; /* [R/16][inputs][16] */
  int64_t n_segments;
  const Segment *segments;
  int64_t kind; /* FP32, or BF16 with neighbouring inputs together, as in Linear */
} Site;

/* Columns of a layer's sites; behind them lie GATE_UP and DOWN of each expert. */
enum { QKV, O, GATE_UP, DOWN, SITES };

typedef struct {
  int64_t columns, widest_rank;
  const Site *sites; /* [n_layers][columns]; later columns it leaves alone */
} Adapter;

typedef struct {
  int64_t first_row, n_rows, first_cell, length;
  const Adapter *adapter; /* or NULL */
} Span;

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t widest_rank(int64_t n_spans, const Span *spans) {
  int64_t rank = 0;
  for (int64_t s = 0; s < n_spans; s++)
    if (spans[s].adapter) rank = most(rank, spans[s].adapter->widest_rank);
  return (rank + PANEL - 1) / PANEL * PANEL;
}

static void low_rank(int64_t kind, int64_t N, int64_t K, const float *x, int64_t ldx, const void *panels, Out out) {
  if (kind == BF16)
    product_bf16(N, K, x, ldx, panels, out);
  else
    product(N, K, x, ldx, (Panels){panels, PANEL, K * PANEL}, out);
}

/* y += the deltas of x, for all rows; neighbours with the same adapter go together. */
static void add_deltas(int64_t layer, int64_t column, int64_t n_spans, const Span *spans, const float *x, int64_t inputs, float *y, int64_t outputs, float *low) {
  for (int64_t s = 0; s < n_spans;) {
    const Adapter *adapter = spans[s].adapter;
    int64_t first = spans[s].first_row, rows = 0;
    for (; s < n_spans && spans[s].adapter == adapter; s++) rows += spans[s].n_rows;
    if (adapter == NULL || column >= adapter->columns) continue;
    const Site *delta = adapter->sites + layer * adapter->columns + column;
    if (delta->rank == 0) continue;
    int64_t width = (delta->rank + PANEL - 1) / PANEL * PANEL;
    Out to_low = {low, width, width, NULL, 0};
    low_rank(delta->kind, rows, inputs, x + first * inputs, inputs, delta->down, to_low);
    for (int64_t i = 0; i < delta->n_segments; i++) {
      const Segment *segment = delta->segments + i;
      Out to = {y + first * outputs + segment->first, outputs, segment->outputs, NULL, 1};
      low_rank(delta->kind, rows, segment->rank, low + segment->first_rank, width, segment->up, to);
    }
  }
}

#endif
