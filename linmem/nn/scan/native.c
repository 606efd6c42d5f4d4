/* The time loops of the fused scan as one call each, float32; compiled_library.py compiles this on first use.
 *
 * A product of n rows with a weight runs over panels of NR outputs, packed as (panel, input, NR), and keeps a tile of
 * rows x NR outputs in registers. Sequences are independent, so a caller may give each thread some rows of every step.
 * Blocks and symbols are those of chunks.py and loops.py.
 */
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define VECTORS 2
#define TILE 10 /* gcc keeps 20 sums in registers; with 11 or 12 rows the products were a fifth slower */
#elif defined(__AVX__)
#define LANES 8
#define VECTORS 2
#define TILE 6
#else
#define LANES 4
#define VECTORS 4
#define TILE 6
#endif
#define NR (LANES * VECTORS)

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t whole __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

int lmn_panel(void) { return NR; }

/* rows x (panels * NR) outputs from one row tile; rows and panels are constants at each call below */
static inline __attribute__((always_inline)) void tile(
    const int rows, const int panels, int64_t inputs, const float *z, int64_t z_stride, const float *packed,
    const float *bias, float *out, int64_t out_stride, int64_t width) {
    lanes sum[TILE][4 * VECTORS];
#pragma GCC unroll 16
    for (int v = 0; v < panels * VECTORS; v++) {
        lanes start = {0};
        if (bias) start = *(const lanes *)(bias + v * LANES);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) sum[r][v] = start;
    }
    for (int64_t k = 0; k < inputs; k++) {
#pragma GCC unroll 16
        for (int v = 0; v < panels * VECTORS; v++) {
            const float *w = packed + (v / VECTORS) * inputs * NR + k * NR + (v % VECTORS) * LANES;
            const lanes weight = *(const lanes *)w;
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) sum[r][v] += z[r * z_stride + k] * weight;
        }
    }
    if (width >= panels * NR) {
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
            for (int v = 0; v < panels * VECTORS; v++) *(lanes *)(out + r * out_stride + v * LANES) = sum[r][v];
    } else {
        float line[4 * NR];
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
#pragma GCC unroll 16
            for (int v = 0; v < panels * VECTORS; v++) *(lanes *)(line + v * LANES) = sum[r][v];
            memcpy(out + r * out_stride, line, width * sizeof(float));
        }
    }
}

/* out = z W' + bias; bias is padded to whole panels */
static void product(
    int64_t rows, int64_t inputs, int64_t outputs, const float *z, int64_t z_stride, const float *packed,
    const float *bias, float *out, int64_t out_stride) {
    const int64_t tiles = (rows + TILE - 1) / TILE;
    int64_t j = 0;
#define AT(R, P) tile(R, P, inputs, z + r * z_stride, z_stride, packed + j * inputs, bias ? bias + j : 0, \
                      out + r * out_stride + j, out_stride, outputs - j)
    if (rows == 1)
        for (; j + 3 * NR < outputs; j += 4 * NR) { const int64_t r = 0; AT(1, 4); }
    else if (rows <= 3)
        for (; j + NR < outputs; j += 2 * NR) {
            const int64_t r = 0;
            if (rows == 2) AT(2, 2); else AT(3, 2);
        }
    for (; j < outputs; j += NR) {
        int64_t r = 0;
        for (int64_t i = 0; i < tiles; i++) {
            const int64_t n = (rows - r + tiles - i - 1) / (tiles - i);
            switch (n) {
                case 1: AT(1, 1); break;
                case 2: AT(2, 1); break;
                case 3: AT(3, 1); break;
                case 4: AT(4, 1); break;
                case 5: AT(5, 1); break;
                case 6: AT(6, 1); break;
#if TILE == 10
                case 7: AT(7, 1); break;
                case 8: AT(8, 1); break;
                case 9: AT(9, 1); break;
                case 10: AT(10, 1); break;
#endif
            }
            r += n;
        }
    }
#undef AT
}

static inline lanes all(float value) { return value - (lanes){0}; }

static inline lanes choose(whole mask, lanes yes, lanes no) { return (lanes)((mask & (whole)yes) | (~mask & (whole)no)); }

/* e^x - 1 for x <= 0, by 2^n times the Taylor polynomial of e^r - 1, |r| <= ln 2 / 2, plus 2^n - 1 */
static inline lanes exponential_less_one(lanes x) {
    x = choose(x < -87.0f, all(-87.0f), x);
    const whole n = __builtin_convertvector(x * 1.44269504f - 0.5f, whole);
    const lanes steps = __builtin_convertvector(n, lanes), power = (lanes)((n + 127) << 23);
    const lanes r = (x - steps * 0.693145752f) - steps * 1.42860677e-6f;
    lanes y = r * (1.0f / 5040.0f) + 1.0f / 720.0f;
    y = y * r + 1.0f / 120.0f;
    y = y * r + 1.0f / 24.0f;
    y = y * r + 1.0f / 6.0f;
    y = y * r + 0.5f;
    y = y * r + 1.0f;
    return y * r * power + (power - 1.0f);
}

/* tanh |x| = -d / (2 + d) with d = e^(-2|x|) - 1, accurate near 0 too */
static inline lanes hyperbolic_tangent(lanes x) {
    const lanes less = exponential_less_one(choose(x < 0.0f, 2.0f * x, -2.0f * x));
    const lanes size = -less / (2.0f + less);
    return choose(x < 0.0f, -size, size);
}

static inline __attribute__((always_inline)) lanes sigma(const int64_t kind, lanes v) {
    switch (kind) {
        case 0: return hyperbolic_tangent(v);
        case 1: return choose(v < 0.0f, all(0.0f), v);
        case 2: {
            const lanes low = 1.75809934f * exponential_less_one(choose(v > 0.0f, all(0.0f), v));
            return choose(v > 0.0f, 1.05070099f * v, low);
        }
        default: return v;
    }
}

static inline __attribute__((always_inline)) void apply(const int64_t kind, int64_t n, float *h, const float *x) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) *(lanes *)(h + i) = sigma(kind, *(lanes *)(h + i) + *(const lanes *)(x + i));
    if (i < n) {
        float line[LANES] = {0}, more[LANES] = {0};
        memcpy(line, h + i, (n - i) * sizeof(float));
        memcpy(more, x + i, (n - i) * sizeof(float));
        *(lanes *)line = sigma(kind, *(lanes *)line + *(lanes *)more);
        memcpy(h + i, line, (n - i) * sizeof(float));
    }
}

/* h = sigma(h + x) */
static void nonlinear(int64_t kind, int64_t n, float *h, const float *x) {
    switch (kind) {
        case 0: apply(0, n, h, x); break;
        case 1: apply(1, n, h, x); break;
        case 2: apply(2, n, h, x); break;
        default: apply(3, n, h, x);
    }
}

/* loops.forward for rows first..last of every step; sizes has the rows of each step */
void lmn_forward(
    int64_t kind, int64_t steps, const int64_t *sizes, int64_t first, int64_t last, int64_t f, int64_t p,
    const float *projected, float *blocks, const float *packed, const float *bias) {
    const int64_t width = p + f;
    int64_t block_rows = sizes[0];
    for (int64_t t = 0; t < steps; t++) {
        const int64_t end = last < sizes[t] ? last : sizes[t];
        float *next = blocks + block_rows * width;
        if (first < end) {
            for (int64_t r = first; r < end; r++) nonlinear(kind, f, blocks + r * width + p, projected + r * f);
            product(end - first, width, width, blocks + first * width, width, packed, bias, next + first * width, width);
        }
        projected += sizes[t] * f;
        blocks = next;
        block_rows = sizes[t];
    }
}

/* loops.backward likewise; blocks is the last block, blocks_rows its rows, and space (rows of step 0, p + f) */
void lmn_backward(
    int64_t steps, const int64_t *sizes, int64_t first, int64_t last, int64_t f, int64_t p,
    const float *grad_hidden_end, float *last_block, const float *packed, float *space) {
    const int64_t width = p + f;
    float *after = last_block;
    const float *outside = grad_hidden_end;
    for (int64_t t = steps - 1; t >= 0; t--) {
        const int64_t end = last < sizes[t] ? last : sizes[t];
        float *block = after - (t ? sizes[t - 1] : sizes[0]) * width;
        if (outside) outside -= sizes[t] * f;
        if (first < end) {
            product(end - first, width, width, after + first * width, width, packed, 0, space + first * width, width);
            for (int64_t r = first; r < end; r++) {
                float *restrict d = block + r * width;
                const float *restrict g = space + r * width;
                for (int64_t i = 0; i < p; i++) d[i] += g[i];
                if (outside)
                    for (int64_t i = 0; i < f; i++) d[p + i] *= g[p + i] + outside[r * f + i];
                else
                    for (int64_t i = 0; i < f; i++) d[p + i] *= g[p + i];
            }
        }
        after = block;
    }
}

/* out += W m for one row of a diagonal memory: own is the diagonal of W, other the entries next to it, by row */
static inline void add_decayed(
    int64_t p, float *restrict out, const float *restrict m, const float *restrict own, const float *restrict other) {
    int64_t i = 0;
    for (; i + 1 < p; i += 2) {
        const float a = m[i], b = m[i + 1];
        out[i] += own[i] * a + other[i] * b;
        out[i + 1] += own[i + 1] * b + other[i + 1] * a;
    }
    if (i < p) out[i] += own[i] * m[i];
}

/* loops.forward_diagonal for rows first..last of every step; hidden holds x^ on entry and h on exit */
void lmn_diagonal_forward(
    int64_t kind, int64_t steps, const int64_t *sizes, int64_t first, int64_t last, int64_t f, int64_t p,
    const float *before, float *memory, float *hidden, const float *packed_mh, const float *packed_hm,
    const float *bias, const float *own, const float *other, float *space) {
    for (int64_t t = 0; t < steps; t++) {
        const int64_t end = last < sizes[t] ? last : sizes[t];
        if (first < end) {
            product(end - first, p, f, before + first * p, p, packed_mh, 0, space + first * f, f);
            for (int64_t r = first; r < end; r++) nonlinear(kind, f, hidden + r * f, space + r * f);
            product(end - first, f, p, hidden + first * f, f, packed_hm, bias, memory + first * p, p);
            for (int64_t r = first; r < end; r++) add_decayed(p, memory + r * p, before + r * p, own, other);
        }
        before = memory;
        memory += sizes[t] * p;
        hidden += sizes[t] * f;
    }
}

/* loops.backward_diagonal likewise; the arrays of all steps are given by their ends */
void lmn_diagonal_backward(
    int64_t steps, const int64_t *sizes, int64_t first, int64_t last, int64_t f, int64_t p,
    const float *grad_hidden_end, float *delta_before, float *delta_memory_end, float *delta_end,
    const float *packed_hm, const float *packed_mh, const float *own, const float *other, float *space_h,
    float *space_m) {
    const float *outside = grad_hidden_end;
    float *dm = delta_memory_end, *dv = delta_end;
    for (int64_t t = steps - 1; t >= 0; t--) {
        const int64_t end = last < sizes[t] ? last : sizes[t];
        dm -= sizes[t] * p;
        dv -= sizes[t] * f;
        if (outside) outside -= sizes[t] * f;
        float *target = t ? dm - sizes[t - 1] * p : delta_before;
        if (first >= end) continue;
        product(end - first, p, f, dm + first * p, p, packed_hm, 0, space_h + first * f, f);
        for (int64_t r = first; r < end; r++) {
            float *restrict d = dv + r * f;
            const float *restrict g = space_h + r * f;
            if (outside)
                for (int64_t i = 0; i < f; i++) d[i] *= g[i] + outside[r * f + i];
            else
                for (int64_t i = 0; i < f; i++) d[i] *= g[i];
        }
        product(end - first, f, p, dv + first * f, f, packed_mh, 0, space_m + first * p, p);
        for (int64_t r = first; r < end; r++) {
            float *restrict d = target + r * p;
            const float *restrict g = space_m + r * p;
            for (int64_t i = 0; i < p; i++) d[i] += g[i];
            add_decayed(p, d, dm + r * p, own, other);
        }
    }
}
