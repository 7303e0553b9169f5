"""Content credentials (C2PA): do they belong to these bytes, and who signed them?

A manifest states how a picture came to be and is bound to the file's bytes by hashes and a signature. Four states:
"none"; "invalid", the file or the manifest was changed after signing, or cannot be read; "untrusted", intact,
but the signer's certificate leads to no anchor of the trust list, so that the name in it may be anyone's; "trusted".
Nothing is fetched: manifests kept elsewhere, certificate revocation and trust lists are not looked up. Specification:
C2PA 2.2, sections 14 and 15.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from typing import Any

from veriscope.container.sources import GENERATIVE, source_type_name, source_type_says
from veriscope.container.trust import TrustList, context, trust_list
from veriscope.container.wording import plain, plain_line, present, quoted
from veriscope.evidence import Declaration
from veriscope.picture import Picture

MIME = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
}
# Failures that speak of the signer's certificate alone; with any other, the content itself is in doubt.
SIGNER_FAILURES = frozenset(
    {
        "signingCredential.untrusted",
        "signingCredential.invalid",
        "signingCredential.expired",
        "signingCredential.revoked",
    }
)

_REMOTE = re.compile(rb"dcterms:provenance\s*(?:=\s*[\"']|>\s*)(https?://[^\"'<\s]{4,500})")


def declared_credentials(picture: Picture) -> list[Declaration]:
    """The one declaration about content credentials; its state is none, invalid, untrusted or trusted."""
    return [picture.once("container.credentials", lambda: _declare(picture))]


def _declare(picture: Picture) -> Declaration:
    data = picture.data
    if b"jumb" not in data or b"c2pa" not in data:
        return _none(data)
    mime = MIME.get(picture.format)
    if mime is None:
        said = f"The file carries what looks like content credentials, which are not read in {picture.format} files."
        return Declaration(kind="c2pa", state="none", says=said)
    try:
        store = read_store(data, mime)
    except Exception as error:  # the reader's errors are of many kinds, and a damaged manifest must not stop the rest
        reason = plain_line(str(error))[:300]
        said = f"The file carries content credentials that cannot be read ({reason}), so nothing they declare counts."
        return Declaration(kind="c2pa", state="invalid", says=said, details={"failures": [reason]})
    if store is None:
        said = (
            "The file holds bytes that look like content credentials, but no manifest that can be found by its format."
        )
        return Declaration(kind="c2pa", state="none", says=said)
    return judge(store, trust_list())


def _none(data: bytes) -> Declaration:
    remote = _REMOTE.search(data) if b"dcterms:provenance" in data else None
    if remote:
        url = remote[1].decode("latin-1")
        said = f"The file names content credentials kept elsewhere ({quoted(url)}), not fetched; it carries none."
        return Declaration(kind="c2pa", state="none", says=said, details={"remote": plain(url)})
    return Declaration(
        kind="c2pa", state="none", says="The file carries no content credentials (C2PA), as most files do not."
    )


def read_store(data: bytes, mime: str) -> dict[str, Any] | None:
    """The manifest store of ``data`` with its validation results, or None where there is none.

    Raises:
        c2pa.C2paError: the store cannot be read.
    """
    import c2pa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with c2pa.Reader(mime, io.BytesIO(data), context=context()) as reader:
                store = json.loads(reader.json())
        except c2pa.C2paError.ManifestNotFound:
            return None
    return store if isinstance(store, dict) else None


def judge(store: dict[str, Any], trust: TrustList) -> Declaration:
    """The declaration of a validated manifest store, as ``read_store`` returns it."""
    manifests = _object(store.get("manifests"))
    active = _object(manifests.get(str(store.get("active_manifest"))))
    results = _object(_object(store.get("validation_results")).get("activeManifest"))
    failures = [_object(row) for row in _list(results.get("failure"))] or [
        _object(r) for r in _list(store.get("validation_status"))
    ]
    successes = {str(_object(row).get("code")) for row in _list(results.get("success"))}
    codes = [str(row.get("code")) for row in failures]
    validated = store.get("validation_state") in ("Valid", "Trusted")
    if not active or "claimSignature.validated" not in successes or set(codes) - SIGNER_FAILURES:
        state = "invalid"
    elif not codes:
        state = ("trusted" if store["validation_state"] == "Trusted" else "untrusted") if validated else "invalid"
    else:
        state = "untrusted"
    signature = _object(active.get("signature_info"))
    actions = _actions(active)
    types = [source_type_name(a["digitalSourceType"]) for a in actions if isinstance(a.get("digitalSourceType"), str)]
    details = present(
        signer=signature.get("common_name") or signature.get("issuer"),
        issuer=signature.get("issuer"),
        time=signature.get("time"),
        algorithm=signature.get("alg"),
        claim_generator=_generator(active),
        title=active.get("title"),
        actions=actions,
        digital_source_types=list(dict.fromkeys(types)),
        ingredients=[_ingredient(row) for row in _list(active.get("ingredients"))],
        failures=[{"code": row.get("code"), "explanation": row.get("explanation")} for row in failures],
        ingredient_failures=_ingredient_failures(store),
        trust_list=trust.named(),
    )
    details |= {"generative": bool(GENERATIVE & set(types)), "manifests": len(manifests)}
    return Declaration(kind="c2pa", state=state, says=_sentence(state, details, codes, types, trust), details=details)


def _sentence(state: str, details: dict[str, Any], codes: list[str], types: list[str], trust: TrustList) -> str:
    signer = quoted(details.get("signer", "an unnamed signer"))
    if state == "invalid":
        wrong = next((str(f.get("explanation") or f.get("code")) for f in _wrong(details)), "no valid signature")
        said = f"The file carries content credentials that do not hold ({plain_line(wrong)[:160]})"
        return f"{said}: it or they were changed after signing, so nothing they declare in the name of {signer} counts."
    who = {
        "trusted": f"The file carries intact content credentials signed by {signer}, who is vouched for by the "
        f"{trust.named()}",
        "untrusted": f"The file carries intact content credentials in the name of {signer}, which anyone could have "
        f"written: the certificate {_why_untrusted(codes, trust)}",
    }[state]
    claims = []
    if generator := details.get("claim_generator"):
        claims.append(f"it was written by {quoted(generator)}")
    claims += [f"it {source_type_says(name)} ({name})" for name in dict.fromkeys(types) if name in GENERATIVE]
    claims = claims or [f"it {source_type_says(name)}" for name in dict.fromkeys(types)]
    if time := details.get("time"):
        claims.append(f"it was signed {plain_line(str(time))[:40]}")
    return f"{who}; they declare that {', that '.join(claims)}." if claims else f"{who}."


def _why_untrusted(codes: list[str], trust: TrustList) -> str:
    if "signingCredential.revoked" in codes:
        return "was revoked"
    if "signingCredential.expired" in codes:
        return "had expired"
    if not trust.anchors:
        return "could not be checked, for no trust list is installed"
    return f"leads to no anchor of the {trust.named()}"


def _wrong(details: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in details.get("failures", []) if row.get("code") not in SIGNER_FAILURES]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _generator(manifest: dict[str, Any]) -> str:
    for info in _list(manifest.get("claim_generator_info")):
        named = _object(info)
        if named.get("name"):
            return f"{named['name']} {named.get('version', '')}".strip()
    return str(manifest.get("claim_generator") or "")


def _actions(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for assertion in _list(manifest.get("assertions")):
        row = _object(assertion)
        if not str(row.get("label", "")).startswith("c2pa.actions"):
            continue
        for action in _list(_object(row.get("data")).get("actions")):
            values = _object(action)
            agent = values.get("softwareAgent")
            found.append(
                present(
                    action=values.get("action"),
                    when=values.get("when"),
                    program=_object(agent).get("name") or (agent if isinstance(agent, str) else None),
                    digitalSourceType=values.get("digitalSourceType"),
                    description=values.get("description"),
                )
            )
    return found


def _ingredient(row: Any) -> dict[str, Any]:
    values = _object(row)
    return present(title=values.get("title"), format=values.get("format"), relationship=values.get("relationship"))


def _ingredient_failures(store: dict[str, Any]) -> list[str]:
    found = []
    for delta in _list(_object(store.get("validation_results")).get("ingredientDeltas")):
        rows = _list(_object(_object(delta).get("validationDeltas")).get("failure"))
        found += [str(_object(row).get("code")) for row in rows]
    return list(dict.fromkeys(found))
