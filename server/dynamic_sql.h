/*-------------------------------------------------------------------------
 *
 * server/dynamic_sql.h
 *	  Statements whose text is built at run time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_DYNAMIC_SQL_H
#define SERVER_DYNAMIC_SQL_H

extern uint64 run_sql(const char *fmt, ...) pg_attribute_printf(1, 2);

#endif
