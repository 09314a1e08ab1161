"""Compare the rows of the scenarios database with the model."""

from app.messages import Instance, Message, StartRun, results_commands, runner_commands
from tests.torture.lifecycle.example_database import OutboxRow, Stored
from tests.torture.lifecycle.model import Model, sent_by


def differences(stored: Stored, model: Model) -> list[str]:
    """Return in what the database differs from the model."""
    found = []
    if {row.id for row in stored.scenarios} != set(model.lives):
        found.append("there are others")
    for row in stored.scenarios:
        life = model.lives.get(row.id)
        if life is None:
            continue
        holder = Instance(row.runner_id, row.boot_id) if row.runner_id and row.boot_id else None
        columns = (row.state, row.outcome, row.attempt, holder, row.failures, row.next_frame)
        wanted = (life.state, life.outcome, life.attempt, life.holder, life.failures, life.frame)
        if (*columns, row.deleted_at is not None) != (*wanted, life.deleted):
            found.append(f"{row} is stored, not {life}")
        moves = [
            (each.from_state, each.to_state, each.attempt)
            for each in stored.history
            if each.scenario_id == row.id
        ]
        if moves != life.history:
            found.append(f"{moves} is the history, not {life.history}")
        sent = [sent_by(_message(each)) for each in stored.outbox if each.key == str(row.id)]
        if sent != life.outbox:
            found.append(f"{sent} was sent, not {life.outbox}")
    if stored.answers != model.answers:
        found.append(f"{stored.answers} was answered, not {model.answers}")
    return found


def outbox_starts(stored: Stored) -> list[StartRun]:
    """Return the runs that were dispatched."""
    messages = [_message(row) for row in stored.outbox]
    return [message for message in messages if isinstance(message, StartRun)]


def _message(row: OutboxRow) -> Message:
    topic = runner_commands if row.topic == runner_commands.name else results_commands
    return topic.decode(row.message)
