"""Certificates that a careful client must refuse. Two come from the simulator's own authority, so only a date is wrong:
what a machine sees whose clock is not set.
"""

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.simulator.tls import CERT, KEY

_DATES = {
    "expired": (datetime(2000, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC)),
    "not_yet_valid": (datetime(2098, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)),
    "untrusted": (datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)),
}


class BadCertificates:
    """Each is made when it is first asked for: most servers never show one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, ssl.SSLContext] = {}

    def context(self, how: str) -> ssl.SSLContext:
        """For `expired`, `not_yet_valid` or `untrusted`. Raises OSError if the folder cannot be written."""
        if how not in self._made:
            self._made[how] = self._make(how)
        return self._made[how]

    def _make(self, how: str) -> ssl.SSLContext:
        authority = x509.load_pem_x509_certificate((self._folder / CERT).read_bytes())
        signer = serialization.load_pem_private_key((self._folder / KEY).read_bytes(), None)
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = authority.subject
        if how == "untrusted":
            signer, issuer = key, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Somebody else")])
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        begins, ends = _DATES[how]
        cert = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"A certificate that is {how}")]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
                ),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        path = self._folder / f"{how}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.touch(0o600)
        path.write_bytes(private + cert.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context
