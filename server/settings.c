/*-------------------------------------------------------------------------
 *
 * server/settings.c
 *	  The extension's settings, and settings under which a text has one meaning.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "server/settings.h"
#include "server/values.h"

bool notify_enabled = true;

/* settings_define: called once, when the library is loaded. */
void
settings_define(void)
{
	DefineCustomBoolVariable("update_tier.notify",
							 "Sends a notification on channel \"update_tier\" when a statement changes a rollout's phase.",
							 "A transaction that has sent a notification cannot be prepared (two-phase commit). Turn the setting off for roles that prepare transactions.",
							 &notify_enabled, true, PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved(MACHINERY_SCHEMA);
}

/*
 * enter_canonical_settings
 *		Enter settings under which a text has one meaning: only the schemas of
 *		initdb on the search_path, and one way to write strings, times and
 *		numbers.  pg_dump sets the same, for the same reason.
 *
 * Returns the level that AtEOXact_GUC() takes to leave them again.
 */
int
enter_canonical_settings(void)
{
	static const char *const settings[][2] = {
		{ "search_path", "pg_catalog, pg_temp" },
		{ "standard_conforming_strings", "on" },
		{ "DateStyle", "ISO, YMD" },
		{ "IntervalStyle", "postgres" },
		{ "TimeZone", "UTC" },
		{ "extra_float_digits", "3" },
		{ "bytea_output", "hex" },
		{ "array_nulls", "on" },
		{ "transform_null_equals", "off" },
		{ "lc_monetary", "C" }
	};
	int nest_level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1],
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}
