/*-------------------------------------------------------------------------
 *
 * server/values.c
 *	  Conversion of values between SQL and C: datums, names, texts, intervals.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "server/compat.h"
#include "server/values.h"

/*
 * A btree page must hold three entries of the unique index over package and
 * version.  Three times two names of this length fit, with their overhead.
 */
#define NAME_MAX_BYTES 1024

/* Bytes of a reason that an operator gives, or of a report's detail. */
#define REASON_MAX_BYTES 1024

/* text_value: a text; NULL for NULL. */
NullableDatum
text_value(const char *value)
{
	NullableDatum datum = NO_DATUM;

	if (value != NULL)
	{
		datum.value = CStringGetTextDatum(value);
		datum.isnull = false;
	}
	return datum;
}

NullableDatum
int64_value(int64 value)
{
	return (NullableDatum){ .value = Int64GetDatum(value) };
}

NullableDatum
int32_value(int32 value)
{
	return (NullableDatum){ .value = Int32GetDatum(value) };
}

NullableDatum
bool_value(bool value)
{
	return (NullableDatum){ .value = BoolGetDatum(value) };
}

/* moment_value: a timestamp; infinity for a moment that no timestamp can hold. */
NullableDatum
moment_value(TimestampTz value)
{
	if (!IS_VALID_TIMESTAMP(value) && !TIMESTAMP_NOT_FINITE(value))
		value = value > 0 ? DT_NOEND : DT_NOBEGIN;
	return (NullableDatum){ .value = TimestampTzGetDatum(value) };
}

/* optional_text: a string; NULL for NULL. */
char *
optional_text(NullableDatum value)
{
	return value.isnull ? NULL : TextDatumGetCString(value.value);
}

/*
 * clipped
 *		A user's value for an error message: cut between two characters if it
 *		has more than QUOTED_VALUE_MAX bytes.
 */
char *
clipped(const char *value)
{
	int length = strlen(value);

	if (length <= QUOTED_VALUE_MAX)
		return pstrdup(value);
	return psprintf("%.*s...",
					pg_mbcliplen(value, length, QUOTED_VALUE_MAX), value);
}

/*
 * reason_argument
 *		An operator's reason; NULL for NULL.  Reasons appear in views and in
 *		answers of one line, so a long one is refused.
 *
 * Errors: 22023 when longer than REASON_MAX_BYTES.
 */
char *
reason_argument(NullableDatum value)
{
	Size length;

	if (value.isnull)
		return NULL;
	length = toast_raw_datum_size(value.value) - VARHDRSZ;
	if (length > REASON_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reason is too long"),
				 errdetail("It has %zu bytes, and at most %d are allowed.", length, REASON_MAX_BYTES),
				 errhint("Give a shorter reason, such as the number of a ticket.")));
	return TextDatumGetCString(value.value);
}

/*
 * detail_argument
 *		The detail of a report; NULL for NULL.  A long text is cut, as a report
 *		that fails would be worse.
 */
char *
detail_argument(NullableDatum value)
{
	text *start;
	char *detail;

	if (value.isnull)
		return NULL;
	start = DatumGetTextPSlice(value.value, 0, REASON_MAX_BYTES + MAX_MULTIBYTE_CHAR_LEN);
	detail = text_to_cstring(start);
	if (strlen(detail) <= REASON_MAX_BYTES)
		return detail;
	return psprintf("%.*s...", pg_mbcliplen(detail, strlen(detail), REASON_MAX_BYTES), detail);
}

/* name_is_possible: can a package or version have this name? */
bool
name_is_possible(const char *name)
{
	return name[0] != '\0' && strlen(name) <= NAME_MAX_BYTES;
}

/*
 * name_argument
 *		The name of a package or version.
 *
 * Errors: 22004 for NULL, 22023 when empty or longer than NAME_MAX_BYTES.
 */
char *
name_argument(NullableDatum value, const char *argument)
{
	Size length;

	if (value.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", argument)));
	length = VARSIZE_ANY_EXHDR(DatumGetTextPP(value.value));
	if (length == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", argument)));
	if (length > NAME_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", argument),
				 errdetail("It has %zu bytes, and at most %d are allowed.", length, NAME_MAX_BYTES),
				 errhint("Use a shorter name, such as a hash of the content.")));
	return TextDatumGetCString(value.value);
}

/*
 * interval_microseconds
 *		An interval in microseconds, as intervals are compared: a day is 24
 *		hours and a month 30 days, in every time zone.  Saturates.
 */
int64
interval_microseconds(const Interval *interval)
{
	int64 days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64 result;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &result))
		return days > 0 ? PG_INT64_MAX : PG_INT64_MIN;
	if (pg_add_s64_overflow(result, interval->time, &result))
		return interval->time > 0 ? PG_INT64_MAX : PG_INT64_MIN;
	return result;
}

/* interval_from_microseconds: an interval in hours and less, without days or months. */
Interval *
interval_from_microseconds(int64 microseconds)
{
	Interval *interval = palloc0_object(Interval);

	interval->time = microseconds;
	return interval;
}

/*
 * id_argument
 *		The id of a workspace.
 *
 * Errors: 22004 for NULL.
 */
Datum
id_argument(NullableDatum value, const char *argument)
{
	if (value.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", argument)));
	return value.value;
}

/*
 * needed_reason_argument
 *		A reason that must be given.
 *
 * Errors: 22004 for NULL, 22023 when empty or too long.
 */
char *
needed_reason_argument(NullableDatum value)
{
	char *reason = reason_argument(value);

	if (reason == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("reason must not be null")));
	if (reason[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reason must not be empty")));
	return reason;
}
