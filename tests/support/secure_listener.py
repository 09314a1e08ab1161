"""A second listener of a test broker, with TLS, passwords, and users with and without permissions."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.kafka.broker import HOST
from tools.kafka.installation import find_java

_STORE_PASSWORD = "changeit"  # noqa: S105 - of a file that lives as long as its test


class SecureListener:
    """`admin` may do everything, `stranger` nothing; both have the same password."""

    admin = "admin"
    stranger = "stranger"
    password = "open sesame"  # noqa: S105

    def __init__(self, folder: Path, port: int) -> None:
        self.address = f"{HOST}:{port}"
        self._store = folder / "broker.p12"
        self.certificate = folder / "broker.pem"

    def make_certificate(self) -> None:
        """Make a self-signed certificate for this machine's loopback address."""
        keytool = Path(find_java()).resolve().parent / "keytool"
        store = ["-keystore", str(self._store), "-storepass", _STORE_PASSWORD, "-alias", "broker"]
        make = ["-genkeypair", "-keyalg", "EC", "-dname", "CN=broker", "-ext", f"SAN=ip:{HOST}"]
        export = ["-exportcert", "-rfc", "-file", str(self.certificate)]
        for command in (make, export):
            subprocess.run([keytool, *command, *store], check=True, capture_output=True)

    def properties(self) -> dict[str, str]:
        """Return what to add to the broker's configuration."""
        own = "listener.name.secure"
        module = "org.apache.kafka.common.security"
        users = "".join(f' user_{user}="{self.password}"' for user in (self.admin, self.stranger))
        return {
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            f"{own}.plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required{users};",
            f"{own}.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
            f"{own}.ssl.keystore.type": "PKCS12",
            f"{own}.ssl.keystore.location": str(self._store),
            f"{own}.ssl.keystore.password": _STORE_PASSWORD,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # Clients of the listener without passwords are this user.
            "super.users": f"User:ANONYMOUS;User:{self.admin}",
        }

    def format_options(self) -> Sequence[str]:
        """Return the options that create the SCRAM users when the storage is formatted."""
        return (f"--add-scram=SCRAM-SHA-512=[name={self.admin},password={self.password}]",)
