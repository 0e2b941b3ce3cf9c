"""Register the fixtures that tests share."""

pytest_plugins = [
    "tests.support.valkey_servers",
    "tests.support.postgresql_server",
    "tests.support.rabbitmq_server",
    "tests.support.pgbouncer",
    "tests.support.leak_check",
    "tests.support.ingress_client",
    "tests.support.ledger_fixture",
    "tests.support.worker_parts",
    "tests.support.stopping_scripts",
    "tests.support.alert_worker",
    "tests.support.stepped_deployment",
    "tests.contract.context_deployment",
    "tests.contract.failure_shell",
    "tests.contract.raw_http",
    "tests.e2e.flower_client",
    "tests.e2e.proxy_fixtures",
    "tests.unit.consumer_bench",
    "tests.unit.failing_deployment",
]
