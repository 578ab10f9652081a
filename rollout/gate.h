/*-------------------------------------------------------------------------
 *
 * rollout/gate.h
 *	  Why a workspace is, or is not, due for a version, in words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_GATE_H
#define ROLLOUT_GATE_H

#include "fleet/attached.h"
#include "rollout/package.h"

extern char *moment_text(TimestampTz moment);
extern char *waits_for_text(LoadedPackage *loaded, const LoadedRollout *rollout);

#endif /* ROLLOUT_GATE_H */
