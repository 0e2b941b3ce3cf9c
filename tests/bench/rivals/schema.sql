-- The rivals' tables: of our ledger's, what the benchmark compares, under the same names and unique keys.
CREATE TABLE orders (
    order_id text PRIMARY KEY,
    status text,
    status_at timestamptz,
    fulfillment_type text,
    last_event_at timestamptz NOT NULL
);
CREATE TABLE order_events (
    order_id text,
    identity text,
    provider_event_id text,
    name text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (order_id, identity)
);
CREATE TABLE refunds (
    order_id text,
    line text,
    occurred_at timestamptz NOT NULL,
    product text,
    quantity numeric,
    unit text,
    PRIMARY KEY (order_id, line)
);
