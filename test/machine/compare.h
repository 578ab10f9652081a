/*-------------------------------------------------------------------------
 *
 * test/machine/compare.h
 *	  The parts of the program that compares SQL with the pure machine.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEST_MACHINE_COMPARE_H
#define TEST_MACHINE_COMPARE_H

#include <inttypes.h>

#include <libpq-fe.h>

#include "rollout/machine_due.h"

#define PACKAGES   2
#define ALL		   PACKAGES /* ALL_PACKAGES */
#define VERSIONS   4
#define WORKSPACES 5
#define ATTEMPTS   60 /* the latest ones are known */
#define HOUR	   SECONDS(3600)
#define LONG_AGO   INT64_MIN

/* A sequence begins with empty tables. */
#define STEPS_OF_A_SEQUENCE 150

/* In the order of POLICY_SETTINGS. */
#define SETTING_NUMBER(kind, name, standard, least) SETTING_##name,
enum
{
	POLICY_SETTINGS(SETTING_NUMBER)
		SETTINGS
};

/* The settings that are given, each as a number. */
typedef struct Settings
{
	bool	given[SETTINGS];
	int64_t value[SETTINGS];
} Settings;

typedef struct Model
{
	bool		 stored; /* has a row */
	Package		 package;
	Rollout		*order[VERSIONS];	 /* oldest first */
	Rollout		 versions[VERSIONS]; /* with id 0: not started */
	Installation installations[WORKSPACES];
	bool		 has_row[WORKSPACES];
	const char	*runs_unknown[WORKSPACES]; /* a version that was never started, or NULL */
	Moment		 frozen_until;			   /* by its own freeze */
	Settings	 settings;
	Moment		 first_expiry;
	Moment		 rollout_changed_at[VERSIONS];
	Moment		 installation_changed_at[WORKSPACES];
	Lease		 leases[WORKSPACES];
	Uncounted	 uncounted[2 * WORKSPACES]; /* package.uncounted_count of them */
} Model;

/* A token that was given. */
typedef struct Attempt
{
	int64_t token;
	int		package;
	int		version;
	int		workspace;
	Moment	replaced_at; /* NEVER: it is the latest of the workspace */
} Attempt;

typedef struct World
{
	Model	packages[PACKAGES + 1];
	bool	exists[WORKSPACES];
	bool	live[WORKSPACES];
	Tier	tiers[WORKSPACES];
	Attempt attempts[ATTEMPTS];
	int		attempt_count;
} World;

typedef enum Call
{
	CALL_start,
	CALL_claim,
	CALL_claim_batch,
	CALL_force,
	CALL_report,
	CALL_extend,
	CALL_observe,
	CALL_forget,
	CALL_promote,
	CALL_halt,
	CALL_resume,
	CALL_abort,
	CALL_retry,
	CALL_freeze,
	CALL_thaw,
	CALL_set_policy,
	CALL_reset_policy,
	CALL_prune,
	CALL_flip,
	CALL_go,
	CALL_later,
	CALLS
} Call;

typedef struct Step
{
	Call	 call;
	int		 package;
	int		 version;	/* VERSIONS: never started; -1: NULL */
	int		 workspace; /* WORKSPACES: unknown */
	bool	 has_reason;
	int64_t	 token;
	State	 outcome;
	int		 installed; /* version; -1: NULL */
	int		 max_claims;
	int		 candidates[WORKSPACES + 1];
	int		 candidate_count; /* -1: NULL */
	int		 hours;			  /* 0: infinity, or NULL */
	Settings settings;		  /* those that are set */
	bool	 apply_to_running;
	char	 statement[1200];
} Step;

/* The answer of SQL, and its moments. */
typedef struct Said
{
	PGresult *result;	   /* NULL: an error */
	char	  sqlstate[6]; /* empty: no error */
	int		  warnings;
	Moment	  now;
	Moment	  statement_began;
} Said;

/* What is known of a call. */
typedef struct CallKind
{
	const char *name;
	int			weight;
	bool		can_be_refused;
} CallKind;

/* ---- compare_world.c ---- */

extern const char *const package_names[PACKAGES + 1];
extern const char *const version_names[VERSIONS + 1];
extern const char *const state_names[STATE_EXPIRED + 1];
extern const char *const setting_names[SETTINGS];
extern World			 world;

extern void		   relink(World *copy);
extern void		   copy_world(World *copy, const World *of);
extern void		   empty_world(World *empty);
extern bool		   is_live(const World *in, int w);
extern Workspace   workspace_of(const World *in, int w);
extern const char *workspace_literal(int w);
extern Rollout	  *rollout_of(Model *model, int v);
extern void		   shift_world(Span by);

/* ---- compare_sql.c ---- */

extern uint64_t seed;
extern int		sequence;
extern PGconn  *connection;
extern int		warnings;
extern int		happened_count;
extern int64_t	last_event;
extern Moment	events_kept_from;

extern void		   note_statement(const char *statement);
extern void		   forget_statements(void);
extern void		   differ(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
extern void		   same_number(const char *what, int64_t machine, int64_t sql);
extern void		   same_text(const char *what, const char *machine, const char *sql);
extern const char *of(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern void		   count_warning(void *arg, const char *message);
extern PGresult	  *query(const char *statement);
extern void		   execute(const char *statement);
extern void		   execute_formatted(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern const char *text_at(const PGresult *result, int row, int column);
extern int64_t	   number_at(const PGresult *result, int row, int column);
extern bool		   flag_at(const PGresult *result, int row, int column);
extern int		   name_number(const char *name, const char *const *names, int count);
extern Settings	   default_settings(void);
extern Policy	   policy_from(const Settings *settings);
extern void		   read_world(World *seen);
extern void		   same_package(int p, const Model *machine, const Model *sql);
extern void		   same_but_for_the_stamp(int p, const Model *before, const Model *after);
extern void		   make_room(Model *model);
extern void		   note_events(int p, Model *model);
extern void		   same_events(void);

/* ---- compare_step.c ---- */

extern uint64_t		  chance;
extern const CallKind calls[CALLS];
extern int			  accepted[CALLS];
extern int			  refused[CALLS];
extern bool			  may_prune;
extern int			  favourite;

extern uint64_t	   next_number(void);
extern int		   below(int n);
extern bool		   one_in(int n);
extern Step		   some_step(void);
extern const char *version_literal(int v);
extern void		   write_step(Step *step);

/* ---- compare_machine.c ---- */

extern World before;
extern World seen;
extern int	 granted;
extern int	 reported_apart;
extern bool	 last_was_apart;
extern bool	 locked[PACKAGES + 1];
extern int	 times_counted;
extern int	 rows_counted;

extern bool		   was_saved(int p);
extern void		   settle(World *in, int p, Moment clock, int64_t asked_token, Moment asked_at);
extern Model	  *settled(int p, const Said *said, int64_t asked_token);
extern Attempt	  *attempt_of(int64_t token);
extern void		   apply_to_running(int p, Model *model);
extern const char *do_step(const Step *step, const Said *said);

#endif /* TEST_MACHINE_COMPARE_H */
