"""Say in words why TLS with a channel failed."""

import ssl

_UNKNOWN_AUTHORITY = (18, 19, 20, 21)  # X509_V_ERR_…: self-signed, or an issuer that is not known


def tls_fault(error: BaseException | None) -> str | None:
    """Return what is wrong with a channel's TLS if `error` was raised for that. It follows "the channel"."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = ": name its authority in `ca_file`" if error.verify_code in _UNKNOWN_AUTHORITY else ""
            return f"has a TLS certificate that cannot be verified: {error.verify_message[:200]}{hint}"
        if isinstance(error, ssl.SSLError):
            return f"cannot be spoken to over TLS: {error.reason or 'it ends the connection'}"
        error = error.__cause__ or error.__context__
    return None
