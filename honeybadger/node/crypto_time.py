"""How much processor time a node spends on cryptography, by operation. The suites know nothing of it: their keys and
codes are put behind objects that note each call and pass it on.

A call costs two looks at the thread's clock, below 2 µs. Operations do not call each other through these objects, so no
time counts twice.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from time import thread_time
from typing import Any

from crypto.dealer import PublicKeys, SecretKeys
from crypto.erasure import ErasureCode
from honeybadger.cluster.keys import NodeKeys
from honeybadger.cluster.manifest import Manifest

#: the methods of `crypto.suite` whose time each operation is; `verify_share` is within those that combine
_ENCRYPTION = {"encrypt": "encrypt", "check": "check", "own": "check", "decrypt": "decrypt"}
_CERTIFICATE = {"combine": "certificate", "verify": "certificate"}
_CODE = {"encode": "code", "complete": "code", "value": "code"}
OPERATIONS = ("encrypt", "check", "decryption_share", "decrypt", "coin_share", "coin", "code", "certificate")


class CryptoTime:
    """`seconds` of processor time of the calling thread, and `calls`, by operation, since the start."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(OPERATIONS, 0.0)
        self.calls = dict.fromkeys(OPERATIONS, 0)

    def of(self, manifest: Manifest, keys: NodeKeys) -> tuple[Manifest, NodeKeys]:
        """The same manifest and keys; what is done with them is noted here."""
        noted = copy(manifest)
        noted.public_keys = self._public(manifest.public_keys)
        return noted, replace(keys, secret_keys=self._secret(keys.secret_keys))

    def _public(self, keys: PublicKeys) -> PublicKeys:
        suite = keys.suite

        def code(data: int, total: int) -> ErasureCode:
            noted: Any = _Noted(self, suite.code(data, total), _CODE)
            return noted  # type: ignore[no-any-return]

        return replace(
            keys,
            suite=replace(suite, code=code),
            coin=_Noted(self, keys.coin, {"toss": "coin"}),
            encryption=_Noted(self, keys.encryption, _ENCRYPTION),
            certificate=_Noted(self, keys.certificate, _CERTIFICATE),
        )

    def _secret(self, keys: SecretKeys) -> SecretKeys:
        return replace(
            keys,
            coin=_Noted(self, keys.coin, {"sign_share": "coin_share"}),
            encryption=_Noted(self, keys.encryption, {"decryption_share": "decryption_share"}),
            certificate=_Noted(self, keys.certificate, {"sign_share": "certificate"}),
        )

    def noting(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            began = thread_time()
            try:
                return function(*arguments)
            finally:
                self.seconds[operation] += thread_time() - began
                self.calls[operation] += 1

        return call


class _Noted:
    """`inner`, whose `methods` (name → operation) are noted."""

    def __init__(self, time: CryptoTime, inner: Any, methods: dict[str, str]) -> None:
        self._inner = inner
        for name, operation in methods.items():
            setattr(self, name, time.noting(operation, getattr(inner, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
