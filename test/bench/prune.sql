-- prune of a million installations, or of all if there are fewer, whose workspaces do not
-- exist: the time and the memory.  Another client claims of package c meanwhile.
SELECT sum(used_bytes) AS before FROM pg_backend_memory_contexts \gset
SELECT id AS c FROM update_tier.package WHERE name = 'c' \gset
SELECT count(*) AS installations FROM update_tier.installation WHERE package_id <> :c \gset
SELECT clock_timestamp() AS began \gset
SELECT update_tier.prune('1 hour') \g /dev/null
SELECT concat_ws(E'\t', 'prune', 'ms', extract(epoch FROM clock_timestamp() - :'began') * 1000);
SELECT concat_ws(E'\t', 'prune installations', 'rows', :installations - count(*)) FROM update_tier.installation WHERE package_id <> :c;
SELECT concat_ws(E'\t', 'prune memory', 'bytes', sum(used_bytes) - :before) FROM pg_backend_memory_contexts;
