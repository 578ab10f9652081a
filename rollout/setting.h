/*-------------------------------------------------------------------------
 *
 * rollout/setting.h
 *	  The settings of a policy as values of SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_SETTING_H
#define ROLLOUT_SETTING_H

#include "postgres.h"

#include "catalog/pg_type.h"

#include "rollout/machine.h"

/* The SQL type of each kind of setting. */
#define SETTING_TYPE_SPAN  INTERVALOID
#define SETTING_TYPE_COUNT INT4OID
#define SETTING_TYPE_SHARE INT4OID
#define SETTING_TYPE_FLAG  BOOLOID

#define COUNT_SETTING(kind, name, standard, least) +1
#define SETTING_COUNT							   (0 POLICY_SETTINGS(COUNT_SETTING))

extern Policy policy_of_columns(const NullableDatum *columns);
extern void	  policy_to_columns(const Policy *policy, NullableDatum *columns);
extern void	  settings_check(const NullableDatum *columns);
extern int	  setting_argument(const char *name);
extern void	  interval_check(NullableDatum value, int64 least, const char *setting);

#endif /* ROLLOUT_SETTING_H */
