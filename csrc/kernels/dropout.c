/* Dropout from Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), and by a mask from
 * MT19937 (Matsumoto and Nishimura, "Mersenne twister", 1998), the generator of `np.random.seed`.
 *
 * The mask depends on seed, offset and position alone: not on the element type, the vector width or the threads.
 * Precision: one multiplication in real_t. NaN and infinity at dropped places give NaN, as x * 0 does.
 */
#include "fnn.h"
#include "kernel.h"

enum { BLOCKS = FNN_DROPOUT_CHUNK / 8 }; /* a block gives four words, eight 16-bit numbers */

/* Numbers of 64 bits, of which the lower half counts: the product of two is what a multiplication of Philox needs. */
typedef uint64_t wide_t __attribute__((vector_size(FNN_VBYTES)));
typedef uint32_t words_t __attribute__((vector_size(FNN_VBYTES)));
typedef uint16_t halves_t __attribute__((vector_size(FNN_VBYTES / 2)));
enum { WORDS = FNN_VBYTES / 4 };

INLINE wide_t product(wide_t a, uint32_t b)
{
#ifdef FNN_X86
    return (wide_t)X86_PASTE(X86_PREFIX, mul, epu32)((X86_INTEGERS)a, (X86_INTEGERS)((wide_t){0} + b));
#else
    return (a & 0xFFFFFFFFu) * b;
#endif
}

struct philox {
    wide_t c0, c1, c2, c3;
};

INLINE void philox_round(struct philox *p, uint32_t k0, uint32_t k1)
{
    wide_t p0 = product(p->c0, 0xD2511F53u), p1 = product(p->c2, 0xCD9E8D57u);
    *p = (struct philox){(p1 >> 32) ^ p->c1 ^ k0, p1, (p0 >> 32) ^ p->c3 ^ k1, p0};
}

/* The lower and upper halves of the words of blocks with even and odd numbers, in the order of the blocks. */
INLINE void put_halves(uint16_t *lower, uint16_t *upper, wide_t even, wide_t odd)
{
    words_t words = (words_t)((even & 0xFFFFFFFFu) | (odd << 32));
    halves_t low = __builtin_convertvector(words & 0xFFFFu, halves_t);
    halves_t high = __builtin_convertvector(words >> 16, halves_t);
    memcpy(lower, &low, sizeof low);
    memcpy(upper, &high, sizeof high);
}

/* bits[h * BLOCKS + b]: half-word h of block b of the chunk. */
static void draw(uint16_t *bits, uint64_t chunk, uint64_t seed, uint64_t offset)
{
    const uint64_t first = chunk * BLOCKS;
    for (uint32_t b = 0; b < BLOCKS; b += WORDS) {
        static const uint64_t steps[] = {0, 2, 4, 6, 8, 10, 12, 14};
        wide_t zero = {0}, numbers;
        memcpy(&numbers, steps, sizeof numbers);
        numbers += (first & 0xFFFFFFFFu) + b;
        struct philox even = {numbers, zero + (first >> 32), zero + (offset & 0xFFFFFFFFu), zero + (offset >> 32)};
        struct philox odd = even;
        odd.c0 += 1;
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        for (int round = 0; round < 10; round++) {
            philox_round(&even, k0, k1);
            philox_round(&odd, k0, k1);
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        put_halves(bits + 0 * BLOCKS + b, bits + 1 * BLOCKS + b, even.c0, odd.c0);
        put_halves(bits + 2 * BLOCKS + b, bits + 3 * BLOCKS + b, even.c1, odd.c1);
        put_halves(bits + 4 * BLOCKS + b, bits + 5 * BLOCKS + b, even.c2, odd.c2);
        put_halves(bits + 6 * BLOCKS + b, bits + 7 * BLOCKS + b, even.c3, odd.c3);
    }
}

INLINE size_t chunk_size(size_t chunk, size_t size)
{
    size_t left = size - chunk * FNN_DROPOUT_CHUNK;
    return left < FNN_DROPOUT_CHUNK ? left : FNN_DROPOUT_CHUNK;
}

void FNN_NAME(dropout_bits)(uint16_t *bits, size_t size, uint64_t seed, uint64_t offset, size_t begin, size_t end)
{
    for (size_t c = begin; c < end; c++) {
        uint16_t drawn[FNN_DROPOUT_CHUNK];
        draw(drawn, c, seed, offset);
        memcpy(bits + c * FNN_DROPOUT_CHUNK, drawn, chunk_size(c, size) * sizeof *bits);
    }
}

void FNN_NAME(dropout)(const real_t *x, real_t *y, size_t size, uint32_t threshold, double scale, uint64_t seed,
                       uint64_t offset, size_t begin, size_t end)
{
    for (size_t c = begin; c < end; c++) {
        uint16_t bits[FNN_DROPOUT_CHUNK];
        const real_t *xs = x + c * FNN_DROPOUT_CHUNK;
        const real_t kept = R(scale);
        real_t factors[FNN_DROPOUT_CHUNK], *ys = y + c * FNN_DROPOUT_CHUNK;
        size_t count = chunk_size(c, size);
        draw(bits, c, seed, offset);
        for (size_t i = 0; i < FNN_DROPOUT_CHUNK; i++)
            factors[i] = bits[i] >= threshold ? kept : 0;
        FOR_VECTORS(i, n, 0, count, { vec_put(ys + i, vec_get(xs + i, n, 0) * vec_load(factors + i), n); })
    }
}

enum { MT_WORDS = 624, MT_AHEAD = 397 };

INLINE uint32_t mt_next(uint32_t high, uint32_t low, uint32_t ahead)
{
    uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return ahead ^ (y >> 1) ^ (-(y & 1) & 0x9908b0dfu);
}

static void mt_refill(uint32_t *key)
{
    for (int i = 0; i < MT_WORDS - MT_AHEAD; i++)
        key[i] = mt_next(key[i], key[i + 1], key[i + MT_AHEAD]);
    for (int i = MT_WORDS - MT_AHEAD; i < MT_WORDS - 1; i++)
        key[i] = mt_next(key[i], key[i + 1], key[i + MT_AHEAD - MT_WORDS]);
    key[MT_WORDS - 1] = mt_next(key[MT_WORDS - 1], key[0], key[MT_AHEAD - 1]);
}

INLINE uint32_t mt_temper(uint32_t y)
{
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* A number uniform in [0, 1) takes two words and has 53 bits, so comparing it with keep is comparing integers. NumPy's
 * binomial counts from the less probable side: one where the number is at most keep, or, for keep <= 1/2, above
 * 1 - keep. */
INLINE int64_t mt_draw(uint32_t first, uint32_t second, int64_t limit, int64_t below)
{
    int64_t number = (int64_t)((uint64_t)(mt_temper(first) >> 5) << 26 | mt_temper(second) >> 6);
    return (number <= limit) == below;
}

void FNN_NAME(bernoulli_mask)(uint32_t *key, size_t *pos, int64_t *mask, size_t size, double keep, size_t begin,
                              size_t end)
{
    const int64_t below = keep > 0.5, limit = (int64_t)((below ? keep : 1 - keep) * 0x1p53);
    size_t at = *pos;
    for (size_t i = 0; begin < end && i < size;) {
        if (at >= MT_WORDS) {
            mt_refill(key);
            at = 0;
        }
        if (at == MT_WORDS - 1) { /* the pair goes on in the next 624 words */
            uint32_t first = key[at];
            mt_refill(key);
            mask[i++] = mt_draw(first, key[0], limit, below);
            at = 1;
            continue;
        }
        size_t pairs = (MT_WORDS - at) / 2 < size - i ? (MT_WORDS - at) / 2 : size - i;
        for (size_t j = 0; j < pairs; j++)
            mask[i + j] = mt_draw(key[at + 2 * j], key[at + 2 * j + 1], limit, below);
        i += pairs;
        at += 2 * pairs;
    }
    *pos = at;
}

void FNN_NAME(masked_scale)(const real_t *x, const int64_t *mask, real_t *y, double scale, size_t begin, size_t end)
{
    const real_t s = R(scale);
    for (size_t i = begin; i < end; i++)
        y[i] = x[i] * (R(mask[i]) * s);
}
