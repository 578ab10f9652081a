/*-------------------------------------------------------------------------
 *
 * fleet/tier.c
 *	  The closed set of update tiers, and what a typo was meant to be.
 *
 * Pure C: no server, no allocation, no locale.  Both functions take bytes
 * that need not be NUL-terminated nor valid in any encoding, so that the
 * whole file can be driven by a fuzzer.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "fleet/tier.h"

/* In rollout order, which is also their order under the "C" collation. */
const char *const tier_names[TIER_COUNT] = { "canary", "production" };

/*
 * A value longer than this is not a misspelt tier.  It also bounds the work
 * tier_near_miss() does on a value of any length.
 */
#define NEAR_MISS_MAX_LENGTH 24

/* A prefix shorter than this ("p", "ca") says too little to guess from. */
#define NEAR_MISS_MIN_PREFIX 3

/* "canaries" is three edits from "canary". */
#define NEAR_MISS_MAX_EDITS 3

/*
 * tier_parse
 *		Is this exactly the name of a tier?  If so, *tier says which.
 *
 * "tier" may be NULL when only the answer matters.
 */
bool
tier_parse(const char *value, size_t length, Tier *tier)
{
	for (int i = 0; i < TIER_COUNT; i++)
	{
		if (strlen(tier_names[i]) == length &&
			memcmp(tier_names[i], value, length) == 0)
		{
			if (tier)
				*tier = (Tier) i;
			return true;
		}
	}
	return false;
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ASCII only: the names of tiers have no other letters. */
static char
fold(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char) (c - 'A' + 'a') : c;
}

static int
min3(int a, int b, int c)
{
	int m = a < b ? a : b;

	return m < c ? m : c;
}

/*
 * Edits between two short strings, where an edit inserts, deletes or
 * replaces a byte or swaps two neighbours (the "optimal string alignment"
 * form of the Damerau-Levenshtein distance: swapped letters are one typo).
 */
static int
edit_distance(const char *a, size_t alen, const char *b, size_t blen)
{
	int	 d[3][NEAR_MISS_MAX_LENGTH + 1];
	int *before = d[0];
	int *above = d[1];
	int *row = d[2];

	for (size_t j = 0; j <= blen; j++)
		above[j] = (int) j;

	for (size_t i = 1; i <= alen; i++)
	{
		int *spare;

		row[0] = (int) i;
		for (size_t j = 1; j <= blen; j++)
		{
			int cost = (a[i - 1] == b[j - 1]) ? 0 : 1;

			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
			if (i > 1 && j > 1 &&
				a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[blen];
}

/*
 * tier_near_miss
 *		The tier that an invalid value was probably meant to be, or NULL if it
 *		is not near any.
 *
 * A value is near if it is the name in another case or with blanks around it,
 * an abbreviation of at least three letters, or at most three edits away
 * ("canery", "prodcution") and at most half as many as the value has letters
 * ("any" is three edits from "canary", and nothing like it).
 */
const char *
tier_near_miss(const char *value, size_t length)
{
	char		folded[NEAR_MISS_MAX_LENGTH];
	const char *nearest = NULL;
	int			nearest_distance = 0;

	while (length > 0 && is_blank(value[0]))
		value++, length--;
	while (length > 0 && is_blank(value[length - 1]))
		length--;
	if (length == 0 || length > NEAR_MISS_MAX_LENGTH)
		return NULL;
	for (size_t i = 0; i < length; i++)
		folded[i] = fold(value[i]);

	for (int i = 0; i < TIER_COUNT; i++)
	{
		const char *name = tier_names[i];
		size_t		name_length = strlen(name);
		int			distance;

		if (length >= NEAR_MISS_MIN_PREFIX && length <= name_length &&
			memcmp(folded, name, length) == 0)
			return name;

		distance = edit_distance(folded, length, name, name_length);
		if (distance <= NEAR_MISS_MAX_EDITS && 2 * distance <= (int) length &&
			(nearest == NULL || distance < nearest_distance))
		{
			nearest = name;
			nearest_distance = distance;
		}
	}
	return nearest;
}
