"""What happens to a client before it has a WebSocket: TLS, the upgrade, and plain HTTP."""

import asyncio
import json
import secrets
import ssl
import weakref
from collections.abc import Callable
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from pipeline.simulator.bad_certificates import BadCertificates
from pipeline.simulator.door import find_door
from pipeline.simulator.fault import Act, Close, Http, Outage, Plan, Silent, Tls
from pipeline.simulator.script_faults import error_body
from pipeline.simulator.script_place import ScriptError

FAULTS = "/_faults"
TOKENS = "/auth_tokens"
"""Where clients have a short-lived token made. A script with `keys` takes those alone that are among them."""
_NO_DOOR = "This is the Live API simulator. It serves …GenerativeService.BidiGenerateContent of v1, v1beta, v1alpha.\n"


class Entrance:
    """Judges whoever comes. `note(event, fields)` writes the journal, `outage` begins one, `take_faults` plans some."""

    def __init__(
        self,
        plan: Plan,
        certificates: BadCertificates,
        note: Callable[[str, dict[str, object]], None],
        outage: Callable[[Outage], None],
        take_faults: Callable[[str], int],
    ) -> None:
        self._plan = plan
        self._certificates = certificates
        self._note = note
        self._outage = outage
        self._take_faults = take_faults
        self._waiting: weakref.WeakKeyDictionary[ssl.SSLObject, list[tuple[int, Act]]] = weakref.WeakKeyDictionary()

    def hello(self, tls: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> int | None:
        """A client says hello in TLS: `SSLContext.sni_callback`."""
        drawn = self._plan.moment("dial")
        for _, act in drawn:
            if isinstance(act, Tls):
                self._note("fault", {"act": "Tls", "how": act.how})
                if act.how == "refused":
                    return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
                tls.context = self._certificates.context(act.how)
        if isinstance(tls, ssl.SSLObject):
            self._waiting[tls] = [(after_ms, act) for after_ms, act in drawn if not isinstance(act, Tls)]
        return None

    async def upgrade(self, ws: ServerConnection, request: Request) -> Response | None:
        """A client asks for a WebSocket: None lets it in."""
        for after_ms, act in sorted(self._waiting.pop(ws.transport.get_extra_info("ssl_object"), []), key=_first):
            await asyncio.sleep(after_ms / 1000)
            self._note("fault", {"act": type(act).__name__, **vars(act)})
            match act:
                case Http(status=status, body=body):
                    return _response(status, body)
                case Close():
                    ws.transport.abort()
                    return _response(503, "")  # to nobody; let in, it would count as a connection
                case Outage():
                    self._outage(act)
                    return _response(503, "")
                case Silent():
                    await ws.wait_closed()
                    return _response(503, "")
        if find_door(request.path) is not None:
            return None
        return ws.respond(HTTPStatus.NOT_FOUND, _NO_DOOR)

    def plain(self, method: str, path: str, body: bytes) -> bytes:
        """A request that wants no WebSocket: a whole HTTP response."""
        place = path.partition("?")[0]
        if place != FAULTS:
            self._note("http", {"method": method, "path": place})
            if method == "POST" and place.endswith(TOKENS):
                return _whole(200, json.dumps({"name": f"auth_tokens/{secrets.token_hex(16)}"}) + "\n")
            if find_door(place) is not None:
                return _whole(426, error_body(426, "FAILED_PRECONDITION", "This needs a WebSocket."))
            if ":" in place.rpartition("/")[2]:
                words = f"{place.rpartition(':')[2]} is not simulated: this server speaks the Live API alone."
                return _whole(501, error_body(501, "UNIMPLEMENTED", words))
            return _whole(404, error_body(404, "NOT_FOUND", _NO_DOOR.strip()))
        if method == "POST":
            try:
                planned = self._take_faults(body.decode("utf-8", "replace"))
            except ScriptError as error:
                return _whole(400, error_body(400, "INVALID_ARGUMENT", str(error)))
            return _whole(200, json.dumps({"planned": planned, "moments": self._plan.counts}) + "\n")
        if method == "GET":
            return _whole(200, json.dumps({"moments": self._plan.counts}) + "\n")
        return _whole(405, error_body(405, "INVALID_ARGUMENT", f"{FAULTS} takes GET and POST"))


def _first(drawn: tuple[int, Act]) -> int:
    return drawn[0]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _response(status: int, body: str) -> Response:
    data = body.encode()
    headers = Headers({"Content-Type": "application/json; charset=UTF-8", "Content-Length": str(len(data))})
    headers["Connection"] = "close"
    return Response(status, _phrase(status), headers, data)


def _whole(status: int, body: str) -> bytes:
    response = _response(status, body)
    return response.serialize()
