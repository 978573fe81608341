/* Whole-number products in AMX tiles: 32 rows by 32 outputs at a time. Included by whole.h.
 *
 * Panels of INT8 are laid so that 64 inputs of 16 outputs are one tile. */

typedef struct __attribute__((packed)) {
  uint8_t palette, start, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} TileShapes;

/* Tiles 0 1 / 2 3 sum up, 4 and 5 hold rows, 6 and 7 weights. */
static void shape_tiles(int64_t upper, int64_t lower) {
  TileShapes shapes = {.palette = 1};
  int64_t rows[8] = {upper, upper, lower, lower, upper, lower, 16, 16};
  for (int i = 0; i < 8; i++) {
    shapes.row_bytes[i] = 64;
    shapes.rows[i] = (uint8_t)(rows[i] ? rows[i] : 16);
  }
  _tile_loadconfig(&shapes);
}

INLINE void multiply_tiles(int lower, int right, int64_t width, const uint8_t *q, const int8_t *w, int32_t *sums) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < width; k += BLOCK) {
    _tile_loadd(6, w + k * PANEL, 64);
    _tile_loadd(4, q + k, width);
    _tile_dpbusd(0, 4, 6);
    if (right) {
      _tile_loadd(7, w + (width + k) * PANEL, 64);
      _tile_dpbusd(1, 4, 7);
    }
    if (lower) {
      _tile_loadd(5, q + 16 * width + k, width);
      _tile_dpbusd(2, 5, 6);
      if (right) _tile_dpbusd(3, 5, 7);
    }
  }
  _tile_stored(0, sums, 128);
  if (right) _tile_stored(1, sums + 16, 128);
  if (lower) _tile_stored(2, sums + 16 * 32, 128);
  if (lower && right) _tile_stored(3, sums + 16 * 32 + 16, 128);
}

static void tiles_int8(int64_t N, const Linear *w, const uint8_t *q, int64_t width, const float *scales, Out out) {
  int64_t count = (out.outputs + PANEL - 1) / PANEL;
  int32_t sums[32 * 32];
  for (int64_t n = 0; n < N; n += 32) {
    int64_t rows = N - n < 32 ? N - n : 32;
    shape_tiles(rows < 16 ? rows : 16, rows > 16 ? rows - 16 : 0);
    for (int64_t panel = 0; panel < count; panel += 2) {
      const int8_t *at = (const int8_t *)w->panels + panel * width * PANEL;
      int right = panel + 1 < count;
      if (rows > 16)
        multiply_tiles(1, right, width, q + n * width, at, sums);
      else
        multiply_tiles(0, right, width, q + n * width, at, sums);
      for (int64_t r = 0; r < rows; r++)
        for (int p = 0; p <= right; p++)
          put_whole(w, out, n + r, (panel + p) * PANEL, scales[n + r], *(ivec *)(sums + r * 32 + p * PANEL));
    }
  }
  _tile_release();
}
