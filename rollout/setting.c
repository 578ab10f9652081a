/*-------------------------------------------------------------------------
 *
 * rollout/setting.c
 *	  The settings of a policy as values of SQL.
 *
 * POLICY_SETTINGS in rollout/machine.h lists the settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "rollout/setting.h"
#include "server/compat.h"
#include "server/values.h"

#define MAX_PERCENT 100

static Span
span_of(NullableDatum value, Span standard)
{
	return value.isnull ? standard : interval_microseconds(DatumGetIntervalP(value.value));
}

static int32
count_of(NullableDatum value, int32 standard)
{
	return value.isnull ? standard : DatumGetInt32(value.value);
}

static bool
flag_of(NullableDatum value, bool standard)
{
	return value.isnull ? standard : DatumGetBool(value.value);
}

static NullableDatum
span_value(Span span)
{
	return (NullableDatum){ .value = IntervalPGetDatum(interval_from_microseconds(span)) };
}

#define OF_SPAN	 span_of
#define OF_COUNT count_of
#define OF_SHARE count_of
#define OF_FLAG	 flag_of
#define TO_SPAN	 span_value
#define TO_COUNT int32_value
#define TO_SHARE int32_value
#define TO_FLAG	 bool_value

/*
 * policy_of_columns
 *		The policy in columns in the order of POLICY_SETTINGS; NULL: the
 *		default.
 */
Policy
policy_of_columns(const NullableDatum *columns)
{
	Policy policy;

#define FROM_COLUMN(kind, name, standard, least) policy.name = OF_##kind(*columns++, (standard));
	POLICY_SETTINGS(FROM_COLUMN)
#undef FROM_COLUMN
	return policy;
}

/* policy_to_columns: the columns of a policy, in the order of POLICY_SETTINGS. */
void
policy_to_columns(const Policy *policy, NullableDatum *columns)
{
#define TO_COLUMN(kind, name, standard, least) *columns++ = TO_##kind(policy->name);
	POLICY_SETTINGS(TO_COLUMN)
#undef TO_COLUMN
}

/* interval_check: 22023 for an interval below "least" microseconds, which is 0 or 1. */
void
interval_check(NullableDatum value, int64 least, const char *setting)
{
	if (!value.isnull && interval_microseconds(DatumGetIntervalP(value.value)) < least)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 least > 0 ? errmsg("%s must be greater than 0", setting) : errmsg("%s must not be negative", setting)));
}

static void
check_SPAN(NullableDatum value, int64 least, const char *setting)
{
	interval_check(value, least, setting);
}

static void
check_COUNT(NullableDatum value, int64 least, const char *setting)
{
	if (!value.isnull && DatumGetInt32(value.value) < least)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at least %d: %d", setting, (int) least, DatumGetInt32(value.value))));
}

static void
check_SHARE(NullableDatum value, int64 least, const char *setting)
{
	if (!value.isnull && (DatumGetInt32(value.value) < least || DatumGetInt32(value.value) > MAX_PERCENT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %d and %d: %d", setting, (int) least, MAX_PERCENT,
						DatumGetInt32(value.value))));
}

static void
check_FLAG(NullableDatum value, int64 least, const char *setting)
{
}

/* settings_check: 22023 for a value that is out of range. */
void
settings_check(const NullableDatum *columns)
{
#define CHECK_COLUMN(kind, name, standard, least) check_##kind(*columns++, (least), #name);
	POLICY_SETTINGS(CHECK_COLUMN)
#undef CHECK_COLUMN
}

#define SETTING_NAME(kind, name, standard, least) #name,
static const char *const setting_names[] = { POLICY_SETTINGS(SETTING_NAME) };

/*
 * setting_argument
 *		The number of the setting with this name, in the order of
 *		POLICY_SETTINGS.  Errors: 22023 for an unknown name.
 */
int
setting_argument(const char *name)
{
	StringInfoData known;

	for (int i = 0; i < SETTING_COUNT; i++)
	{
		if (strcmp(setting_names[i], name) == 0)
			return i;
	}
	initStringInfo(&known);
	for (int i = 0; i < SETTING_COUNT; i++)
		appendStringInfo(&known, "%s%s", i == 0 ? "" : ", ", setting_names[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown setting: \"%s\"", clipped(name)),
			 errdetail("Settings are %s.", known.data)));
}
