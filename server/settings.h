/*-------------------------------------------------------------------------
 *
 * server/settings.h
 *	  The extension's settings, and settings under which a text has one meaning.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

/* update_tier.notify: NOTIFY when a statement changes a rollout's phase? */
extern bool notify_enabled;

extern void settings_define(void);
extern int	enter_canonical_settings(void);

#endif
