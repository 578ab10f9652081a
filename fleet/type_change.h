/*-------------------------------------------------------------------------
 *
 * fleet/type_change.h
 *	  Changing the type of column update_tier without a scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_TYPE_CHANGE_H
#define FLEET_TYPE_CHANGE_H

extern char *domain_name(Oid domain);
extern void	 relax_domain(Oid domain);
extern void	 constrain_domain(Oid domain);
extern void	 change_type(Oid relid, const char *table, const char *type, Oid domain);

#endif
