"""Keys and codes whose every operation has its price: the suite does the work, the meter notes what it costs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from crypto.dealer import PublicKeys, SecretKeys
from crypto.erasure import ErasureCode
from crypto.suite import RandomBytes
from honeybadger.simulation.virtual_time.costs import Meter
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.table import Crypto, Line

#: of a call's arguments, its price
Price = Callable[..., float]


def charged_keys(
    public: PublicKeys, secret: SecretKeys, meter: Meter, table: Crypto, payload: Payload
) -> tuple[PublicKeys, SecretKeys]:
    """The same keys; what is done with them is charged to `meter`."""

    def code(data: int, total: int) -> ErasureCode:
        inner = public.suite.code(data, total)

        def of_value(value: bytes) -> float:
            return table.code.of(payload.encoded(inner.shard_length(len(value)) * total))

        def of_shards(shards: Mapping[int, bytes]) -> float:
            return table.code.of(payload.encoded(len(next(iter(shards.values()), b"")) * total))

        charged: Any = _Charged(inner, meter, {"encode": ("code", of_value), "complete": ("code", of_shards)})
        return charged  # type: ignore[no-any-return]

    def enough(line: Line, shares: Mapping[int, bytes]) -> float:
        # With fewer, nothing is done.
        return line.of(public.threshold) if len(shares) >= public.threshold else 0.0

    def tossing(message: bytes, shares: Mapping[int, bytes], suspects: Any = ()) -> float:
        return enough(table.coin, shares)

    def decrypting(ciphertext: Any, shares: Mapping[int, bytes], suspects: Any = ()) -> float:
        combined = enough(table.decrypt, shares)
        return combined and combined + payload.encoded(len(ciphertext.data)) * table.open_byte

    def encrypting(message: bytes, label: bytes, randbytes: RandomBytes) -> float:
        return table.encrypt.of(payload.encoded(len(message)))

    def certifying(message: bytes, shares: Mapping[int, bytes], suspects: Any = ()) -> float:
        return enough(table.certificate, shares)

    def verifying(message: bytes, proof: bytes) -> float:
        # A combined one is verified as well, so its price has this part.
        return table.certificate.once

    def signing(price: float) -> Price:
        return lambda message: price

    return (
        replace(
            public,
            suite=replace(public.suite, code=code),
            coin=_Charged(public.coin, meter, {"toss": ("coin", tossing)}),
            encryption=_Charged(
                public.encryption,
                meter,
                {
                    "encrypt": ("encrypt", encrypting),
                    "check": ("check", lambda items: table.check.of(len(items)) if items else 0.0),
                    "decrypt": ("decrypt", decrypting),
                },
            ),
            certificate=_Charged(
                public.certificate,
                meter,
                {"combine": ("certificate", certifying), "verify": ("certificate", verifying)},
            ),
        ),
        replace(
            secret,
            coin=_Charged(secret.coin, meter, {"sign_share": ("coin_share", signing(table.coin_share))}),
            encryption=_Charged(
                secret.encryption,
                meter,
                {"decryption_share": ("decryption_share", signing(table.decryption_share))},
            ),
            certificate=_Charged(
                secret.certificate, meter, {"sign_share": ("certificate", signing(table.certificate_share))}
            ),
        ),
    )


class _Charged:
    """`inner`, whose methods (name → operation, price) are charged."""

    def __init__(self, inner: Any, meter: Meter, methods: Mapping[str, tuple[str, Price]]) -> None:
        self._inner = inner
        for name, (operation, price) in methods.items():
            setattr(self, name, _charging(getattr(inner, name), meter, operation, price))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _charging(function: Callable[..., Any], meter: Meter, operation: str, price: Price) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        meter.operation(operation, price(*arguments))
        return function(*arguments)

    return call
