-- A usual queue table, for SKIP LOCKED.
CREATE TABLE queue (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    package     text        NOT NULL,
    version     text        NOT NULL,
    workspace   uuid        NOT NULL,
    status      text        NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'claimed', 'applied')),
    claimed_at  timestamptz,
    finished_at timestamptz
);
CREATE INDEX queue_pending ON queue (package, id) WHERE status = 'pending';
