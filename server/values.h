/*-------------------------------------------------------------------------
 *
 * server/values.h
 *	  Conversion of values between SQL and C: datums, names, texts, intervals.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_VALUES_H
#define SERVER_VALUES_H

#include "utils/timestamp.h"

/* The schema of the extension's own tables and functions. */
#define MACHINERY_SCHEMA "update_tier"

/* Bytes of a user's value that an error message quotes at most. */
#define QUOTED_VALUE_MAX 64

#define NO_DATUM ((NullableDatum){ .isnull = true })

extern NullableDatum text_value(const char *value);
extern NullableDatum int64_value(int64 value);
extern NullableDatum int32_value(int32 value);
extern NullableDatum bool_value(bool value);
extern NullableDatum moment_value(TimestampTz value);

extern char *optional_text(NullableDatum value);
extern char *clipped(const char *value);

extern bool	 name_is_possible(const char *name);
extern char *name_argument(NullableDatum value, const char *argument);
extern Datum id_argument(NullableDatum value, const char *argument);
extern char *reason_argument(NullableDatum value);
extern char *needed_reason_argument(NullableDatum value);
extern char *detail_argument(NullableDatum value);

extern int64	 interval_microseconds(const Interval *interval);
extern Interval *interval_from_microseconds(int64 microseconds);

#endif
