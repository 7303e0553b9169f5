"""Sign a picture with content credentials under a certificate authority made on the spot, which nobody trusts."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=365 * 30)
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@dataclass(frozen=True)
class Authority:
    """A certificate authority and one signer under it, all as PEM."""

    root: str
    chain: str
    key: str


def make_authority(organisation: str) -> Authority:
    """An authority and a signer that call themselves ``organisation``."""
    start = datetime.now(UTC) - timedelta(hours=1)
    end = start + VALID
    root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, leaf_name = _name(organisation, "Example Root"), _name(organisation, organisation)
    root = (
        _certificate(root_name, root_name, root_key.public_key(), root_key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _certificate(leaf_name, root_name, leaf_key.public_key(), root_key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    key = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    root_pem, leaf_pem = (c.public_bytes(serialization.Encoding.PEM).decode() for c in (root, leaf))
    return Authority(root_pem, leaf_pem + root_pem, key.decode())


def _name(organisation: str, common: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), start, end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(sign, False, False, False, False, not sign, not sign, False, False)


def sign(data: bytes, mime: str, authority: Authority, *, source_type: str = "trainedAlgorithmicMedia") -> bytes:
    """``data`` with a manifest that declares it created as ``source_type``."""
    manifest = {
        "claim_generator_info": [{"name": "Veriscope example generator", "version": "1.0"}],
        "title": "example",
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {
                    "actions": [
                        {
                            "action": "c2pa.created",
                            "digitalSourceType": SOURCE_TYPES + source_type,
                            "softwareAgent": {"name": "Veriscope example generator"},
                        }
                    ]
                },
            }
        ],
    }
    settings = {
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {"verify_after_sign": False, "remote_manifest_fetch": False},
    }
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = c2pa.C2paSignerInfo(b"es256", authority.chain.encode(), authority.key.encode(), None)
        signer = c2pa.Signer.from_info(info)
        builder = c2pa.Builder.from_json(manifest, context=c2pa.Context.from_dict(settings))
        builder.sign(signer, mime, io.BytesIO(data), out)
    return out.getvalue()
