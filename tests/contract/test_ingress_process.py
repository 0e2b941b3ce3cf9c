"""The ingress as a process: a stop under load loses no acknowledged event, and its log holds no secret and no personal data."""

import base64
import threading
from collections import Counter
from pathlib import Path

import httpx

from tests.support.ingress_client import IngressProcess, bearer, signed, stored
from tests.support.settings import AFOSTO_SECRET, CLIENT_ID, CLIENT_SECRET, SIGNING_KEY
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for

STOP_SECONDS = 20.0


class Load:
    """Providers that post one event after another until nobody listens."""

    def __init__(self, url: str, threads: int = 8) -> None:
        self.acknowledged: dict[str, bytes] = {}
        self.unexpected: list[str] = []
        self._url = url
        self._threads = [threading.Thread(target=self._post, args=(number,), daemon=True) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def go_on(self, when: str) -> None:
        """Until some more events are acknowledged."""
        enough = len(self.acknowledged) + 150
        wait_for(lambda: len(self.acknowledged) >= enough, what=f"acknowledged events {when}")

    def join(self) -> None:
        for thread in self._threads:
            thread.join(STOP_SECONDS)
            assert not thread.is_alive(), "a provider waits for ever"

    def _post(self, provider: int) -> None:
        with httpx.Client(base_url=self._url, headers=bearer(), timeout=STOP_SECONDS) as client:
            for number in range(10**9):
                body = b"%d of %d" % (number, provider)
                try:
                    answer = client.post("/webhook", content=body)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    self.acknowledged[answer.json()["id"]] = body
                else:
                    self.unexpected.append(answer.text)


def test_a_stop_under_load_loses_no_acknowledged_event(real_valkey: RealValkey, tmp_path: Path) -> None:
    ingress = IngressProcess(tmp_path / "log", REDIS_URL=real_valkey.url)
    try:
        load = Load(ingress.url)
        load.go_on("before the end")
        ingress.stop()
        load.join()
    finally:
        ingress.kill()

    kept = {name: body for name, _, body in stored(real_valkey.url)}
    assert load.acknowledged.items() <= kept.items()
    assert load.unexpected == []
    assert Counter(kept.values()).most_common(1)[0][1] == 1, "no event is appended twice"
    assert "Traceback" not in ingress.log


def test_a_killed_ingress_loses_no_acknowledged_event(real_valkey: RealValkey, tmp_path: Path) -> None:
    ingress = IngressProcess(tmp_path / "log", REDIS_URL=real_valkey.url)
    try:
        load = Load(ingress.url)
        load.go_on("before the end")
    finally:
        ingress.kill()
    load.join()

    assert load.acknowledged.items() <= {name: body for name, _, body in stored(real_valkey.url)}.items()


def test_a_crash_of_valkey_under_load_loses_no_acknowledged_event(real_valkey: RealValkey, tmp_path: Path) -> None:
    ingress = IngressProcess(tmp_path / "log", REDIS_URL=real_valkey.url)
    try:
        load = Load(ingress.url)
        for crash in (1, 2):
            load.go_on(f"before crash {crash}")
            real_valkey.kill()
            real_valkey.start()
        load.go_on("after the crashes")
        ingress.stop()
        load.join()
    finally:
        ingress.kill()

    assert load.acknowledged.items() <= {name: body for name, _, body in stored(real_valkey.url)}.items()


def test_no_secret_and_no_personal_data_is_logged(real_valkey: RealValkey, tmp_path: Path) -> None:
    personal = b'{"customer":"Ada Lovelace","phone":"+31 6 12345678"}'
    pair = base64.b64encode(f"{CLIENT_ID}:wrong-secret".encode()).decode()
    token, signature = bearer(), signed(personal)
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    ingress = IngressProcess(tmp_path / "log", REDIS_URL=real_valkey.url, MAX_BODY_BYTES="1KiB", COMMIT_TIMEOUT="500ms")
    try:
        with httpx.Client(base_url=ingress.url, timeout=STOP_SECONDS) as client:

            def post_all() -> list[int]:
                return [
                    client.post("/webhook", content=personal, headers=token).status_code,
                    client.post("/webhook/afosto", content=personal, headers=signature).status_code,
                    client.post("/webhook", content=personal * 100, headers=token).status_code,
                    client.post("/webhook", content=personal, headers={"Authorization": "Bearer stolen-token"}).status_code,
                    client.post("/webhook/afosto", content=personal + b" ", headers=signature).status_code,
                    client.post("/oauth/token", data=form).status_code,
                    client.post("/oauth/token", data=form | {"client_secret": "wrong-secret"}).status_code,
                    client.post("/oauth/token", data=form, headers={"Authorization": f"Basic {pair}"}).status_code,
                ]

            assert post_all() == [200, 200, 413, 401, 401, 200, 401, 400]
            real_valkey.kill()
            assert post_all() == [503, 503, 413, 401, 401, 200, 401, 400]
        ingress.stop()
    finally:
        ingress.kill()

    assert "Application shutdown complete." in ingress.log, "the log is the one looked at"
    secrets = [CLIENT_SECRET, SIGNING_KEY, AFOSTO_SECRET, "wrong-secret", "stolen-token", pair, *signature.values()]
    for secret in [*secrets, token["Authorization"].split()[1], "Ada", "12345678"]:
        assert secret not in ingress.log
