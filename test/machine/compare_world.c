/*-------------------------------------------------------------------------
 *
 * test/machine/compare_world.c
 *	  What the tables hold, as the comparison knows it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "compare.h"

const char *const package_names[PACKAGES + 1] = { "p1", "p2", "*" };
const char *const version_names[VERSIONS + 1] = { "v1", "v2", "v3", "v4", "never started" };
const char *const state_names[] = { "claimed", "succeeded", "skipped", "error", "failed", "expired" };

#define SETTING_NAME(kind, name, standard, least) #name,
const char *const setting_names[SETTINGS] = { POLICY_SETTINGS(SETTING_NAME) };

World world;

/* Pointers within a copy are to that copy. */
void
relink(World *copy)
{
	for (int p = 0; p <= PACKAGES; p++)
	{
		Model *model = &copy->packages[p];

		model->package.name = package_names[p];
		model->package.rollouts = model->order;
		model->package.leases = model->leases;
		model->package.uncounted = model->uncounted;
		model->package.count = 0;
		for (int v = 0; v < VERSIONS; v++)
		{
			Rollout *rollout = &model->versions[v];
			int		 i = model->package.count;

			if (rollout->id == NO_ROLLOUT)
				continue;
			for (; i > 0 && model->order[i - 1]->ordinal > rollout->ordinal; i--)
				model->order[i] = model->order[i - 1];
			model->order[i] = rollout;
			model->package.count++;
		}
	}
}

void
copy_world(World *copy, const World *of)
{
	*copy = *of;
	relink(copy);
}

void
empty_world(World *empty)
{
	memset(empty, 0, sizeof(*empty));
	for (int p = 0; p <= PACKAGES; p++)
	{
		empty->packages[p].package.stamp = LONG_AGO;
		empty->packages[p].frozen_until = LONG_AGO;
		empty->packages[p].first_expiry = NEVER;
	}
	relink(empty);
}

bool
is_live(const World *in, int w)
{
	return in->exists[w] && in->live[w];
}

/* The ids of the workspaces, as fleet.sql makes them, and one that no workspace has. */
static const uint8_t workspace_ids[WORKSPACES + 1][WORKSPACE_ID_BYTES] = {
	{ [15] = 0x01 }, { [15] = 0x02 }, { [15] = 0x03 }, { [15] = 0x04 }, { [15] = 0x05 }, { [15] = 0x99 }
};

Workspace
workspace_of(const World *in, int w)
{
	return (Workspace){ .id = workspace_ids[w], .live = is_live(in, w), .tier = in->tiers[w] };
}

const char *
workspace_literal(int w)
{
	static char literal[4][64];
	static int	next;
	char	   *text = literal[next++ % 4];

	snprintf(text, sizeof(literal[0]), "'00000000-0000-0000-0000-0000000000%02x'", workspace_ids[w][15]);
	return text;
}

Rollout *
rollout_of(Model *model, int v)
{
	return v >= 0 && v < VERSIONS && model->versions[v].id != NO_ROLLOUT ? &model->versions[v] : NULL;
}

/* Time passes: stored moments move into the past. */
static Moment
shifted(Moment moment, Span by)
{
	return moment == NEVER || moment == LONG_AGO ? moment : moment - by;
}

void
shift_world(Span by)
{
	for (int p = 0; p <= PACKAGES; p++)
	{
		Model *model = &world.packages[p];

		model->package.stamp = shifted(model->package.stamp, by);
		model->frozen_until = shifted(model->frozen_until, by);
		model->first_expiry = shifted(model->first_expiry, by);
		for (int v = 0; v < VERSIONS; v++)
		{
			model->versions[v].soaks_from = shifted(model->versions[v].soaks_from, by);
			model->versions[v].promoted_at = shifted(model->versions[v].promoted_at, by);
			model->versions[v].progress_at = shifted(model->versions[v].progress_at, by);
			model->rollout_changed_at[v] = shifted(model->rollout_changed_at[v], by);
		}
		for (int i = 0; i < model->package.uncounted_count; i++)
			model->uncounted[i].at = shifted(model->uncounted[i].at, by);
		for (int w = 0; w < WORKSPACES; w++)
		{
			if (!model->has_row[w])
				continue;
			model->installations[w].lease_until = shifted(model->installations[w].lease_until, by);
			model->installations[w].retry_at = shifted(model->installations[w].retry_at, by);
			model->installation_changed_at[w] = shifted(model->installation_changed_at[w], by);
		}
	}
	for (int a = 0; a < world.attempt_count; a++)
		world.attempts[a].replaced_at = shifted(world.attempts[a].replaced_at, by);
}
