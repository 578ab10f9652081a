/*-------------------------------------------------------------------------
 *
 * server/identity.h
 *	  Acting as another role, and the owners of objects.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_IDENTITY_H
#define SERVER_IDENTITY_H

/* A role, and the security context in which statements run as it. */
typedef struct Identity
{
	Oid user;
	int security_context;
} Identity;

extern Identity become(Oid role, int flags);
extern Identity become_table_owner(Oid relid);
extern Identity become_index_creator(Oid relid);
extern void		become_again(Identity caller);

extern Oid relation_owner(Oid relid);
extern Oid type_owner(Oid type);
extern Oid extension_owner(void);
extern Oid own_table_oid(const char *name);

#endif
