"""``python -P -m api.sagemaker``: serve an endpoint with the settings of the environment."""

import os
import socket
import sys

import uvicorn

from api.rest.server import configured
from api.sagemaker.app import create_app
from api.sagemaker.settings import EndpointSettings
from pingti.errors import PingtiError, UnavailableError
from pingti.exporting import bundle


def listen(settings: EndpointSettings) -> socket.socket:
    """Bind the address of the settings.

    Raises:
        UnavailableError: it cannot be bound.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        number = error.errno or 0  # below 0 where a name is not resolved
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise UnavailableError(
            f"The endpoint cannot listen on {settings.host}, port {settings.port}: {reason}; name another "
            "port by PINGTI_ENDPOINT_PORT."
        ) from error
    return listener


def main() -> int:
    """Load the students, then listen; what was foreseen ends in a sentence and an exit code."""
    try:
        settings = EndpointSettings.of_environment()
        classifiers = bundle.load_all(settings.model)
        for classifier in classifiers:
            classifier.classify(
                ["a first text"]
            )  # tables are read from the disk now, not when somebody waits
        app = create_app(classifiers, body_bytes=settings.body_bytes)
        with listen(settings) as listener:
            host, port = listener.getsockname()[:2]
            names = [pin.name for classifier in classifiers for pin in classifier.pins if not pin.hidden]
            sys.stderr.write(f"Pingti answers {', '.join(names)} on {host}, port {port}\n")
            sys.stderr.flush()
            uvicorn.Server(configured(app)).run(sockets=[listener])
    except PingtiError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
