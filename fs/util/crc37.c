// SPDX-License-Identifier: Apache-2.0
/*
 * The checksum of Xilinx configuration logic (crc.h): 37 bits a word, which no CRC
 * instruction does.
 *
 * By tables: two words at a time, so that half of the look-ups do not wait for the CRC
 * before them.
 *
 * By carry-less multiplication, where the processor has it: what a word adds to the
 * CRC at the end of a block is word * x^(37 * words to come) mod P, so each word of a
 * block is multiplied by a constant of its own, the products are summed and reduced once.
 * The register's bits add what they add to a block of zeros. A reflected number of 32
 * bits has its lowest bit at x^31, so a product of two is one power short, which the
 * constants make up for.
 */
#include <fabricfs/crc.h>

#include <pthread.h>

#define POLY 0x82f63b78u /* CRC-32C, reflected */
#define BITS (32 + 5)	 /* fed for a word: its data and the register's number */
#define ONE  0x80000000u /* x^0 */

/* by_byte[w][k][v]: what byte k of the first (w = 0) or second word becomes, at the end of
 * the second. by_reg likewise, of the register's number. */
static uint32_t by_byte[2][4][256], by_reg[2][32];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t shift(uint32_t crc, unsigned bits)
{
	while (bits--)
		crc = crc & 1 ? crc >> 1 ^ POLY : crc >> 1;
	return crc;
}

static uint32_t look_up(unsigned w, uint32_t x)
{
	return by_byte[w][0][x & 255] ^ by_byte[w][1][x >> 8 & 255] ^ by_byte[w][2][x >> 16 & 255] ^
	       by_byte[w][3][x >> 24];
}

static uint32_t load(const uint8_t *b, bool swapped)
{
	if (swapped)
		return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static uint32_t tables(uint32_t crc, const uint8_t *b, size_t n, bool swapped, uint8_t reg)
{
	uint32_t both = by_reg[0][reg & 31] ^ by_reg[1][reg & 31];

	for (; n >= 2; n -= 2, b += 8)
		crc = look_up(0, crc ^ load(b, swapped)) ^ look_up(1, load(b + 4, swapped)) ^ both;
	if (n)
		crc = look_up(1, crc ^ load(b, swapped)) ^ by_reg[1][reg & 31];
	return crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define BLOCK	 128 /* words */
#define WIDE_MIN (4 * BLOCK)

/* Of the words of a block; and in the order in which eight words come out of two shuffles. */
static uint64_t weights[BLOCK] __attribute__((aligned(16))), wide_weights[BLOCK] __attribute__((aligned(32)));
/* What takes two words of four, each as the low half of 64 bits: [swapped][the first two, the others]. */
static const int8_t picks[2][2][16] = {
	{ { 3, 2, 1, 0, -1, -1, -1, -1, 7, 6, 5, 4, -1, -1, -1, -1 },
	  { 11, 10, 9, 8, -1, -1, -1, -1, 15, 14, 13, 12, -1, -1, -1, -1 } },
	{ { 0, 1, 2, 3, -1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1 },
	  { 8, 9, 10, 11, -1, -1, -1, -1, 12, 13, 14, 15, -1, -1, -1, -1 } },
};
static uint32_t by_32[4][256]; /* byte k of a number times x^32 */
static uint32_t of_zeros[32];  /* a block of zeros for each register */
static bool can_multiply, can_multiply_wide;

static void multiply_prepare(void)
{
	static const uint8_t zeros[4 * BLOCK];
	uint32_t weight = shift(ONE, BITS - 1);

	for (unsigned i = BLOCK; i--; weight = shift(weight, BITS))
		weights[i] = weight;
	for (unsigned i = 0; i < BLOCK; i++) {
		static const uint8_t order[8] = { 0, 1, 4, 5, 2, 3, 6, 7 };

		wide_weights[i] = weights[i / 8 * 8 + order[i % 8]];
	}
	for (unsigned k = 0; k < 4; k++)
		for (uint32_t v = 0; v < 256; v++)
			by_32[k][v] = shift(v << 8 * k, 32);
	for (uint8_t r = 0; r < 32; r++)
		of_zeros[r] = tables(0, zeros, BLOCK, false, r);
	can_multiply = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1") &&
		       __builtin_cpu_supports("ssse3");
	can_multiply_wide = can_multiply && __builtin_cpu_supports("avx2") &&
			    __builtin_cpu_supports("vpclmulqdq");
}

/* The sum of the products of a block, reduced. */
static uint32_t reduce(uint64_t sum, uint8_t reg)
{
	uint32_t high = (uint32_t)sum; /* powers from x^32 on */

	return (uint32_t)(sum >> 32) ^ by_32[0][high & 255] ^ by_32[1][high >> 8 & 255] ^
	       by_32[2][high >> 16 & 255] ^ by_32[3][high >> 24] ^ of_zeros[reg & 31];
}

#define MULTIPLYING __attribute__((target("pclmul,sse4.1,ssse3")))

/* n: of blocks. */
MULTIPLYING static uint32_t multiply(uint32_t crc, const uint8_t *b, size_t n, bool swapped,
				     uint8_t reg)
{
	const __m128i first = _mm_loadu_si128((const __m128i *)picks[swapped][0]);
	const __m128i second = _mm_loadu_si128((const __m128i *)picks[swapped][1]);
	const __m128i *weight = (const __m128i *)weights;

	for (; n; n--) {
		/* What came before weighs as much as the first word. */
		__m128i even = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), weight[0], 0x00);
		__m128i odd = _mm_setzero_si128();

		for (unsigned i = 0; i < BLOCK / 2; i += 2, b += 16) {
			__m128i four = _mm_loadu_si128((const __m128i *)b);
			__m128i a = _mm_shuffle_epi8(four, first), c = _mm_shuffle_epi8(four, second);

			even = _mm_xor_si128(even, _mm_clmulepi64_si128(a, weight[i], 0x00));
			odd = _mm_xor_si128(odd, _mm_clmulepi64_si128(a, weight[i], 0x11));
			even = _mm_xor_si128(even, _mm_clmulepi64_si128(c, weight[i + 1], 0x00));
			odd = _mm_xor_si128(odd, _mm_clmulepi64_si128(c, weight[i + 1], 0x11));
		}

		crc = reduce((uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(even, odd)), reg);
	}
	return crc;
}

/* The same with twice as many words an instruction. */
__attribute__((target("vpclmulqdq,avx2,pclmul"))) static uint32_t
multiply_wide(uint32_t crc, const uint8_t *b, size_t n, bool swapped, uint8_t reg)
{
	const __m256i first =
		_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)picks[swapped][0]));
	const __m256i second =
		_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)picks[swapped][1]));
	const __m256i *weight = (const __m256i *)wide_weights;

	for (; n; n--) {
		__m256i even = _mm256_zextsi128_si256(_mm_clmulepi64_si128(
			_mm_cvtsi64_si128((long long)crc), _mm256_castsi256_si128(weight[0]), 0x00));
		__m256i odd = _mm256_setzero_si256();

		for (unsigned i = 0; i < BLOCK / 4; i += 2, b += 32) {
			__m256i eight = _mm256_loadu_si256((const __m256i *)b);
			__m256i a = _mm256_shuffle_epi8(eight, first), c = _mm256_shuffle_epi8(eight, second);

			even = _mm256_xor_si256(even, _mm256_clmulepi64_epi128(a, weight[i], 0x00));
			odd = _mm256_xor_si256(odd, _mm256_clmulepi64_epi128(a, weight[i], 0x11));
			even = _mm256_xor_si256(even, _mm256_clmulepi64_epi128(c, weight[i + 1], 0x00));
			odd = _mm256_xor_si256(odd, _mm256_clmulepi64_epi128(c, weight[i + 1], 0x11));
		}
		even = _mm256_xor_si256(even, odd);
		crc = reduce((uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(_mm256_castsi256_si128(even),
								       _mm256_extracti128_si256(even, 1))), reg);
	}
	return crc;
}
#endif

static void prepare(void)
{
	for (unsigned w = 0; w < 2; w++) {
		unsigned behind = w ? 0 : BITS;

		for (unsigned k = 0; k < 4; k++)
			for (uint32_t v = 0; v < 256; v++)
				by_byte[w][k][v] = shift(v << 8 * k, BITS + behind);
		for (uint32_t r = 0; r < 32; r++)
			by_reg[w][r] = shift(r, 5 + behind);
	}
#if defined(__x86_64__)
	multiply_prepare();
#endif
}

uint32_t crc37_by_table(uint32_t crc, const uint8_t *b, size_t n, bool swapped, uint8_t reg)
{
	pthread_once(&once, prepare);
	return tables(crc, b, n, swapped, reg);
}

uint32_t crc37_update(uint32_t crc, const uint8_t *b, size_t n, bool swapped, uint8_t reg)
{
	pthread_once(&once, prepare);
#if defined(__x86_64__)
	/* What is short is not worth another way, and leaves the narrow one to be tried as well. */
	if (n >= WIDE_MIN && can_multiply_wide) {
		crc = multiply_wide(crc, b, n / WIDE_MIN * (WIDE_MIN / BLOCK), swapped, reg);
		b += n / WIDE_MIN * WIDE_MIN * 4;
		n %= WIDE_MIN;
	}
	if (n >= BLOCK && can_multiply) {
		crc = multiply(crc, b, n / BLOCK, swapped, reg);
		b += n / BLOCK * BLOCK * 4;
		n %= BLOCK;
	}
#endif
	return tables(crc, b, n, swapped, reg);
}
