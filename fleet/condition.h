/*-------------------------------------------------------------------------
 *
 * fleet/condition.h
 *	  Conditions on the rows of one table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_CONDITION_H
#define FLEET_CONDITION_H

#include "parser/parse_node.h"
#include "utils/relcache.h"

extern char *condition_canonical(Relation rel, const char *condition);
extern List *condition_as_predicate(Relation rel, const char *ours, const char *stored);
extern Expr *condition_expression(Relation rel, const char *stored);
extern Node *condition_transform(ParseState *pstate, const char *condition);
extern void	 condition_context(void *arg);
extern bool	 condition_names_exist(Oid relid, const char *condition);
extern bool	 is_users_function(Oid funcid, void *context);

#endif
