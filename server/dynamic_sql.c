/*-------------------------------------------------------------------------
 *
 * server/dynamic_sql.c
 *	  Statements whose text is built at run time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"

#include "server/dynamic_sql.h"

/*
 * run_sql
 *		Run a statement whose text is built at run time, and return its number
 *		of rows.  The caller has quoted the names in it, and has connected to
 *		SPI.
 */
uint64
run_sql(const char *fmt, ...)
{
	StringInfoData buf;
	int			   result;

	initStringInfo(&buf);
	for (;;)
	{
		va_list args;
		int		needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}

	result = SPI_execute(buf.data, false, 0);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s",
			 buf.data, SPI_result_code_string(result));
	return SPI_processed;
}
