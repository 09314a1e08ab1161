"""A network on inference servers, as a session: it looks as if it were computed here."""

from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from itertools import count
from threading import Event, Lock
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from ..backends.session import Array, InferenceError, TensorSpec
from ..base import PostponedError, UnusableError, clean_label
from ..oip.datatypes import ProtocolError
from ..oip.framing import Body
from ..oip.inference import InferRequest, RequestedOutput, encode_request
from ..oip.metadata import message_of
from ..oip.tensors import NamedArray
from .endpoint import Endpoint, EndpointFacts
from .faults import AwayError, WrongAnswerError
from .http_server import HttpAnswer, status_in_words
from .model_url import ModelAddress
from .served_model import ServedModel, read_model, read_outputs, read_server
from .servers import InferenceServers

STRIKES = 3
"""Wrong answers for one frame, each with a right one for the trial picture after it, that cost the frame."""

_PAUSE = 0.2  # seconds before a frame is sent again that was answered wrongly
_BUSY = 0.25  # seconds to wait while another thread checks the endpoint
_TEMPORARY = {401, 403, 404, 408, 425, 429}  # statuses that a model or a frame is not to blame for

Answer = TypeVar("Answer")
_Shapes = tuple[tuple[int, ...], ...]


class _Trial(NamedTuple):
    """The first request that was answered: it tells whether a later wrong answer is the server's fault."""

    feeds: dict[str, Array]
    names: tuple[str, ...]
    shapes: _Shapes


class RemoteSession:
    """Asks the endpoint with the least to do; if it fails, the next one. Threads may share it.

    A request that cannot be answered now raises PostponedError. The answer to one and the same request is of
    one and the same model: another name, version or declaration raises UnusableError.
    """

    def __init__(self, addresses: Sequence[ModelAddress], servers: InferenceServers, timeout: float) -> None:
        """`timeout` bounds in seconds how long each answer is waited for."""
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self.metadata: Mapping[str, str] = {}
        self.backend = self.precision = ""
        self.has_fixed_shapes = False
        """Whether inputs of one shape must always give outputs of one shape."""
        self._servers = servers
        self._timeout = timeout
        self._endpoints = [servers.acquire(address) for address in addresses]
        self._lock = Lock()
        self._turns = count()
        self._requests: set[Future[Any]] = set()
        self._is_closed = Event()
        self._model: ServedModel | None = None
        self._version: str | None = None
        self._trial: _Trial | None = None
        self._shapes: dict[tuple[_Shapes, tuple[str, ...]], _Shapes] = {}

    def prepare(self) -> None:
        """Ask for what the model takes and gives, unless that is known. Raises PostponedError."""
        _, facts = self._admitted()
        if self._model is None:
            self._model = facts.model
            self.inputs, self.outputs = facts.model.input_specs, facts.model.output_specs
            self.metadata = dict(facts.model.parameters)
            self.backend, self.precision = facts.backend, facts.precision

    @property
    def digest(self) -> str:
        """What is pinned: the SHA-256 that the server tells, else what identifies its model for users.

        The version is missing in that until a request was answered.
        """
        assert self._model is not None  # noqa: S101 - `prepare` comes first
        return self._model.pin(self._version or "")

    @property
    def tries(self) -> int:
        """How often the endpoints failed since they worked last."""
        return sum(endpoint.tries for endpoint in self._endpoints)

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Any]:
        """Return the named outputs, or all in their order, for the inputs in `feeds`.

        Raises:
            PostponedError: no server answers now, or the session was closed
            InferenceError: the servers answer other requests, but not this one
            UnusableError: the servers have another model than before
        """
        names = tuple(tensor.name for tensor in self.outputs) if outputs is None else tuple(outputs)
        refused = 0
        while True:
            endpoint, facts = self._admitted()
            try:
                return self._ask(endpoint, facts, feeds, names)
            except AwayError as error:
                endpoint.failed(str(error), facts)
            except WrongAnswerError as error:
                if self._trial is None:
                    if 400 <= error.status < 500 and error.status not in _TEMPORARY:
                        raise InferenceError(f"the server at {endpoint.address} {error}") from error
                    endpoint.failed(str(error), facts)
                elif self._answers_the_trial(endpoint, facts):
                    refused += 1
                    if refused >= STRIKES:
                        raise InferenceError(f"the server at {endpoint.address} {error}") from error
                    self._is_closed.wait(_PAUSE * refused)

    def close(self) -> None:
        """Abandon every request, those under way too, and let go of the endpoints. May be called twice."""
        with self._lock:
            if self._is_closed.is_set():
                return
            self._is_closed.set()
            requests = list(self._requests)
        for request in requests:
            request.cancel()
        for endpoint in self._endpoints:
            self._servers.release(endpoint)

    def _admitted(self) -> tuple[Endpoint, EndpointFacts]:
        """Return an endpoint that works, with the least to do. Raises PostponedError, UnusableError."""
        others: list[str] = []
        faults: list[str] = []
        first = next(self._turns) % len(self._endpoints)
        rotated = self._endpoints[first:] + self._endpoints[:first]
        for endpoint in sorted(rotated, key=lambda each: each.in_flight):
            admission, facts = endpoint.admit()
            if admission == "check":
                facts = self._check(endpoint)
            if facts is None:
                faults.append(f"the inference server at {endpoint.address} {endpoint.fault}")
                continue
            if self._model is None or facts.model == self._model:
                return endpoint, facts
            others.append(self._difference(endpoint, facts.model, ""))
        if self._is_closed.is_set():
            raise PostponedError("", _BUSY)
        if len(others) == len(self._endpoints):
            raise UnusableError(others[0])
        text = "; ".join([*others, *faults])
        wait = min(endpoint.retry_after for endpoint in self._endpoints)
        raise PostponedError(f"{text[:1].upper()}{text[1:]}.", max(wait, _BUSY))

    def _difference(self, endpoint: Endpoint, model: ServedModel, version: str) -> str:
        return (
            f"the inference server at {endpoint.address} has another model than when this scenario began:"
            f" {model.pin(version)} instead of {self.digest}. Serve that one again, or create a new scenario"
        )

    def _check(self, endpoint: Endpoint) -> EndpointFacts | None:
        """Ask a server what it has. Returns None if it does not tell what is needed."""
        address = endpoint.address
        try:
            server = read_server(self._get(endpoint, "/v2"))
            model, told = read_model(self._get(endpoint, address.path))
            self._get(endpoint, f"{address.path}/ready")
        except (AwayError, WrongAnswerError) as error:
            endpoint.failed(str(error), None)
            return None
        except BaseException:
            endpoint.given_up()
            raise
        facts = EndpointFacts(
            model,
            told.get("backend") or f"{server.name} {server.version}".strip(),
            told.get("precision", ""),
            server.has_binary,
        )
        endpoint.passed(facts)
        return facts

    def _get(self, endpoint: Endpoint, path: str) -> Body:
        answer = self._wait_for(endpoint.server.get(path))
        if answer.status != 200:
            told = message_of(answer.body.content)
            raise WrongAnswerError(status_in_words(answer.status, told), answer.status)
        return answer.body

    def _ask(
        self, endpoint: Endpoint, facts: EndpointFacts, feeds: Mapping[str, Array], names: tuple[str, ...]
    ) -> list[Any]:
        """Return an endpoint's outputs. Raises AwayError, WrongAnswerError, UnusableError, PostponedError."""
        asked = tuple(RequestedOutput(name, is_binary=facts.has_binary) for name in names)
        inputs = tuple(NamedArray(name, values) for name, values in feeds.items())
        number = uuid4().hex
        try:
            body = encode_request(InferRequest(inputs, asked, id=number), is_binary=facts.has_binary)
        except ProtocolError as error:
            raise InferenceError(str(error)) from error
        with endpoint.asking():
            answer: HttpAnswer = self._wait_for(
                endpoint.server.post(f"{endpoint.address.path}/infer", body, self._timeout)
            )
        if answer.status in (429, 502, 503, 504):
            raise AwayError(status_in_words(answer.status, message_of(answer.body.content)))
        if answer.status != 200:
            told = message_of(answer.body.content)
            raise WrongAnswerError(status_in_words(answer.status, told), answer.status)
        response, values = read_outputs(answer.body, facts.model, names)
        if response.id not in ("", number):
            raise WrongAnswerError("answers another request than it was sent")
        if response.model_name != facts.model.name:
            raise WrongAnswerError(f"answers for the model {response.model_name[:100]!r}")
        if facts.model.sha256 and response.sha256 not in ("", facts.model.sha256):
            raise AwayError("has another file of the model than it had before")
        self._check_version(endpoint, facts, response.model_version)
        self.check_shapes(feeds, names, values)
        endpoint.worked()
        return values

    def _check_version(self, endpoint: Endpoint, facts: EndpointFacts, version: str) -> None:
        with self._lock:
            if self._version is None:
                self._version = version
        if self._version != version:
            raise UnusableError(self._difference(endpoint, facts.model, version))

    def check_shapes(self, feeds: Mapping[str, Array], names: tuple[str, ...], values: list[Any]) -> None:
        """Compare the shapes of an answer with those that were seen before. Raises WrongAnswerError."""
        given, shapes = tuple(each.shape for each in feeds.values()), tuple(each.shape for each in values)
        with self._lock:
            if self._trial is None:
                copies = {name: each.copy() for name, each in feeds.items()}  # buffers are used again
                self._trial = _Trial(copies, names, shapes)
            trial = dict(zip(self._trial.names, self._trial.shapes, strict=True))
            known = self._shapes.get((given, names), shapes)
            for name, shape, seen in zip(names, shapes, known, strict=True):
                differ = sum(a != b for a, b in zip(shape, trial.get(name, shape), strict=True))
                if differ > 1 or (self.has_fixed_shapes and shape != seen):
                    raise WrongAnswerError(
                        f"answers with the shape {list(shape)} in {clean_label(name)!r}"
                        f" instead of {list(seen)}"
                    )
            self._shapes.setdefault((given, names), shapes)

    def _answers_the_trial(self, endpoint: Endpoint, facts: EndpointFacts) -> bool:
        """Return whether an endpoint answers the trial; if it does not, it is stopped."""
        assert self._trial is not None  # noqa: S101 - the caller has looked
        try:
            self._ask(endpoint, facts, self._trial.feeds, self._trial.names)
        except (AwayError, WrongAnswerError) as error:
            endpoint.failed(str(error), facts)
            return False
        return True

    def _wait_for(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Return what the network loop's thread finds. Raises PostponedError if the session is closed."""
        with self._lock:
            if self._is_closed.is_set():
                work.close()
                raise PostponedError("", _BUSY)
            try:
                request = self._servers.loop.submit(work)
            except RuntimeError as error:
                raise PostponedError(f"No thread can be started: {error}.", 1.0) from error
            self._requests.add(request)
        try:
            return request.result()
        except CancelledError:
            raise PostponedError("", _BUSY) from None
        finally:
            with self._lock:
                self._requests.discard(request)
