"""A provider for each kind of proof, as `schemas/README.md` describes them. All send the toy shop's notices."""

from datetime import timedelta

from schemas.contracts import Contract
from schemas.proofs import Basic, Fields, Hmac, Proof, StandardWebhooks, Token
from tests.examples.toyshop import PROVIDERS as TOYSHOP

PROOFS: dict[str, Proof] = {
    "githublike": Hmac(header="X-Hub-Signature-256", prefix="sha256="),
    "shopifylike": Hmac(header="X-Shopify-Hmac-Sha256", encoding="base64"),
    "stripelike": Hmac(
        header="Stripe-Signature",
        fields=Fields(signature="v1", timestamp="t"),
        signed="{timestamp}.{body}",
        tolerance=timedelta(minutes=5),
    ),
    "slacklike": Hmac(
        header="X-Slack-Signature",
        prefix="v0=",
        signed="v0:{timestamp}:{body}",
        timestamp_header="X-Slack-Request-Timestamp",
        tolerance=timedelta(minutes=5),
    ),
    "endpoints": Hmac(header="X-Sig", endpoint_header="X-Endpoint"),
    "standard": StandardWebhooks(),
    "basic": Basic(),
    "token": Token(),
}
_DECODE, _SHAPE_FOR, *_ = TOYSHOP["toyshop"]
PROVIDERS = {name: Contract(_DECODE, _SHAPE_FOR, proof) for name, proof in PROOFS.items()}
