-- The durable record, version 4: the rate limits that replicas share. It only adds: programs of version 3 serve on, each with
-- limits of its own.

-- What a scope of an institution has spent of these windows: of each, when it will be as good as new, nanoseconds since 1970
-- by this server's clock. Once all are, a row says no more than none, and goes. Nothing here outlasts anything: what a
-- crash takes of it is a moment's requests.
CREATE TABLE quota (
    institution  text   NOT NULL,
    scope        text   NOT NULL,
    windows      text   NOT NULL,
    arrival_1    bigint NOT NULL CHECK (arrival_1 >= 0),
    arrival_2    bigint NOT NULL CHECK (arrival_2 >= 0),
    arrival_3    bigint NOT NULL CHECK (arrival_3 >= 0),
    arrival_4    bigint NOT NULL CHECK (arrival_4 >= 0),
    recovered_at bigint NOT NULL,                                   -- the latest of the four
    PRIMARY KEY (institution, scope, windows)
);
CREATE INDEX quota_recovered ON quota (recovered_at);

UPDATE schema_version SET version = 4;
