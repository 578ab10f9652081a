ALTER TYPE workspace_status ADD VALUE 'hibernated';
