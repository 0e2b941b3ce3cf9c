SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.customer_mia_alerts (
    provider character varying NOT NULL,
    order_id character varying NOT NULL,
    identity character varying NOT NULL,
    event_id character varying NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    first_reported_at timestamp with time zone NOT NULL,
    last_reported_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    closed_by character varying
);
CREATE TABLE public.late_deliveries (
    provider character varying NOT NULL,
    order_id character varying NOT NULL,
    event_id character varying NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    news character varying NOT NULL COLLATE pg_catalog."C",
    old_window_starts_at timestamp with time zone,
    old_window_ends_at timestamp with time zone,
    new_window_starts_at timestamp with time zone,
    new_window_ends_at timestamp with time zone,
    promised_at timestamp with time zone,
    expected_at timestamp with time zone,
    minutes_late bigint
);
CREATE TABLE public.order_events (
    provider character varying NOT NULL,
    order_id character varying NOT NULL,
    identity character varying NOT NULL,
    event_id character varying NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    name character varying NOT NULL,
    kind character varying NOT NULL,
    status character varying,
    expected_at timestamp with time zone,
    provider_event_id character varying
);
CREATE TABLE public.orders (
    provider character varying NOT NULL,
    order_id character varying NOT NULL,
    number character varying,
    number_news character varying COLLATE pg_catalog."C",
    fulfillment_type character varying,
    fulfillment_type_news character varying COLLATE pg_catalog."C",
    status character varying,
    status_at timestamp with time zone,
    status_news character varying COLLATE pg_catalog."C",
    expected_at timestamp with time zone,
    expected_news character varying COLLATE pg_catalog."C",
    promised_at timestamp with time zone,
    promised_news character varying COLLATE pg_catalog."C",
    first_event_at timestamp with time zone,
    last_event_at timestamp with time zone
);
CREATE TABLE public.outbox (
    idempotency_key character varying NOT NULL,
    channel character varying NOT NULL,
    topic character varying NOT NULL,
    title text NOT NULL,
    payload text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    leased_until timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    sent_at timestamp with time zone,
    dropped boolean DEFAULT false NOT NULL,
    last_error character varying
);
CREATE TABLE public.refunds (
    provider character varying NOT NULL,
    order_id character varying NOT NULL,
    line character varying NOT NULL,
    event_id character varying NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    first_news character varying NOT NULL COLLATE pg_catalog."C",
    product character varying,
    product_name character varying,
    quantity numeric,
    unit character varying
);
CREATE TABLE public.replacements (
    provider character varying NOT NULL,
    order_id character varying NOT NULL,
    line character varying NOT NULL,
    substitute character varying NOT NULL,
    event_id character varying NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    first_news character varying NOT NULL COLLATE pg_catalog."C",
    last_news character varying NOT NULL COLLATE pg_catalog."C",
    product character varying,
    product_name character varying,
    quantity numeric,
    unit character varying,
    substitute_name character varying,
    substitute_quantity numeric,
    superseded_by character varying
);
INSERT INTO public.alembic_version VALUES ('0001');
INSERT INTO public.customer_mia_alerts VALUES ('instacart', 'leased-1', '5te0vKJiw_ke5dgYgL2dow', '1795594000883-0', '2026-11-20 02:41:40+00', '2026-11-25 08:06:40.883+00', '2026-11-20 02:41:40+00', '2026-11-20 02:41:40+00', NULL, NULL);
INSERT INTO public.customer_mia_alerts VALUES ('instacart', 'old-0', '1-JQTKMuMY0x3bSeYmSO0Q', '1795593958734-0', '2026-11-20 01:00:05+00', '2026-11-25 08:05:58.734+00', '2026-11-20 01:00:05+00', '2026-11-20 01:00:05+00', NULL, NULL);
INSERT INTO public.customer_mia_alerts VALUES ('instacart', 'old-1', 'uCINGYkveGveo-k4_4HfOA', '1795593958745-0', '2026-11-20 01:01:05+00', '2026-11-25 08:05:58.745+00', '2026-11-20 01:01:05+00', '2026-11-20 01:01:05+00', NULL, NULL);
INSERT INTO public.customer_mia_alerts VALUES ('instacart', 'unsent-1', '05-TVLtl9eneZiH6NwJzwA', '1795593991025-0', '2026-11-20 02:40:00+00', '2026-11-25 08:06:31.025+00', '2026-11-20 02:40:00+00', '2026-11-20 02:40:00+00', NULL, NULL);
INSERT INTO public.customer_mia_alerts VALUES ('instacart', 'unsent-2', 'ZGsrn6KVIw_dcYfyF3wIpg', '1795593991028-0', '2026-11-20 02:40:01+00', '2026-11-25 08:06:31.028+00', '2026-11-20 02:40:01+00', '2026-11-20 02:40:01+00', NULL, NULL);
INSERT INTO public.late_deliveries VALUES ('instacart', 'b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710', '1795593958755-0', '2024-11-22 17:31:45+00', '2026-11-25 08:05:58.755+00', '2024-11-22T17:31:45.000000+00:00|0|4u-dKmMXDgKB2d2bQHPZ9Q', '2024-11-22 17:00:00+00', '2024-11-22 18:00:00+00', '2024-11-22 18:00:00+00', '2024-11-22 18:25:00+00', '2024-11-22 18:00:00+00', '2024-11-22 18:25:00+00', 25);
INSERT INTO public.late_deliveries VALUES ('instacart', 'old-0', '1795593958729-0', '2026-11-20 01:00:04+00', '2026-11-25 08:05:58.729+00', '2026-11-20T01:00:04.000000+00:00|0|FtxZjdSwoemwi19K5Spu3Q', NULL, NULL, NULL, NULL, '2026-11-20 18:00:00+00', '2026-11-20 18:40:00+00', 40);
INSERT INTO public.late_deliveries VALUES ('instacart', 'old-1', '1795593958742-0', '2026-11-20 01:01:04+00', '2026-11-25 08:05:58.742+00', '2026-11-20T01:01:04.000000+00:00|0|9pzfLwjDfs31hM3ZzrkO8A', NULL, NULL, NULL, NULL, '2026-11-20 18:00:00+00', '2026-11-20 18:40:00+00', 40);
INSERT INTO public.order_events VALUES ('afosto', 'dlv_5f8a2e7b-0d93-4b3e-9c1d-72fca3442a6f', 'bb0Qzx15PvXwHisxhlhRLg', '1795593958748-0', '2024-04-25 13:00:00+00', '2026-11-25 08:05:58.748+00', 'DELIVERED', 'delivered', 'delivered', '2024-04-25 10:00:00+00', 'msg_ab12cd34-ef56-7890-1234-abcdef567890');
INSERT INTO public.order_events VALUES ('afosto', 'ord_72fca344-2a6f-4b3e-9c1d-5f8a2e7b0d93', '29laUsj_M0lRp2kWsYYhOA', '1795593958747-0', '2024-04-24 23:06:40+00', '2026-11-25 08:05:58.747+00', 'ORDER_OPENED', 'order_opened', 'open', NULL, 'msg_3a1b2c4d-5e6f-7890-abcd-ef1234567890');
INSERT INTO public.order_events VALUES ('instacart', 'b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710', '4u-dKmMXDgKB2d2bQHPZ9Q', '1795593958755-0', '2024-11-22 17:31:45+00', '2026-11-25 08:05:58.755+00', 'fulfillment.late_delivery', 'late_delivery', NULL, '2024-11-22 18:25:00+00', '1201895966044343960');
INSERT INTO public.order_events VALUES ('instacart', 'b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710', 'EM1rbOIrlapTVXcG78L8iQ', '1795593958751-0', '2024-11-22 16:02:11+00', '2026-11-25 08:05:58.751+00', 'fulfillment.brand_new', 'order_created', 'brand_new', '2024-11-22 17:00:00+00', '1201895966044343904');
INSERT INTO public.order_events VALUES ('instacart', 'broken-0', '5Z4o7BClu9UtC6KCBFvduw', '1795593958964-0', '2026-11-20 02:31:40+00', '2026-11-25 08:05:58.964+00', 'fulfillment.order_item_replacement', 'order_item_replacement', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'broken-0', 'SzdG7L1pNtGKalZ-sgPHNA', '1795593958970-0', '2026-11-20 02:35:00+00', '2026-11-25 08:05:58.97+00', 'fulfillment.customer_mia', 'customer_mia', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'broken-0', 'XD8xNcJT8P4kKHuaearGiw', '1795593958944-0', '2026-11-20 02:30:00+00', '2026-11-25 08:05:58.944+00', 'fulfillment.order_item_refund', 'order_item_refund', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'broken-0', 'zlM32bvtykJGD-SCp8Nl2g', '1795593958971-0', '2026-11-20 02:36:40+00', '2026-11-25 08:05:58.971+00', 'fulfillment.late_delivery', 'late_delivery', NULL, '2026-11-20 18:40:00+00', NULL);
INSERT INTO public.order_events VALUES ('instacart', 'broken-1', 'MnxNQ-3CSAUDwKIKxJpAqQ', '1795593958948-0', '2026-11-20 02:30:01+00', '2026-11-25 08:05:58.948+00', 'fulfillment.order_item_refund', 'order_item_refund', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'leased-1', '5te0vKJiw_ke5dgYgL2dow', '1795594000883-0', '2026-11-20 02:41:40+00', '2026-11-25 08:06:40.883+00', 'fulfillment.customer_mia', 'customer_mia', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'odd-1', 'OOCz9g-2pYdIG0x6P32JPQ', '1795593958714-0', '2026-11-20 02:00:00+00', '2026-11-25 08:05:58.714+00', 'fulfillment.picking', 'picking', 'picking', NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'odd-2', 'CASDhYGHw0YUsrOecE3Sog', '1795593958716-0', '2026-11-20 02:00:01+00', '2026-11-25 08:05:58.716+00', 'fulfillment.teleported', 'unrecognised', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'odd-2', 'bf_NkDnc9Wd51MlWWcAekg', '1795593958721-0', '2026-11-20 02:00:02+00', '2026-11-25 08:05:58.721+00', 'fulfillment.teleported', 'unrecognised', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-0', '1-JQTKMuMY0x3bSeYmSO0Q', '1795593958734-0', '2026-11-20 01:00:05+00', '2026-11-25 08:05:58.734+00', 'fulfillment.customer_mia', 'customer_mia', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-0', '10DTmw22WaygDnSEwx20MQ', '1795593958727-0', '2026-11-20 01:00:03+00', '2026-11-25 08:05:58.727+00', 'fulfillment.order_item_refund', 'order_item_refund', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-0', '9lYxJDkOGHlPXClsgnpwpA', '1795593958724-0', '2026-11-20 01:00:01+00', '2026-11-25 08:05:58.724+00', 'fulfillment.acknowledged', 'acknowledged', 'acknowledged', NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-0', 'FtxZjdSwoemwi19K5Spu3Q', '1795593958729-0', '2026-11-20 01:00:04+00', '2026-11-25 08:05:58.729+00', 'fulfillment.late_delivery', 'late_delivery', NULL, '2026-11-20 18:40:00+00', NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-0', 'JCG52Nae7Cd9b5w6ybKG0Q', '1795593958725-0', '2026-11-20 01:00:02+00', '2026-11-25 08:05:58.725+00', 'fulfillment.order_item_replacement', 'order_item_replacement', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-0', 'Lvlba9DmETG7TD4VTMpzHg', '1795593958723-0', '2026-11-20 01:00:00+00', '2026-11-25 08:05:58.723+00', 'fulfillment.order_created', 'order_created', 'brand_new', '2026-11-20 18:00:00+00', NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-1', '1D-jBC3aGsQVJkydDiZLyA', '1795593958736-0', '2026-11-20 01:01:00+00', '2026-11-25 08:05:58.736+00', 'fulfillment.order_created', 'order_created', 'brand_new', '2026-11-20 18:00:00+00', NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-1', '946fNogZsRpbDIWn7SS4aw', '1795593958737-0', '2026-11-20 01:01:01+00', '2026-11-25 08:05:58.737+00', 'fulfillment.acknowledged', 'acknowledged', 'acknowledged', NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-1', '9pzfLwjDfs31hM3ZzrkO8A', '1795593958742-0', '2026-11-20 01:01:04+00', '2026-11-25 08:05:58.742+00', 'fulfillment.late_delivery', 'late_delivery', NULL, '2026-11-20 18:40:00+00', NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-1', 'MCwb3uBvYGrVVzAg6ALTzA', '1795593958741-0', '2026-11-20 01:01:03+00', '2026-11-25 08:05:58.741+00', 'fulfillment.order_item_refund', 'order_item_refund', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-1', 'uCINGYkveGveo-k4_4HfOA', '1795593958745-0', '2026-11-20 01:01:05+00', '2026-11-25 08:05:58.745+00', 'fulfillment.customer_mia', 'customer_mia', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'old-1', 'xURAhZXUOtnZFVMfTHXrCw', '1795593958738-0', '2026-11-20 01:01:02+00', '2026-11-25 08:05:58.738+00', 'fulfillment.order_item_replacement', 'order_item_replacement', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'refuse-1', '6O-bWqgZjTJrXL5WGF4J7g', '1795593958974-0', '2026-11-20 02:38:20+00', '2026-11-25 08:05:58.974+00', 'fulfillment.delivered', 'delivered', 'delivered', NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'unsent-1', '05-TVLtl9eneZiH6NwJzwA', '1795593991025-0', '2026-11-20 02:40:00+00', '2026-11-25 08:06:31.025+00', 'fulfillment.customer_mia', 'customer_mia', NULL, NULL, NULL);
INSERT INTO public.order_events VALUES ('instacart', 'unsent-2', 'ZGsrn6KVIw_dcYfyF3wIpg', '1795593991028-0', '2026-11-20 02:40:01+00', '2026-11-25 08:06:31.028+00', 'fulfillment.customer_mia', 'customer_mia', NULL, NULL, NULL);
INSERT INTO public.orders VALUES ('afosto', 'dlv_5f8a2e7b-0d93-4b3e-9c1d-72fca3442a6f', NULL, NULL, NULL, NULL, 'delivered', '2024-04-25 13:00:00+00', '2024-04-25T13:00:00.000000+00:00|7|bb0Qzx15PvXwHisxhlhRLg', '2024-04-25 10:00:00+00', '2024-04-25T13:00:00.000000+00:00|7|bb0Qzx15PvXwHisxhlhRLg', NULL, NULL, '2024-04-25 13:00:00+00', '2024-04-25 13:00:00+00');
INSERT INTO public.orders VALUES ('afosto', 'ord_72fca344-2a6f-4b3e-9c1d-5f8a2e7b0d93', '1042', '2024-04-24T23:06:40.000000+00:00|1|29laUsj_M0lRp2kWsYYhOA', NULL, NULL, 'open', '2024-04-24 23:06:40+00', '2024-04-24T23:06:40.000000+00:00|1|29laUsj_M0lRp2kWsYYhOA', NULL, NULL, NULL, NULL, '2024-04-24 23:06:40+00', '2024-04-24 23:06:40+00');
INSERT INTO public.orders VALUES ('instacart', 'b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710', NULL, NULL, 'delivery', '2024-11-22T17:31:45.000000+00:00|0|4u-dKmMXDgKB2d2bQHPZ9Q', 'brand_new', '2024-11-22 16:02:11+00', '2024-11-22T16:02:11.000000+00:00|1|EM1rbOIrlapTVXcG78L8iQ', '2024-11-22 18:25:00+00', '2024-11-22T17:31:45.000000+00:00|0|4u-dKmMXDgKB2d2bQHPZ9Q', '2024-11-22 17:00:00+00', '2024-11-22T16:02:11.000000+00:00|1|EM1rbOIrlapTVXcG78L8iQ', '2024-11-22 16:02:11+00', '2024-11-22 17:31:45+00');
INSERT INTO public.orders VALUES ('instacart', 'broken-0', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 18:40:00+00', '2026-11-20T02:36:40.000000+00:00|0|zlM32bvtykJGD-SCp8Nl2g', NULL, NULL, '2026-11-20 02:30:00+00', '2026-11-20 02:36:40+00');
INSERT INTO public.orders VALUES ('instacart', 'broken-1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 02:30:01+00', '2026-11-20 02:30:01+00');
INSERT INTO public.orders VALUES ('instacart', 'leased-1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 02:41:40+00', '2026-11-20 02:41:40+00');
INSERT INTO public.orders VALUES ('instacart', 'odd-1', NULL, NULL, NULL, NULL, 'picking', '2026-11-20 02:00:00+00', '2026-11-20T02:00:00.000000+00:00|4|OOCz9g-2pYdIG0x6P32JPQ', NULL, NULL, NULL, NULL, '2026-11-20 02:00:00+00', '2026-11-20 02:00:00+00');
INSERT INTO public.orders VALUES ('instacart', 'odd-2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 02:00:01+00', '2026-11-20 02:00:02+00');
INSERT INTO public.orders VALUES ('instacart', 'old-0', NULL, NULL, NULL, NULL, 'acknowledged', '2026-11-20 01:00:01+00', '2026-11-20T01:00:01.000000+00:00|3|9lYxJDkOGHlPXClsgnpwpA', '2026-11-20 18:40:00+00', '2026-11-20T01:00:04.000000+00:00|0|FtxZjdSwoemwi19K5Spu3Q', '2026-11-20 18:00:00+00', '2026-11-20T01:00:00.000000+00:00|1|Lvlba9DmETG7TD4VTMpzHg', '2026-11-20 01:00:00+00', '2026-11-20 01:00:05+00');
INSERT INTO public.orders VALUES ('instacart', 'old-1', NULL, NULL, NULL, NULL, 'acknowledged', '2026-11-20 01:01:01+00', '2026-11-20T01:01:01.000000+00:00|3|946fNogZsRpbDIWn7SS4aw', '2026-11-20 18:40:00+00', '2026-11-20T01:01:04.000000+00:00|0|9pzfLwjDfs31hM3ZzrkO8A', '2026-11-20 18:00:00+00', '2026-11-20T01:01:00.000000+00:00|1|1D-jBC3aGsQVJkydDiZLyA', '2026-11-20 01:01:00+00', '2026-11-20 01:01:05+00');
INSERT INTO public.orders VALUES ('instacart', 'refuse-1', NULL, NULL, NULL, NULL, 'delivered', '2026-11-20 02:38:20+00', '2026-11-20T02:38:20.000000+00:00|7|6O-bWqgZjTJrXL5WGF4J7g', NULL, NULL, NULL, NULL, '2026-11-20 02:38:20+00', '2026-11-20 02:38:20+00');
INSERT INTO public.orders VALUES ('instacart', 'unsent-1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 02:40:00+00', '2026-11-20 02:40:00+00');
INSERT INTO public.orders VALUES ('instacart', 'unsent-2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 02:40:01+00', '2026-11-20 02:40:01+00');
INSERT INTO public.outbox VALUES ('customer_mia:instacart:leased-1:5te0vKJiw_ke5dgYgL2dow', 'log', 'customer_mia', 'Customer of order leased-1 cannot be found', '{"provider":"instacart","order_id":"leased-1","event_id":"1795594000883-0","occurred_at":"2026-11-20T02:41:40+00:00"}', '2026-11-25 08:06:40.90424+00', '2026-11-25 08:06:40.90424+00', NULL, 1, '2026-11-25 08:06:40.906376+00', false, NULL);
INSERT INTO public.outbox VALUES ('customer_mia:instacart:leased-1:5te0vKJiw_ke5dgYgL2dow', 'webhook', 'customer_mia', 'Customer of order leased-1 cannot be found', '{"provider":"instacart","order_id":"leased-1","event_id":"1795594000883-0","occurred_at":"2026-11-20T02:41:40+00:00"}', '2026-11-25 08:06:40.90424+00', '2026-11-25 08:06:40.90424+00', '2026-11-25 08:07:10.90424+00', 0, NULL, false, NULL);
INSERT INTO public.outbox VALUES ('customer_mia:instacart:old-0:1-JQTKMuMY0x3bSeYmSO0Q', 'log', 'customer_mia', 'Customer of order old-0 cannot be found', '{"provider":"instacart","order_id":"old-0","event_id":"1795593958734-0","occurred_at":"2026-11-20T01:00:05+00:00"}', '2026-11-25 08:05:58.928439+00', '2026-11-25 08:05:58.928439+00', NULL, 1, '2026-11-25 08:05:58.955982+00', false, NULL);
INSERT INTO public.outbox VALUES ('customer_mia:instacart:old-0:1-JQTKMuMY0x3bSeYmSO0Q', 'webhook', 'customer_mia', 'Customer of order old-0 cannot be found', '{"provider":"instacart","order_id":"old-0","event_id":"1795593958734-0","occurred_at":"2026-11-20T01:00:05+00:00"}', '2026-11-25 08:05:58.928439+00', '2026-11-25 08:05:58.928439+00', NULL, 1, '2026-11-25 08:05:58.956099+00', false, NULL);
INSERT INTO public.outbox VALUES ('customer_mia:instacart:old-1:uCINGYkveGveo-k4_4HfOA', 'log', 'customer_mia', 'Customer of order old-1 cannot be found', '{"provider":"instacart","order_id":"old-1","event_id":"1795593958745-0","occurred_at":"2026-11-20T01:01:05+00:00"}', '2026-11-25 08:05:58.928439+00', '2026-11-25 08:05:58.928439+00', NULL, 1, '2026-11-25 08:05:58.956749+00', false, NULL);
INSERT INTO public.outbox VALUES ('customer_mia:instacart:old-1:uCINGYkveGveo-k4_4HfOA', 'webhook', 'customer_mia', 'Customer of order old-1 cannot be found', '{"provider":"instacart","order_id":"old-1","event_id":"1795593958745-0","occurred_at":"2026-11-20T01:01:05+00:00"}', '2026-11-25 08:05:58.928439+00', '2026-11-25 08:05:58.928439+00', NULL, 1, '2026-11-25 08:05:58.956783+00', false, NULL);
INSERT INTO public.outbox VALUES ('customer_mia:instacart:unsent-1:05-TVLtl9eneZiH6NwJzwA', 'log', 'customer_mia', 'Customer of order unsent-1 cannot be found', '{"provider":"instacart","order_id":"unsent-1","event_id":"1795593991025-0","occurred_at":"2026-11-20T02:40:00+00:00"}', '2026-11-25 08:06:31.047143+00', '2026-11-25 08:06:31.047143+00', NULL, 1, '2026-11-25 08:06:31.049322+00', false, NULL);
INSERT INTO public.outbox VALUES ('customer_mia:instacart:unsent-1:05-TVLtl9eneZiH6NwJzwA', 'webhook', 'customer_mia', 'Customer of order unsent-1 cannot be found', '{"provider":"instacart","order_id":"unsent-1","event_id":"1795593991025-0","occurred_at":"2026-11-20T02:40:00+00:00"}', '2026-11-25 08:06:31.047143+00', '2026-11-25 08:06:48.843147+00', NULL, 4, NULL, false, 'the webhook answered 503');
INSERT INTO public.outbox VALUES ('customer_mia:instacart:unsent-2:ZGsrn6KVIw_dcYfyF3wIpg', 'log', 'customer_mia', 'Customer of order unsent-2 cannot be found', '{"provider":"instacart","order_id":"unsent-2","event_id":"1795593991028-0","occurred_at":"2026-11-20T02:40:01+00:00"}', '2026-11-25 08:06:31.047143+00', '2026-11-25 08:06:31.047143+00', NULL, 1, '2026-11-25 08:06:31.050645+00', false, NULL);
INSERT INTO public.outbox VALUES ('customer_mia:instacart:unsent-2:ZGsrn6KVIw_dcYfyF3wIpg', 'webhook', 'customer_mia', 'Customer of order unsent-2 cannot be found', '{"provider":"instacart","order_id":"unsent-2","event_id":"1795593991028-0","occurred_at":"2026-11-20T02:40:01+00:00"}', '2026-11-25 08:06:31.047143+00', '2026-11-25 08:06:48.843564+00', NULL, 4, NULL, false, 'the webhook answered 503');
INSERT INTO public.outbox VALUES ('late_delivery:instacart:b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710:4u-dKmMXDgKB2d2bQHPZ9Q', 'log', 'late_delivery', 'Order b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710 will be late by 25 minutes', '{"provider":"instacart","order_id":"b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710","event_id":"1795593958755-0","occurred_at":"2024-11-22T17:31:45+00:00","promised_at":"2024-11-22T18:00:00+00:00","expected_at":"2024-11-22T18:25:00+00:00","minutes_late":25}', '2026-11-25 08:05:58.9025+00', '2026-11-25 08:05:58.9025+00', NULL, 1, '2026-11-25 08:05:58.92927+00', false, NULL);
INSERT INTO public.outbox VALUES ('late_delivery:instacart:b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710:4u-dKmMXDgKB2d2bQHPZ9Q', 'webhook', 'late_delivery', 'Order b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710 will be late by 25 minutes', '{"provider":"instacart","order_id":"b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710","event_id":"1795593958755-0","occurred_at":"2024-11-22T17:31:45+00:00","promised_at":"2024-11-22T18:00:00+00:00","expected_at":"2024-11-22T18:25:00+00:00","minutes_late":25}', '2026-11-25 08:05:58.9025+00', '2026-11-25 08:05:58.9025+00', NULL, 1, '2026-11-25 08:05:58.934706+00', false, NULL);
INSERT INTO public.outbox VALUES ('late_delivery:instacart:old-0:FtxZjdSwoemwi19K5Spu3Q', 'log', 'late_delivery', 'Order old-0 will be late by 40 minutes', '{"provider":"instacart","order_id":"old-0","event_id":"1795593958729-0","occurred_at":"2026-11-20T01:00:04+00:00","promised_at":"2026-11-20T18:00:00+00:00","expected_at":"2026-11-20T18:40:00+00:00","minutes_late":40}', '2026-11-25 08:05:58.9025+00', '2026-11-25 08:05:58.9025+00', NULL, 1, '2026-11-25 08:05:58.944229+00', false, NULL);
INSERT INTO public.outbox VALUES ('late_delivery:instacart:old-0:FtxZjdSwoemwi19K5Spu3Q', 'webhook', 'late_delivery', 'Order old-0 will be late by 40 minutes', '{"provider":"instacart","order_id":"old-0","event_id":"1795593958729-0","occurred_at":"2026-11-20T01:00:04+00:00","promised_at":"2026-11-20T18:00:00+00:00","expected_at":"2026-11-20T18:40:00+00:00","minutes_late":40}', '2026-11-25 08:05:58.9025+00', '2026-11-25 08:05:58.9025+00', NULL, 1, '2026-11-25 08:05:58.948278+00', false, NULL);
INSERT INTO public.outbox VALUES ('late_delivery:instacart:old-1:9pzfLwjDfs31hM3ZzrkO8A', 'log', 'late_delivery', 'Order old-1 will be late by 40 minutes', '{"provider":"instacart","order_id":"old-1","event_id":"1795593958742-0","occurred_at":"2026-11-20T01:01:04+00:00","promised_at":"2026-11-20T18:00:00+00:00","expected_at":"2026-11-20T18:40:00+00:00","minutes_late":40}', '2026-11-25 08:05:58.9025+00', '2026-11-25 08:05:58.9025+00', NULL, 1, '2026-11-25 08:05:58.949755+00', false, NULL);
INSERT INTO public.outbox VALUES ('late_delivery:instacart:old-1:9pzfLwjDfs31hM3ZzrkO8A', 'webhook', 'late_delivery', 'Order old-1 will be late by 40 minutes', '{"provider":"instacart","order_id":"old-1","event_id":"1795593958742-0","occurred_at":"2026-11-20T01:01:04+00:00","promised_at":"2026-11-20T18:00:00+00:00","expected_at":"2026-11-20T18:40:00+00:00","minutes_late":40}', '2026-11-25 08:05:58.9025+00', '2026-11-25 08:05:58.9025+00', NULL, 1, '2026-11-25 08:05:58.949862+00', false, NULL);
INSERT INTO public.refunds VALUES ('instacart', 'old-0', 'bread', '1795593958727-0', '2026-11-20 01:00:03+00', '2026-11-25 08:05:58.727+00', '2026-11-20T01:00:03.000000+00:00|0|10DTmw22WaygDnSEwx20MQ', 'bread', NULL, NULL, NULL);
INSERT INTO public.refunds VALUES ('instacart', 'old-0', 'milk', '1795593958727-0', '2026-11-20 01:00:03+00', '2026-11-25 08:05:58.727+00', '2026-11-20T01:00:03.000000+00:00|0|10DTmw22WaygDnSEwx20MQ', 'milk', NULL, NULL, NULL);
INSERT INTO public.refunds VALUES ('instacart', 'old-1', 'bread', '1795593958741-0', '2026-11-20 01:01:03+00', '2026-11-25 08:05:58.741+00', '2026-11-20T01:01:03.000000+00:00|0|MCwb3uBvYGrVVzAg6ALTzA', 'bread', NULL, NULL, NULL);
INSERT INTO public.refunds VALUES ('instacart', 'old-1', 'milk', '1795593958741-0', '2026-11-20 01:01:03+00', '2026-11-25 08:05:58.741+00', '2026-11-20T01:01:03.000000+00:00|0|MCwb3uBvYGrVVzAg6ALTzA', 'milk', NULL, NULL, NULL);
INSERT INTO public.replacements VALUES ('instacart', 'old-0', 'tea', 'coffee', '1795593958725-0', '2026-11-20 01:00:02+00', '2026-11-25 08:05:58.725+00', '2026-11-20T01:00:02.000000+00:00|0|JCG52Nae7Cd9b5w6ybKG0Q', '2026-11-20T01:00:02.000000+00:00|0|JCG52Nae7Cd9b5w6ybKG0Q', 'tea', NULL, NULL, NULL, NULL, 1, NULL);
INSERT INTO public.replacements VALUES ('instacart', 'old-1', 'tea', 'coffee', '1795593958738-0', '2026-11-20 01:01:02+00', '2026-11-25 08:05:58.738+00', '2026-11-20T01:01:02.000000+00:00|0|xURAhZXUOtnZFVMfTHXrCw', '2026-11-20T01:01:02.000000+00:00|0|xURAhZXUOtnZFVMfTHXrCw', 'tea', NULL, NULL, NULL, NULL, 1, NULL);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.customer_mia_alerts
    ADD CONSTRAINT pk_customer_mia_alerts PRIMARY KEY (provider, order_id, identity);
ALTER TABLE ONLY public.late_deliveries
    ADD CONSTRAINT pk_late_deliveries PRIMARY KEY (provider, order_id);
ALTER TABLE ONLY public.order_events
    ADD CONSTRAINT pk_order_events PRIMARY KEY (provider, order_id, identity);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT pk_orders PRIMARY KEY (provider, order_id);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT pk_outbox PRIMARY KEY (idempotency_key, channel);
ALTER TABLE ONLY public.refunds
    ADD CONSTRAINT pk_refunds PRIMARY KEY (provider, order_id, line);
ALTER TABLE ONLY public.replacements
    ADD CONSTRAINT pk_replacements PRIMARY KEY (provider, order_id, line, substitute);
CREATE INDEX ix_outbox_waiting ON public.outbox USING btree (due_at) WHERE (sent_at IS NULL);
CREATE UNIQUE INDEX uq_customer_mia_alerts_open ON public.customer_mia_alerts USING btree (provider, order_id) WHERE (closed_at IS NULL);
