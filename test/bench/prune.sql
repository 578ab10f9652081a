-- Forget a million executions, or all there are: how long, and with how much memory.
SELECT update_tier.start('c', '1') \g /dev/null
UPDATE update_tier.rollout SET changed_at = now() - interval '1 day' WHERE id IN (
    SELECT rollout FROM (SELECT rollout, sum(count(*)) OVER (ORDER BY rollout) AS upto FROM update_tier.execution GROUP BY rollout) AS e WHERE upto <= 1000000);
SELECT sum(used_bytes) AS before FROM pg_backend_memory_contexts \gset
SELECT count(*) AS executions FROM update_tier.execution \gset
SELECT clock_timestamp() AS began \gset
SELECT update_tier.prune('1 hour') \g /dev/null
SELECT concat_ws(E'\t', 'prune', 'ms', extract(epoch FROM clock_timestamp() - :'began') * 1000);
SELECT concat_ws(E'\t', 'prune executions', 'rows', :executions - count(*)) FROM update_tier.execution;
SELECT concat_ws(E'\t', 'prune memory', 'bytes', sum(used_bytes) - :before) FROM pg_backend_memory_contexts;
