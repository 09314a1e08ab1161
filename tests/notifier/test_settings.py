"""The settings of notifiers: their role, and the file of channels."""

from pathlib import Path

import pytest

from app.domain.channels import ChannelFileError, MqttChannel
from app.domain.networks import Networks
from app.notifier.senders.factory import make_sender
from app.settings import SettingsError, load
from tests.service.test_start import failed_start

DSN = "postgresql://va@db.example:5432/predictions"


def _error(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return str(caught.value)


def test_a_notifier_alone_needs_the_database_of_events_and_no_bus() -> None:
    assert load({"VA_ROLES": "notifier", "VA_PREDICTIONS_DSN": DSN}).roles == {"notifier"}
    assert _error(VA_ROLES="notifier,inference") == (
        "VA_ROLES has notifier without the roles that store events:"
        " set VA_PREDICTIONS_DSN to the database in which they do"
    )


def test_one_process_may_leave_out_the_notifier() -> None:
    assert load({"VA_ROLES": "api,orchestrator,runner"}).bus == "memory"


def test_a_missing_package_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.notifier.senders.factory.find_spec", lambda _name: None)
    with pytest.raises(ChannelFileError) as caught:
        make_sender("home", MqttChannel(url="mqtt://broker"), Networks("public"))
    assert str(caught.value) == (
        "[channels.home]: `type` mqtt needs a package: pip install 'videoanalysis[mqtt]'"
    )


def test_a_certificate_file_that_is_not_there_is_an_error_of_one_line() -> None:
    with pytest.raises(ChannelFileError, match=r"\[channels.home\]: `ca_file` cannot be read: No such file"):
        make_sender("home", MqttChannel(url="mqtts://broker", ca_file="/no/such.pem"), Networks("public"))


def test_a_wrong_file_stops_the_start_with_one_line_that_names_file_table_and_key(tmp_path: Path) -> None:
    file = tmp_path / "channels.toml"
    file.write_text('[channels.ops]\ntype = "webhook"\nurl = "https://example.org/"\nsecret = "hunter2"\n')
    printed = failed_start(tmp_path, VA_CHANNELS_FILE=str(file))
    assert f"videoanalysis: {file}: [channels.ops]: `secret` is wrong: it must be whsec_" in printed
    assert "hunter2" not in printed
