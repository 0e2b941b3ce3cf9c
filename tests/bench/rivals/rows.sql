-- All effects of one envelope, $1 as text, in one statement and so one round trip and one commit: as cheap as it gets for one event.
WITH event AS (
    SELECT
        body -> 'event_metadata' AS metadata,
        body #>> '{event_metadata,order_id}' AS order_id,
        (body ->> 'event_id') || ' ' || (body ->> 'event_timestamp') AS identity,
        body ->> 'event_id' AS provider_event_id,
        body ->> 'event_name' AS name,
        (body ->> 'event_timestamp')::timestamptz AS occurred_at
    FROM (SELECT $1::text::jsonb AS body) AS sent
), line AS (
    INSERT INTO order_events (order_id, identity, provider_event_id, name, occurred_at, received_at)
    SELECT order_id, identity, provider_event_id, name, occurred_at, now() FROM event
    ON CONFLICT DO NOTHING
), refunded AS (
    INSERT INTO refunds (order_id, line, occurred_at, product, quantity, unit)
    SELECT order_id, item ->> 'line_num', occurred_at, item ->> 'item_upc', (item ->> 'qty')::numeric, item ->> 'qty_unit'
    FROM event, jsonb_array_elements(metadata -> 'order_items') AS item
    WHERE name = 'fulfillment.order_item_refund' AND (item ->> 'refunded')::boolean
    ON CONFLICT DO NOTHING
)
INSERT INTO orders AS old (order_id, status, status_at, fulfillment_type, last_event_at)
SELECT
    order_id,
    CASE WHEN name <> 'fulfillment.order_item_refund' THEN split_part(name, '.', 2) END,
    CASE WHEN name <> 'fulfillment.order_item_refund' THEN occurred_at END,
    metadata ->> 'fulfillment_type',
    occurred_at
FROM event
ON CONFLICT (order_id) DO UPDATE SET
    status = CASE WHEN old.status_at IS NULL OR excluded.status_at > old.status_at THEN excluded.status ELSE old.status END,
    status_at = greatest(old.status_at, excluded.status_at),
    fulfillment_type = excluded.fulfillment_type,
    last_event_at = greatest(old.last_event_at, excluded.last_event_at)
