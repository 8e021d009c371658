"""``python -P -m api.sagemaker``: serve an endpoint with the settings of the environment."""

import sys

import uvicorn

from api.rest.server import bind, configured, exit_code
from api.sagemaker.app import create_app
from api.sagemaker.settings import EndpointSettings
from pingti.exporting import bundle


def main() -> int:
    """Serve until the end, which has an exit code."""
    return exit_code(_serve)


def _serve() -> None:
    """Load the students, then listen."""
    settings = EndpointSettings.of_environment()
    classifiers = bundle.load_all(settings.model)
    for classifier in classifiers:
        classifier.classify(["a first text"])  # reads tables from the disk before anybody waits
    app = create_app(classifiers, body_bytes=settings.body_bytes)
    refusal, hint = "The endpoint cannot listen on", "name another port by PINGTI_ENDPOINT_PORT"
    with bind(settings.host, settings.port, refusal=refusal, hint=hint) as listener:
        host, port = listener.getsockname()[:2]
        names = [pin.name for classifier in classifiers for pin in classifier.pins if not pin.hidden]
        sys.stderr.write(f"Pingti answers {', '.join(names)} on {host}, port {port}\n")
        sys.stderr.flush()
        uvicorn.Server(configured(app)).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
