/*-------------------------------------------------------------------------
 *
 * rollout/loaded_package.h
 *	  A package in memory, with those of its rollouts that a call needs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_LOADED_PACKAGE_H
#define ROLLOUT_LOADED_PACKAGE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "rollout/installation.h"
#include "rollout/machine.h"
#include "rollout/package_row.h"
#include "rollout/rollout.h"
#include "server/table.h"

/* Does a caller depend on the settings or the freeze of ALL_PACKAGES? */
typedef enum OfAll
{
	WITHOUT_ALL, /* no */
	WITH_ALL	 /* yes */
} OfAll;

/*
 * A package with some of its rollouts: those that are queued, in canary or
 * soaking, the promoted ones that may be open, and those that were asked for by
 * version or by id.
 */
typedef struct LoadedPackage
{
	Package		  package; /* first, so that a pointer to it is a pointer to this */
	MemoryContext context; /* in which all of it is allocated */
	Seen		  seen;
	OfAll		  of_all;
	bool		  locked; /* and a snapshot is pushed: package_save() or package_unlock() pops it */
	char		 *name;
	TableRow	 *row; /* its tid is invalid if it is not stored yet */
	TableRow	 *all; /* of ALL_PACKAGES; NULL: not stored, or WITHOUT_ALL */
	int64		  id;
	TimestampTz	  now;	 /* the start of the transaction, at which gates are judged */
	TimestampTz	  clock; /* to which it is settled */
	TimestampTz	  first_expiry;
	char		 *freeze_reason; /* of the freeze that ends later; or NULL */
	Sweep		  sweep;		 /* of claim_batch() without a version */
	int64		  promoted_from; /* an ordinal: no older promoted rollout is loaded */
	bool		  all_promoted;	 /* all promoted rollouts are loaded */
	int			  room;			 /* in package.rollouts */
	List		 *leases;		 /* of LoadedInstallation *, which may have expired */
	bool		  has_reporting; /* other leases have expired, but another transaction reports on them */
	List		 *touched;		 /* of LoadedInstallation *, to be written */
	List		 *counted;		 /* of LoadedUncounted *, to be deleted */
	List		 *forgotten;	 /* of LoadedInstallation *, to be deleted */
	List		 *notes;		 /* of EventNote *, to be logged */
	List		 *phases;		 /* of PhaseNote *, to be notified */
	bool		  changed;
} LoadedPackage;

typedef struct PhaseNote
{
	const LoadedRollout *rollout;
	Phase				 phase;
} PhaseNote;

extern bool			  package_is_stored(const LoadedPackage *loaded);
extern LoadedRollout *package_add_rollout(LoadedPackage *loaded, LoadedRollout *rollout);
extern void			  package_load_promoted(LoadedPackage *loaded);
extern LoadedRollout *package_find(LoadedPackage *loaded, const char *version);
extern LoadedRollout *package_need(LoadedPackage *loaded, int64 rollout);
extern List			 *package_all_rollouts(LoadedPackage *loaded);
extern List			 *package_ended_since(LoadedPackage *loaded, int64 ordinal);
extern void			  package_delete_rollout(LoadedPackage *loaded, LoadedRollout *rollout);
extern Datum		  phase_text(const LoadedPackage *loaded, const LoadedRollout *rollout);

#endif /* ROLLOUT_LOADED_PACKAGE_H */
