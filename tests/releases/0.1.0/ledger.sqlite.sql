BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE customer_mia_alerts (
	provider VARCHAR NOT NULL, 
	order_id VARCHAR NOT NULL, 
	identity VARCHAR NOT NULL, 
	event_id VARCHAR NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	received_at DATETIME NOT NULL, 
	first_reported_at DATETIME NOT NULL, 
	last_reported_at DATETIME NOT NULL, 
	closed_at DATETIME, 
	closed_by VARCHAR, 
	CONSTRAINT pk_customer_mia_alerts PRIMARY KEY (provider, order_id, identity)
);
INSERT INTO "customer_mia_alerts" VALUES('instacart','old-0','1-JQTKMuMY0x3bSeYmSO0Q','1795593958734-0','2026-11-20 01:00:05.000000','2026-11-25 08:05:58.734000','2026-11-20 01:00:05.000000','2026-11-20 01:00:05.000000',NULL,NULL);
INSERT INTO "customer_mia_alerts" VALUES('instacart','old-1','uCINGYkveGveo-k4_4HfOA','1795593958745-0','2026-11-20 01:01:05.000000','2026-11-25 08:05:58.745000','2026-11-20 01:01:05.000000','2026-11-20 01:01:05.000000',NULL,NULL);
INSERT INTO "customer_mia_alerts" VALUES('instacart','unsent-1','05-TVLtl9eneZiH6NwJzwA','1795593991025-0','2026-11-20 02:40:00.000000','2026-11-25 08:06:31.025000','2026-11-20 02:40:00.000000','2026-11-20 02:40:00.000000',NULL,NULL);
INSERT INTO "customer_mia_alerts" VALUES('instacart','unsent-2','ZGsrn6KVIw_dcYfyF3wIpg','1795593991028-0','2026-11-20 02:40:01.000000','2026-11-25 08:06:31.028000','2026-11-20 02:40:01.000000','2026-11-20 02:40:01.000000',NULL,NULL);
INSERT INTO "customer_mia_alerts" VALUES('instacart','leased-1','5te0vKJiw_ke5dgYgL2dow','1795594000883-0','2026-11-20 02:41:40.000000','2026-11-25 08:06:40.883000','2026-11-20 02:41:40.000000','2026-11-20 02:41:40.000000',NULL,NULL);
CREATE TABLE late_deliveries (
	provider VARCHAR NOT NULL, 
	order_id VARCHAR NOT NULL, 
	event_id VARCHAR NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	received_at DATETIME NOT NULL, 
	news VARCHAR NOT NULL, 
	old_window_starts_at DATETIME, 
	old_window_ends_at DATETIME, 
	new_window_starts_at DATETIME, 
	new_window_ends_at DATETIME, 
	promised_at DATETIME, 
	expected_at DATETIME, 
	minutes_late BIGINT, 
	CONSTRAINT pk_late_deliveries PRIMARY KEY (provider, order_id)
);
INSERT INTO "late_deliveries" VALUES('instacart','b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710','1795593958755-0','2024-11-22 17:31:45.000000','2026-11-25 08:05:58.755000','2024-11-22T17:31:45.000000+00:00|0|4u-dKmMXDgKB2d2bQHPZ9Q','2024-11-22 17:00:00.000000','2024-11-22 18:00:00.000000','2024-11-22 18:00:00.000000','2024-11-22 18:25:00.000000','2024-11-22 18:00:00.000000','2024-11-22 18:25:00.000000',25);
INSERT INTO "late_deliveries" VALUES('instacart','old-0','1795593958729-0','2026-11-20 01:00:04.000000','2026-11-25 08:05:58.729000','2026-11-20T01:00:04.000000+00:00|0|FtxZjdSwoemwi19K5Spu3Q',NULL,NULL,NULL,NULL,'2026-11-20 18:00:00.000000','2026-11-20 18:40:00.000000',40);
INSERT INTO "late_deliveries" VALUES('instacart','old-1','1795593958742-0','2026-11-20 01:01:04.000000','2026-11-25 08:05:58.742000','2026-11-20T01:01:04.000000+00:00|0|9pzfLwjDfs31hM3ZzrkO8A',NULL,NULL,NULL,NULL,'2026-11-20 18:00:00.000000','2026-11-20 18:40:00.000000',40);
CREATE TABLE order_events (
	provider VARCHAR NOT NULL, 
	order_id VARCHAR NOT NULL, 
	identity VARCHAR NOT NULL, 
	event_id VARCHAR NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	received_at DATETIME NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	status VARCHAR, 
	expected_at DATETIME, 
	provider_event_id VARCHAR, 
	CONSTRAINT pk_order_events PRIMARY KEY (provider, order_id, identity)
);
INSERT INTO "order_events" VALUES('instacart','odd-1','OOCz9g-2pYdIG0x6P32JPQ','1795593958714-0','2026-11-20 02:00:00.000000','2026-11-25 08:05:58.714000','fulfillment.picking','picking','picking',NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','odd-2','CASDhYGHw0YUsrOecE3Sog','1795593958716-0','2026-11-20 02:00:01.000000','2026-11-25 08:05:58.716000','fulfillment.teleported','unrecognised',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','odd-2','bf_NkDnc9Wd51MlWWcAekg','1795593958721-0','2026-11-20 02:00:02.000000','2026-11-25 08:05:58.721000','fulfillment.teleported','unrecognised',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','old-0','Lvlba9DmETG7TD4VTMpzHg','1795593958723-0','2026-11-20 01:00:00.000000','2026-11-25 08:05:58.723000','fulfillment.order_created','order_created','brand_new','2026-11-20 18:00:00.000000',NULL);
INSERT INTO "order_events" VALUES('instacart','old-0','9lYxJDkOGHlPXClsgnpwpA','1795593958724-0','2026-11-20 01:00:01.000000','2026-11-25 08:05:58.724000','fulfillment.acknowledged','acknowledged','acknowledged',NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','old-0','JCG52Nae7Cd9b5w6ybKG0Q','1795593958725-0','2026-11-20 01:00:02.000000','2026-11-25 08:05:58.725000','fulfillment.order_item_replacement','order_item_replacement',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','old-0','10DTmw22WaygDnSEwx20MQ','1795593958727-0','2026-11-20 01:00:03.000000','2026-11-25 08:05:58.727000','fulfillment.order_item_refund','order_item_refund',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','old-0','FtxZjdSwoemwi19K5Spu3Q','1795593958729-0','2026-11-20 01:00:04.000000','2026-11-25 08:05:58.729000','fulfillment.late_delivery','late_delivery',NULL,'2026-11-20 18:40:00.000000',NULL);
INSERT INTO "order_events" VALUES('instacart','old-0','1-JQTKMuMY0x3bSeYmSO0Q','1795593958734-0','2026-11-20 01:00:05.000000','2026-11-25 08:05:58.734000','fulfillment.customer_mia','customer_mia',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','old-1','1D-jBC3aGsQVJkydDiZLyA','1795593958736-0','2026-11-20 01:01:00.000000','2026-11-25 08:05:58.736000','fulfillment.order_created','order_created','brand_new','2026-11-20 18:00:00.000000',NULL);
INSERT INTO "order_events" VALUES('instacart','old-1','946fNogZsRpbDIWn7SS4aw','1795593958737-0','2026-11-20 01:01:01.000000','2026-11-25 08:05:58.737000','fulfillment.acknowledged','acknowledged','acknowledged',NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','old-1','xURAhZXUOtnZFVMfTHXrCw','1795593958738-0','2026-11-20 01:01:02.000000','2026-11-25 08:05:58.738000','fulfillment.order_item_replacement','order_item_replacement',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','old-1','MCwb3uBvYGrVVzAg6ALTzA','1795593958741-0','2026-11-20 01:01:03.000000','2026-11-25 08:05:58.741000','fulfillment.order_item_refund','order_item_refund',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','old-1','9pzfLwjDfs31hM3ZzrkO8A','1795593958742-0','2026-11-20 01:01:04.000000','2026-11-25 08:05:58.742000','fulfillment.late_delivery','late_delivery',NULL,'2026-11-20 18:40:00.000000',NULL);
INSERT INTO "order_events" VALUES('instacart','old-1','uCINGYkveGveo-k4_4HfOA','1795593958745-0','2026-11-20 01:01:05.000000','2026-11-25 08:05:58.745000','fulfillment.customer_mia','customer_mia',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('afosto','ord_72fca344-2a6f-4b3e-9c1d-5f8a2e7b0d93','29laUsj_M0lRp2kWsYYhOA','1795593958747-0','2024-04-24 23:06:40.000000','2026-11-25 08:05:58.747000','ORDER_OPENED','order_opened','open',NULL,'msg_3a1b2c4d-5e6f-7890-abcd-ef1234567890');
INSERT INTO "order_events" VALUES('afosto','dlv_5f8a2e7b-0d93-4b3e-9c1d-72fca3442a6f','bb0Qzx15PvXwHisxhlhRLg','1795593958748-0','2024-04-25 13:00:00.000000','2026-11-25 08:05:58.748000','DELIVERED','delivered','delivered','2024-04-25 10:00:00.000000','msg_ab12cd34-ef56-7890-1234-abcdef567890');
INSERT INTO "order_events" VALUES('instacart','b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710','EM1rbOIrlapTVXcG78L8iQ','1795593958751-0','2024-11-22 16:02:11.000000','2026-11-25 08:05:58.751000','fulfillment.brand_new','order_created','brand_new','2024-11-22 17:00:00.000000','1201895966044343904');
INSERT INTO "order_events" VALUES('instacart','b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710','4u-dKmMXDgKB2d2bQHPZ9Q','1795593958755-0','2024-11-22 17:31:45.000000','2026-11-25 08:05:58.755000','fulfillment.late_delivery','late_delivery',NULL,'2024-11-22 18:25:00.000000','1201895966044343960');
INSERT INTO "order_events" VALUES('instacart','broken-0','XD8xNcJT8P4kKHuaearGiw','1795593958944-0','2026-11-20 02:30:00.000000','2026-11-25 08:05:58.944000','fulfillment.order_item_refund','order_item_refund',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','broken-1','MnxNQ-3CSAUDwKIKxJpAqQ','1795593958948-0','2026-11-20 02:30:01.000000','2026-11-25 08:05:58.948000','fulfillment.order_item_refund','order_item_refund',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','broken-0','5Z4o7BClu9UtC6KCBFvduw','1795593958964-0','2026-11-20 02:31:40.000000','2026-11-25 08:05:58.964000','fulfillment.order_item_replacement','order_item_replacement',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','broken-0','SzdG7L1pNtGKalZ-sgPHNA','1795593958970-0','2026-11-20 02:35:00.000000','2026-11-25 08:05:58.970000','fulfillment.customer_mia','customer_mia',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','broken-0','zlM32bvtykJGD-SCp8Nl2g','1795593958971-0','2026-11-20 02:36:40.000000','2026-11-25 08:05:58.971000','fulfillment.late_delivery','late_delivery',NULL,'2026-11-20 18:40:00.000000',NULL);
INSERT INTO "order_events" VALUES('instacart','refuse-1','6O-bWqgZjTJrXL5WGF4J7g','1795593958974-0','2026-11-20 02:38:20.000000','2026-11-25 08:05:58.974000','fulfillment.delivered','delivered','delivered',NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','unsent-1','05-TVLtl9eneZiH6NwJzwA','1795593991025-0','2026-11-20 02:40:00.000000','2026-11-25 08:06:31.025000','fulfillment.customer_mia','customer_mia',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','unsent-2','ZGsrn6KVIw_dcYfyF3wIpg','1795593991028-0','2026-11-20 02:40:01.000000','2026-11-25 08:06:31.028000','fulfillment.customer_mia','customer_mia',NULL,NULL,NULL);
INSERT INTO "order_events" VALUES('instacart','leased-1','5te0vKJiw_ke5dgYgL2dow','1795594000883-0','2026-11-20 02:41:40.000000','2026-11-25 08:06:40.883000','fulfillment.customer_mia','customer_mia',NULL,NULL,NULL);
CREATE TABLE orders (
	provider VARCHAR NOT NULL, 
	order_id VARCHAR NOT NULL, 
	number VARCHAR, 
	number_news VARCHAR, 
	fulfillment_type VARCHAR, 
	fulfillment_type_news VARCHAR, 
	status VARCHAR, 
	status_at DATETIME, 
	status_news VARCHAR, 
	expected_at DATETIME, 
	expected_news VARCHAR, 
	promised_at DATETIME, 
	promised_news VARCHAR, 
	first_event_at DATETIME, 
	last_event_at DATETIME, 
	CONSTRAINT pk_orders PRIMARY KEY (provider, order_id)
);
INSERT INTO "orders" VALUES('afosto','dlv_5f8a2e7b-0d93-4b3e-9c1d-72fca3442a6f',NULL,NULL,NULL,NULL,'delivered','2024-04-25 13:00:00.000000','2024-04-25T13:00:00.000000+00:00|7|bb0Qzx15PvXwHisxhlhRLg','2024-04-25 10:00:00.000000','2024-04-25T13:00:00.000000+00:00|7|bb0Qzx15PvXwHisxhlhRLg',NULL,NULL,'2024-04-25 13:00:00.000000','2024-04-25 13:00:00.000000');
INSERT INTO "orders" VALUES('afosto','ord_72fca344-2a6f-4b3e-9c1d-5f8a2e7b0d93','1042','2024-04-24T23:06:40.000000+00:00|1|29laUsj_M0lRp2kWsYYhOA',NULL,NULL,'open','2024-04-24 23:06:40.000000','2024-04-24T23:06:40.000000+00:00|1|29laUsj_M0lRp2kWsYYhOA',NULL,NULL,NULL,NULL,'2024-04-24 23:06:40.000000','2024-04-24 23:06:40.000000');
INSERT INTO "orders" VALUES('instacart','b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710',NULL,NULL,'delivery','2024-11-22T17:31:45.000000+00:00|0|4u-dKmMXDgKB2d2bQHPZ9Q','brand_new','2024-11-22 16:02:11.000000','2024-11-22T16:02:11.000000+00:00|1|EM1rbOIrlapTVXcG78L8iQ','2024-11-22 18:25:00.000000','2024-11-22T17:31:45.000000+00:00|0|4u-dKmMXDgKB2d2bQHPZ9Q','2024-11-22 17:00:00.000000','2024-11-22T16:02:11.000000+00:00|1|EM1rbOIrlapTVXcG78L8iQ','2024-11-22 16:02:11.000000','2024-11-22 17:31:45.000000');
INSERT INTO "orders" VALUES('instacart','odd-1',NULL,NULL,NULL,NULL,'picking','2026-11-20 02:00:00.000000','2026-11-20T02:00:00.000000+00:00|4|OOCz9g-2pYdIG0x6P32JPQ',NULL,NULL,NULL,NULL,'2026-11-20 02:00:00.000000','2026-11-20 02:00:00.000000');
INSERT INTO "orders" VALUES('instacart','odd-2',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20 02:00:01.000000','2026-11-20 02:00:02.000000');
INSERT INTO "orders" VALUES('instacart','old-0',NULL,NULL,NULL,NULL,'acknowledged','2026-11-20 01:00:01.000000','2026-11-20T01:00:01.000000+00:00|3|9lYxJDkOGHlPXClsgnpwpA','2026-11-20 18:40:00.000000','2026-11-20T01:00:04.000000+00:00|0|FtxZjdSwoemwi19K5Spu3Q','2026-11-20 18:00:00.000000','2026-11-20T01:00:00.000000+00:00|1|Lvlba9DmETG7TD4VTMpzHg','2026-11-20 01:00:00.000000','2026-11-20 01:00:05.000000');
INSERT INTO "orders" VALUES('instacart','old-1',NULL,NULL,NULL,NULL,'acknowledged','2026-11-20 01:01:01.000000','2026-11-20T01:01:01.000000+00:00|3|946fNogZsRpbDIWn7SS4aw','2026-11-20 18:40:00.000000','2026-11-20T01:01:04.000000+00:00|0|9pzfLwjDfs31hM3ZzrkO8A','2026-11-20 18:00:00.000000','2026-11-20T01:01:00.000000+00:00|1|1D-jBC3aGsQVJkydDiZLyA','2026-11-20 01:01:00.000000','2026-11-20 01:01:05.000000');
INSERT INTO "orders" VALUES('instacart','broken-0',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20 18:40:00.000000','2026-11-20T02:36:40.000000+00:00|0|zlM32bvtykJGD-SCp8Nl2g',NULL,NULL,'2026-11-20 02:30:00.000000','2026-11-20 02:36:40.000000');
INSERT INTO "orders" VALUES('instacart','broken-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20 02:30:01.000000','2026-11-20 02:30:01.000000');
INSERT INTO "orders" VALUES('instacart','refuse-1',NULL,NULL,NULL,NULL,'delivered','2026-11-20 02:38:20.000000','2026-11-20T02:38:20.000000+00:00|7|6O-bWqgZjTJrXL5WGF4J7g',NULL,NULL,NULL,NULL,'2026-11-20 02:38:20.000000','2026-11-20 02:38:20.000000');
INSERT INTO "orders" VALUES('instacart','unsent-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20 02:40:00.000000','2026-11-20 02:40:00.000000');
INSERT INTO "orders" VALUES('instacart','unsent-2',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20 02:40:01.000000','2026-11-20 02:40:01.000000');
INSERT INTO "orders" VALUES('instacart','leased-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-20 02:41:40.000000','2026-11-20 02:41:40.000000');
CREATE TABLE outbox (
	idempotency_key VARCHAR NOT NULL, 
	channel VARCHAR NOT NULL, 
	topic VARCHAR NOT NULL, 
	title TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	due_at DATETIME NOT NULL, 
	leased_until DATETIME, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	sent_at DATETIME, 
	dropped BOOLEAN DEFAULT false NOT NULL, 
	last_error VARCHAR, 
	CONSTRAINT pk_outbox PRIMARY KEY (idempotency_key, channel)
);
INSERT INTO "outbox" VALUES('late_delivery:instacart:b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710:4u-dKmMXDgKB2d2bQHPZ9Q','log','late_delivery','Order b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710 will be late by 25 minutes','{"provider":"instacart","order_id":"b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710","event_id":"1795593958755-0","occurred_at":"2024-11-22T17:31:45+00:00","promised_at":"2024-11-22T18:00:00+00:00","expected_at":"2024-11-22T18:25:00+00:00","minutes_late":25}','2026-11-25 08:05:58.902500','2026-11-25 08:05:58.902500',NULL,1,'2026-11-25 08:05:58.929270',0,NULL);
INSERT INTO "outbox" VALUES('late_delivery:instacart:b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710:4u-dKmMXDgKB2d2bQHPZ9Q','webhook','late_delivery','Order b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710 will be late by 25 minutes','{"provider":"instacart","order_id":"b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710","event_id":"1795593958755-0","occurred_at":"2024-11-22T17:31:45+00:00","promised_at":"2024-11-22T18:00:00+00:00","expected_at":"2024-11-22T18:25:00+00:00","minutes_late":25}','2026-11-25 08:05:58.902500','2026-11-25 08:05:58.902500',NULL,1,'2026-11-25 08:05:58.934706',0,NULL);
INSERT INTO "outbox" VALUES('late_delivery:instacart:old-0:FtxZjdSwoemwi19K5Spu3Q','log','late_delivery','Order old-0 will be late by 40 minutes','{"provider":"instacart","order_id":"old-0","event_id":"1795593958729-0","occurred_at":"2026-11-20T01:00:04+00:00","promised_at":"2026-11-20T18:00:00+00:00","expected_at":"2026-11-20T18:40:00+00:00","minutes_late":40}','2026-11-25 08:05:58.902500','2026-11-25 08:05:58.902500',NULL,1,'2026-11-25 08:05:58.944229',0,NULL);
INSERT INTO "outbox" VALUES('late_delivery:instacart:old-0:FtxZjdSwoemwi19K5Spu3Q','webhook','late_delivery','Order old-0 will be late by 40 minutes','{"provider":"instacart","order_id":"old-0","event_id":"1795593958729-0","occurred_at":"2026-11-20T01:00:04+00:00","promised_at":"2026-11-20T18:00:00+00:00","expected_at":"2026-11-20T18:40:00+00:00","minutes_late":40}','2026-11-25 08:05:58.902500','2026-11-25 08:05:58.902500',NULL,1,'2026-11-25 08:05:58.948278',0,NULL);
INSERT INTO "outbox" VALUES('late_delivery:instacart:old-1:9pzfLwjDfs31hM3ZzrkO8A','log','late_delivery','Order old-1 will be late by 40 minutes','{"provider":"instacart","order_id":"old-1","event_id":"1795593958742-0","occurred_at":"2026-11-20T01:01:04+00:00","promised_at":"2026-11-20T18:00:00+00:00","expected_at":"2026-11-20T18:40:00+00:00","minutes_late":40}','2026-11-25 08:05:58.902500','2026-11-25 08:05:58.902500',NULL,1,'2026-11-25 08:05:58.949755',0,NULL);
INSERT INTO "outbox" VALUES('late_delivery:instacart:old-1:9pzfLwjDfs31hM3ZzrkO8A','webhook','late_delivery','Order old-1 will be late by 40 minutes','{"provider":"instacart","order_id":"old-1","event_id":"1795593958742-0","occurred_at":"2026-11-20T01:01:04+00:00","promised_at":"2026-11-20T18:00:00+00:00","expected_at":"2026-11-20T18:40:00+00:00","minutes_late":40}','2026-11-25 08:05:58.902500','2026-11-25 08:05:58.902500',NULL,1,'2026-11-25 08:05:58.949862',0,NULL);
INSERT INTO "outbox" VALUES('customer_mia:instacart:old-0:1-JQTKMuMY0x3bSeYmSO0Q','log','customer_mia','Customer of order old-0 cannot be found','{"provider":"instacart","order_id":"old-0","event_id":"1795593958734-0","occurred_at":"2026-11-20T01:00:05+00:00"}','2026-11-25 08:05:58.928439','2026-11-25 08:05:58.928439',NULL,1,'2026-11-25 08:05:58.955982',0,NULL);
INSERT INTO "outbox" VALUES('customer_mia:instacart:old-0:1-JQTKMuMY0x3bSeYmSO0Q','webhook','customer_mia','Customer of order old-0 cannot be found','{"provider":"instacart","order_id":"old-0","event_id":"1795593958734-0","occurred_at":"2026-11-20T01:00:05+00:00"}','2026-11-25 08:05:58.928439','2026-11-25 08:05:58.928439',NULL,1,'2026-11-25 08:05:58.956099',0,NULL);
INSERT INTO "outbox" VALUES('customer_mia:instacart:old-1:uCINGYkveGveo-k4_4HfOA','log','customer_mia','Customer of order old-1 cannot be found','{"provider":"instacart","order_id":"old-1","event_id":"1795593958745-0","occurred_at":"2026-11-20T01:01:05+00:00"}','2026-11-25 08:05:58.928439','2026-11-25 08:05:58.928439',NULL,1,'2026-11-25 08:05:58.956749',0,NULL);
INSERT INTO "outbox" VALUES('customer_mia:instacart:old-1:uCINGYkveGveo-k4_4HfOA','webhook','customer_mia','Customer of order old-1 cannot be found','{"provider":"instacart","order_id":"old-1","event_id":"1795593958745-0","occurred_at":"2026-11-20T01:01:05+00:00"}','2026-11-25 08:05:58.928439','2026-11-25 08:05:58.928439',NULL,1,'2026-11-25 08:05:58.956783',0,NULL);
INSERT INTO "outbox" VALUES('customer_mia:instacart:unsent-1:05-TVLtl9eneZiH6NwJzwA','log','customer_mia','Customer of order unsent-1 cannot be found','{"provider":"instacart","order_id":"unsent-1","event_id":"1795593991025-0","occurred_at":"2026-11-20T02:40:00+00:00"}','2026-11-25 08:06:31.047143','2026-11-25 08:06:31.047143',NULL,1,'2026-11-25 08:06:31.049322',0,NULL);
INSERT INTO "outbox" VALUES('customer_mia:instacart:unsent-1:05-TVLtl9eneZiH6NwJzwA','webhook','customer_mia','Customer of order unsent-1 cannot be found','{"provider":"instacart","order_id":"unsent-1","event_id":"1795593991025-0","occurred_at":"2026-11-20T02:40:00+00:00"}','2026-11-25 08:06:31.047143','2026-11-25 08:06:48.843147',NULL,4,NULL,0,'the webhook answered 503');
INSERT INTO "outbox" VALUES('customer_mia:instacart:unsent-2:ZGsrn6KVIw_dcYfyF3wIpg','log','customer_mia','Customer of order unsent-2 cannot be found','{"provider":"instacart","order_id":"unsent-2","event_id":"1795593991028-0","occurred_at":"2026-11-20T02:40:01+00:00"}','2026-11-25 08:06:31.047143','2026-11-25 08:06:31.047143',NULL,1,'2026-11-25 08:06:31.050645',0,NULL);
INSERT INTO "outbox" VALUES('customer_mia:instacart:unsent-2:ZGsrn6KVIw_dcYfyF3wIpg','webhook','customer_mia','Customer of order unsent-2 cannot be found','{"provider":"instacart","order_id":"unsent-2","event_id":"1795593991028-0","occurred_at":"2026-11-20T02:40:01+00:00"}','2026-11-25 08:06:31.047143','2026-11-25 08:06:48.843564',NULL,4,NULL,0,'the webhook answered 503');
INSERT INTO "outbox" VALUES('customer_mia:instacart:leased-1:5te0vKJiw_ke5dgYgL2dow','log','customer_mia','Customer of order leased-1 cannot be found','{"provider":"instacart","order_id":"leased-1","event_id":"1795594000883-0","occurred_at":"2026-11-20T02:41:40+00:00"}','2026-11-25 08:06:40.904240','2026-11-25 08:06:40.904240',NULL,1,'2026-11-25 08:06:40.906376',0,NULL);
INSERT INTO "outbox" VALUES('customer_mia:instacart:leased-1:5te0vKJiw_ke5dgYgL2dow','webhook','customer_mia','Customer of order leased-1 cannot be found','{"provider":"instacart","order_id":"leased-1","event_id":"1795594000883-0","occurred_at":"2026-11-20T02:41:40+00:00"}','2026-11-25 08:06:40.904240','2026-11-25 08:06:40.904240','2026-11-25 08:07:10.904240',0,NULL,0,NULL);
CREATE TABLE refunds (
	provider VARCHAR NOT NULL, 
	order_id VARCHAR NOT NULL, 
	line VARCHAR NOT NULL, 
	event_id VARCHAR NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	received_at DATETIME NOT NULL, 
	first_news VARCHAR NOT NULL, 
	product VARCHAR, 
	product_name VARCHAR, 
	quantity TEXT, 
	unit VARCHAR, 
	CONSTRAINT pk_refunds PRIMARY KEY (provider, order_id, line)
);
INSERT INTO "refunds" VALUES('instacart','old-0','bread','1795593958727-0','2026-11-20 01:00:03.000000','2026-11-25 08:05:58.727000','2026-11-20T01:00:03.000000+00:00|0|10DTmw22WaygDnSEwx20MQ','bread',NULL,NULL,NULL);
INSERT INTO "refunds" VALUES('instacart','old-0','milk','1795593958727-0','2026-11-20 01:00:03.000000','2026-11-25 08:05:58.727000','2026-11-20T01:00:03.000000+00:00|0|10DTmw22WaygDnSEwx20MQ','milk',NULL,NULL,NULL);
INSERT INTO "refunds" VALUES('instacart','old-1','bread','1795593958741-0','2026-11-20 01:01:03.000000','2026-11-25 08:05:58.741000','2026-11-20T01:01:03.000000+00:00|0|MCwb3uBvYGrVVzAg6ALTzA','bread',NULL,NULL,NULL);
INSERT INTO "refunds" VALUES('instacart','old-1','milk','1795593958741-0','2026-11-20 01:01:03.000000','2026-11-25 08:05:58.741000','2026-11-20T01:01:03.000000+00:00|0|MCwb3uBvYGrVVzAg6ALTzA','milk',NULL,NULL,NULL);
CREATE TABLE replacements (
	provider VARCHAR NOT NULL, 
	order_id VARCHAR NOT NULL, 
	line VARCHAR NOT NULL, 
	substitute VARCHAR NOT NULL, 
	event_id VARCHAR NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	received_at DATETIME NOT NULL, 
	first_news VARCHAR NOT NULL, 
	last_news VARCHAR NOT NULL, 
	product VARCHAR, 
	product_name VARCHAR, 
	quantity TEXT, 
	unit VARCHAR, 
	substitute_name VARCHAR, 
	substitute_quantity TEXT, 
	superseded_by VARCHAR, 
	CONSTRAINT pk_replacements PRIMARY KEY (provider, order_id, line, substitute)
);
INSERT INTO "replacements" VALUES('instacart','old-0','tea','coffee','1795593958725-0','2026-11-20 01:00:02.000000','2026-11-25 08:05:58.725000','2026-11-20T01:00:02.000000+00:00|0|JCG52Nae7Cd9b5w6ybKG0Q','2026-11-20T01:00:02.000000+00:00|0|JCG52Nae7Cd9b5w6ybKG0Q','tea',NULL,NULL,NULL,NULL,'1',NULL);
INSERT INTO "replacements" VALUES('instacart','old-1','tea','coffee','1795593958738-0','2026-11-20 01:01:02.000000','2026-11-25 08:05:58.738000','2026-11-20T01:01:02.000000+00:00|0|xURAhZXUOtnZFVMfTHXrCw','2026-11-20T01:01:02.000000+00:00|0|xURAhZXUOtnZFVMfTHXrCw','tea',NULL,NULL,NULL,NULL,'1',NULL);
CREATE UNIQUE INDEX uq_customer_mia_alerts_open ON customer_mia_alerts (provider, order_id) WHERE closed_at IS NULL;
CREATE INDEX ix_outbox_waiting ON outbox (due_at) WHERE sent_at IS NULL;
COMMIT;
