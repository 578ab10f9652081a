/*-------------------------------------------------------------------------
 *
 * test/fuzz/tier.c
 *	  libFuzzer target: any bytes for the validator and the hint.
 *
 * Besides the checks of the sanitizers, the answers are compared with slow and
 * simple definitions.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/tier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do \
	{ \
		if (!(condition)) \
			abort(); \
	} while (0)

#define LONGEST 64

/* Edits from a to b, by the definition, from the end: slow and simple. */
static int
edits(const char *a, size_t alen, const char *b, size_t blen, int memo[LONGEST + 1][16])
{
	int best;
	int other;

	if (alen == 0 || blen == 0)
		return (int) (alen + blen);
	if (memo[alen][blen] >= 0)
		return memo[alen][blen];

	best = edits(a, alen - 1, b, blen - 1, memo) + (a[alen - 1] != b[blen - 1]);
	other = edits(a, alen - 1, b, blen, memo) + 1;
	best = other < best ? other : best;
	other = edits(a, alen, b, blen - 1, memo) + 1;
	best = other < best ? other : best;
	if (alen > 1 && blen > 1 && a[alen - 1] == b[blen - 2] && a[alen - 2] == b[blen - 1])
	{
		other = edits(a, alen - 2, b, blen - 2, memo) + 1;
		best = other < best ? other : best;
	}
	return memo[alen][blen] = best;
}

static int
distance(const char *value, size_t length, const char *name)
{
	int memo[LONGEST + 1][16];

	memset(memo, -1, sizeof(memo));
	return edits(value, length, name, strlen(name), memo);
}

/* What the comment of tier_near_miss() promises, sentence by sentence. */
static void
check_near_miss(const char *value, size_t length, const char *answer)
{
	char		folded[LONGEST];
	int			nearest = -1;
	const char *expected = NULL;

	while (length > 0 && strchr(" \t\n\v\f\r", value[0]) && value[0])
		value++, length--;
	while (length > 0 && strchr(" \t\n\v\f\r", value[length - 1]) && value[length - 1])
		length--;
	if (length == 0 || length > 24)
	{
		MUST(answer == NULL);
		return;
	}
	for (size_t i = 0; i < length; i++)
		folded[i] = value[i] >= 'A' && value[i] <= 'Z' ? value[i] + ('a' - 'A') : value[i];

	for (int i = 0; i < TIER_COUNT && !expected; i++)
	{
		if (length >= 3 && strlen(tier_names[i]) >= length && strncmp(tier_names[i], folded, length) == 0)
			expected = tier_names[i];
	}
	for (int i = 0; i < TIER_COUNT && !(expected && nearest < 0); i++)
	{
		int d = distance(folded, length, tier_names[i]);

		if (d <= 3 && 2 * d <= (int) length && (nearest < 0 || d < nearest))
		{
			nearest = d;
			expected = tier_names[i];
		}
	}
	MUST(answer == expected);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of exactly this size, so that the sanitizer finds a read beyond it. */
	char *value = malloc(size ? size : 1);
	Tier  tier = TIER_COUNT;
	bool  is_tier = false;

	if (size > 0)
		memcpy(value, data, size);

	for (int i = 0; i < TIER_COUNT; i++)
	{
		if (size == strlen(tier_names[i]) && memcmp(value, tier_names[i], size) == 0)
			is_tier = true;
	}
	MUST(tier_parse(value, size, &tier) == is_tier);
	MUST(tier_parse(value, size, NULL) == is_tier);
	MUST(is_tier ? strncmp(tier_names[tier], value, size) == 0 : tier == TIER_COUNT);

	check_near_miss(value, size, tier_near_miss(value, size));
	free(value);
	return 0;
}
