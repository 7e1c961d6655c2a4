// Products by tile registers (AMX): 32 rows by 32 columns of C in four tiles, so that four loads feed four
// multiplications. A tile of A is 16 rows of 16 pairs, one of B 16 pairs of 16 columns.
#include "model/kernels/amx_tiles.hpp"
#include "model/kernels/bf16_panels.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {
namespace {

constexpr std::int64_t kSide = kTileSide;
constexpr std::int64_t kTileElements = 2 * kSide * kSide;
constexpr std::int64_t kHalf = 2 * kSide;                           // columns of C in tiles at once
constexpr std::int64_t kRowBytes = 64;                              // of a packed tile: a line of the caches
constexpr std::int64_t kHalfLines = kSide * kHalf * 4 / kRowBytes;  // of half a panel, 16 pairs deep
constexpr std::int64_t kDepth = 288;  // pairs: half a panel of them, 36 KiB, stays in the first cache

/// A panel is two halves of 32 columns, one after the other, each [pairs / 16][2][16][16]: what is read in turn lies in
/// turn, and a half spreads over all sets of the first cache.
struct Halves {
  static constexpr std::int64_t pair_multiple = kSide;
  static std::int64_t at(std::int64_t pair, std::int64_t column, std::int64_t pairs) {
    return column / kHalf * pairs * kHalf + pair / kSide * (kHalf * kSide) + column % kHalf / kSide * (kSide * kSide) +
           pair % kSide * kSide;
  }
};

/// Tiles [x.columns / 16][pairs / 16][16 columns][16 pairs]. Two tiles of 32 columns are transposed at once.
void tiles_from_columns(const Bf16Matrix& x, Bf16* tiles) {
  auto* out = reinterpret_cast<Unit*>(tiles);
  const std::int64_t pairs = round_up((x.rows + 1) / 2, kSide), tile_step = pairs * kSide;
  for (std::int64_t pair = 0; pair < pairs; pair += kSide) {
    for (std::int64_t column = 0; column < x.columns; column += kHalf) {
      const __mmask32 words = first_words(x.columns - column);
      __m512i low[kSide], high[kSide];
      for (std::int64_t i = 0; i < kSide; ++i) {
        const std::int64_t row = 2 * (pair + i);
        const Bf16* even = x.data + row * x.step + column;
        prefetch(even + kHalf * x.step);
        prefetch(even + (kHalf + 1) * x.step);
        const __m512i top = _mm512_maskz_loadu_epi16(row < x.rows ? words : 0, even);
        const __m512i bottom = _mm512_maskz_loadu_epi16(row + 1 < x.rows ? words : 0, even + x.step);
        low[i] = _mm512_unpacklo_epi16(top, bottom);
        high[i] = _mm512_unpackhi_epi16(top, bottom);
      }
      Avx512::transpose(low);
      Avx512::transpose(high);
      // Of each eight columns the first four are in `low`.
      Unit* tile = out + column / kSide * tile_step + pair / kSide * (kSide * kSide);
      for (std::int64_t i = 0; i < kSide; ++i) {
        const std::int64_t at = i / 4 * 8 + i % 4;
        if (at >= kSide && column + kSide >= x.columns) break;
        Unit* to = tile + at / kSide * tile_step + at % kSide * kSide;
        _mm512_storeu_si512(to, low[i]);
        _mm512_storeu_si512(to + 4 * kSide, high[i]);
      }
    }
  }
}

/// Where the tiles of some rows of A lie.
struct Left {
  const Bf16* data;
  std::int64_t row_bytes;  // between rows of a tile
  std::int64_t below;      // elements to the 16 rows below
  std::int64_t next;       // elements to the next 16 pairs
};

/// Lines, one after the other, that come into the second cache while products are summed: `count` with each 16 pairs,
/// without a branch that the processor could not foresee: one taken for another costs more than what it fetched.
class Ahead {
 public:
  Ahead() = default;
  Ahead(const Bf16* first, std::int64_t count) : line_(reinterpret_cast<const char*>(first)), count_(count) {}

  void step() {
    for (std::int64_t i = 0; i < count_; ++i) _mm_prefetch(line_ + i * kRowBytes, _MM_HINT_T1);
    line_ += count_ * kRowBytes;
  }

 private:
  const char* line_ = nullptr;
  std::int64_t count_ = 0;
};

constexpr std::int64_t kMostLines = 8;  // that an Ahead brings with one step: more wait for each other

/// Where sums of 16 or 32 rows by 32 columns are kept.
struct Sums {
  float* data;
  std::int64_t row;  // elements between rows
  bool first;        // they begin; else they are taken up
};

inline __m512 bias_of(const Bf16* bias, __mmask32 columns) {
  return bias == nullptr ? _mm512_setzero_ps()
                         : bf16_to_float(_mm256_maskz_loadu_epi16(static_cast<__mmask16>(columns), bias));
}

/// Finished sums that wait to be rounded to C, a few rows with each step of the products that follow: at once, they
/// would wait for the last products, and the next for them.
class Rounding {
 public:
  Rounding() = default;
  Rounding(const Product& p, std::int64_t row, std::int64_t rows, std::int64_t column, const float* sums,
           std::int64_t sums_row)
      : columns_(first_words(p.columns - column)),
        sums_(sums),
        sums_row_(sums_row),
        c_(p.c + row * p.c_row + column),
        c_row_(p.c_row),
        rows_(rows) {
    const Bf16* bias = p.bias == nullptr ? nullptr : p.bias + column;
    left_bias_ = bias_of(bias, columns_);
    right_bias_ = bias_of(bias == nullptr ? nullptr : bias + kLanes, columns_ >> kLanes);
    // Whole lines of a large C go to memory at once: read first, as a cache would, they cost as much as the sums.
    const auto place = reinterpret_cast<std::uintptr_t>(c_) | static_cast<std::uintptr_t>(p.c_row * 2);
    lines_ = p.c_is_large && columns_ == first_words(kHalf) && place % 64 == 0;
  }

  std::int64_t rows() const { return rows_; }

  void some(std::int64_t count) {
    for (std::int64_t r = 0; r < count; ++r, sums_ += sums_row_, c_ += c_row_) {
      const __m512 left = _mm512_add_ps(_mm512_loadu_ps(sums_), left_bias_);
      const __m512 right = _mm512_add_ps(_mm512_loadu_ps(sums_ + kLanes), right_bias_);
      const auto rounded = (__m512i)_mm512_cvtne2ps_pbh(right, left);
      lines_ ? _mm512_stream_si512(reinterpret_cast<__m512i*>(c_), rounded)
             : _mm512_mask_storeu_epi16(c_, columns_, rounded);
    }
    rows_ -= count;
  }
  void rest() { some(rows_); }

 private:
  __m512 left_bias_ = _mm512_setzero_ps(), right_bias_ = _mm512_setzero_ps();
  __mmask32 columns_ = 0;
  bool lines_ = false;
  const float* sums_ = nullptr;
  std::int64_t sums_row_ = 0;
  Bf16* c_ = nullptr;
  std::int64_t c_row_ = 0, rows_ = 0;
};

/// What is done beside the products.
struct Beside {
  Ahead ahead;
  Rounding rounding;
};

/// sums[16 or 32, 32] (+)= A B over `steps` times 16 pairs; B is half a panel.
template <int kTall>
inline void sum_tiles(const Left& a, const Bf16* b, std::int64_t steps, const Sums& sums, Beside& beside) {
  const std::int64_t bytes = sums.row * 4;
  float *top = sums.data, *bottom = top + kSide * sums.row;
  memory_is_written();
  if (sums.first) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kTall == 2) {
      _tile_zero(2);
      _tile_zero(3);
    }
  } else {
    _tile_loadd(0, top, bytes);
    _tile_loadd(1, top + kSide, bytes);
    if constexpr (kTall == 2) {
      _tile_loadd(2, bottom, bytes);
      _tile_loadd(3, bottom + kSide, bytes);
    }
  }
  const Bf16* left = a.data;
  Ahead ahead = beside.ahead;  // in registers
  // Loads one after the other: on a core that another thread keeps busy, changing from loads to products costs both.
  // A streams past the first cache, in which B is to stay.
  const auto multiply_step = [&] {
    ahead.step();
    _tile_stream_loadd(4, left, a.row_bytes);
    if constexpr (kTall == 2) _tile_stream_loadd(5, left + a.below, a.row_bytes);
    _tile_loadd(6, b, kRowBytes);
    _tile_loadd(7, b + kTileElements, kRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTall == 2) {
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    left += a.next;
    b += 2 * kTileElements;
  };
  Rounding rounding = beside.rounding;
  const std::int64_t share = (rounding.rows() + steps - 1) / steps;
  std::int64_t step = 0;
  for (; rounding.rows() > share; ++step) {
    multiply_step();
    rounding.some(share);
  }
  rounding.rest();
  for (; step < steps; ++step) multiply_step();
  beside = {ahead, Rounding()};
  _tile_stored(0, top, bytes);
  _tile_stored(1, top + kSide, bytes);
  if constexpr (kTall == 2) {
    _tile_stored(2, bottom, bytes);
    _tile_stored(3, bottom + kSide, bytes);
  }
}

/// At most 32 rows of `words` words, and zeros, as two tiles after the other two for each 16 pairs.
inline void stage(const Bf16* a, std::int64_t a_row, std::int64_t rows, std::int64_t words, Bf16* tiles) {
  for (std::int64_t word = 0; word < words; word += kHalf) {
    const __mmask32 real = first_words(words - word);
    for (std::int64_t r = 0; r < kHalf; ++r, tiles += kHalf) {
      const bool there = r < rows;
      _mm512_storeu_si512(tiles, _mm512_maskz_loadu_epi16(there ? real : 0, a + (there ? r * a_row + word : 0)));
    }
  }
}

/// Sums of `rows` (at most 32) rows from `row` on against half a panel.
void sum_rows(const Product& p, std::int64_t row, std::int64_t rows, const Bf16* b, const Sums& sums, Beside& beside) {
  const auto sum = rows > kSide ? sum_tiles<2> : sum_tiles<1>;
  const std::int64_t padded = round_up(p.pairs, kSide);
  if (p.a_row == 0) {
    const Bf16* tiles = p.a + (row / kSide * padded + p.begin) * (2 * kSide);
    const std::int64_t steps = (round_up(p.end, kSide) - p.begin) / kSide;
    return sum({tiles, kRowBytes, padded * 2 * kSide, kTileElements}, b, steps, sums, beside);
  }
  // Tiles that would reach beyond the rows or the columns of A are put together elsewhere.
  const Bf16* a = p.a + row * p.a_row;
  const std::int64_t direct = rows % kSide == 0 ? (p.end - p.begin) / kSide : 0, staged = p.begin + direct * kSide;
  if (direct > 0) {
    sum({a + 2 * p.begin, p.a_row * 2, kSide * p.a_row, 2 * kSide}, b, direct, sums, beside);
  }
  if (staged == p.end) return;
  alignas(64) Bf16 tiles[kDepth / kSide * 2 * kTileElements];
  stage(a + 2 * staged, p.a_row, rows, 2 * (p.end - staged), tiles);
  sum({tiles, kRowBytes, kTileElements, 2 * kTileElements}, b + direct * 2 * kTileElements,
      (round_up(p.end, kSide) - staged) / kSide, {sums.data, sums.row, sums.first && direct == 0}, beside);
}

void multiply(const Product& p) {
  alignas(64) float finished[kHalf * kHalf];
  const bool first = p.begin == 0, last = p.end == p.pairs;
  const std::int64_t pairs = round_up(p.pairs, kSide), blocks = round_up(p.rows, kHalf) / kHalf;
  // Each block fetches its share of the half panel that comes next.
  const std::int64_t b_lines = least(kMostLines, (kHalfLines + blocks - 1) / blocks);
  Beside beside;
  for (std::int64_t column = 0; column < p.columns; column += kHalf) {
    const auto half = [&](const Bf16* panel, std::int64_t at) { return panel + 2 * Halves::at(p.begin, at, pairs); };
    const Bf16* b = half(p.b, column);
    const Bf16* next = p.next_b == nullptr ? nullptr : half(p.next_b, 0);
    if (column + kHalf < p.columns) next = half(p.b, column + kHalf);
    beside.ahead = next == nullptr ? Ahead() : Ahead(next, b_lines);
    for (std::int64_t row = 0; row < p.rows; row += kHalf) {
      const std::int64_t rows = least(kHalf, p.rows - row);
      Sums sums{p.partial + row * kPanelColumns + column, kPanelColumns, first};
      if (first && last) sums = {finished, kHalf, true};
      sum_rows(p, row, rows, b, sums, beside);
      if (last) beside.rounding = Rounding(p, row, rows, column, sums.data, sums.row);
    }
  }
  beside.rounding.rest();
}

void end() {
  _mm_sfence();  // whoever reads C next finds what went past the caches
  TileRegisters::release();
}

}  // namespace

const ProductKernels amx_bf16_products{
    {.tile_rows = kHalf, .pair_multiple = kSide, .depth = kDepth, .slice_rows = 256, .group_bytes = 800 << 10},
    panel_from_rows<Halves>,
    panel_from_columns<Halves>,
    tiles_from_columns,
    TileRegisters::take,
    end,
    multiply};

}  // namespace autoround::model::kernels
