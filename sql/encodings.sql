--
-- Values and names in other encodings than UTF-8, and bytes that are valid in no
-- encoding.
--
CREATE DATABASE regress_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\c regress_latin1
SET client_encoding = 'UTF8';
CREATE TABLE "wörk" (id uuid PRIMARY KEY, "größe" text DEFAULT 'ß');
INSERT INTO "wörk" VALUES ('00000000-0000-0000-0000-000000000001');
CREATE EXTENSION update_tier;
SELECT update_tier.attach('"wörk"', $$"größe" <> 'é'$$);
SELECT * FROM update_tier.attached;
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canäry');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', repeat('é', 65));
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT * FROM canary_workspaces();
SELECT update_tier.start('päckchen', 'é');
SELECT update_tier.explain('päckchen', 'é', '00000000-0000-0000-0000-000000000001');
SELECT package, version FROM update_tier.status;
\c contrib_regression
DROP DATABASE regress_latin1;

-- With SQL_ASCII the server accepts any bytes.
CREATE DATABASE regress_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\c regress_ascii
CREATE TABLE workspaces (id uuid PRIMARY KEY);
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001');
CREATE EXTENSION update_tier;
SET bytea_output = 'hex';
SELECT update_tier.is_valid(convert_from('\xff80fe'::bytea, 'SQL_ASCII'));
DO $$
BEGIN
    PERFORM set_update_tier('00000000-0000-0000-0000-000000000001', convert_from('\xff63616e617279'::bytea, 'SQL_ASCII'));
EXCEPTION WHEN check_violation THEN
    RAISE NOTICE '%', encode(SQLERRM::bytea, 'escape');
END $$;
SELECT update_tier.start(convert_from('\xff80fe'::bytea, 'SQL_ASCII'), 'v');
SELECT encode(package::bytea, 'hex'), phase FROM update_tier.status;
\c contrib_regression
DROP DATABASE regress_ascii;
