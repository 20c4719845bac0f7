"""Starts the local AWS: MiniStack on 127.0.0.1, with a SageMaker of our own in it.

    python launch.py --port 4566 --state .local/aws

Everything is written below the state folder, the log to its emulator.log. The process ends on SIGTERM and SIGINT, and
with --until-stdin-closes when the process that started it is gone; its jobs and endpoints end with it.
"""

import argparse
import os
import signal
import sys
import threading

# What the project uses; MiniStack offers some 80 more.
SERVICES = (
    "cloudformation", "cloudwatch", "ec2", "ecr", "events", "iam", "kms", "lambda", "logs", "s3", "scheduler",
    "secretsmanager", "sns", "sqs", "ssm", "states", "sts",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, required=True, help="the port of every service, on 127.0.0.1")
    parser.add_argument("--state", required=True, help="the folder of jobs, endpoints and logs")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does")
    arguments = parser.parse_args()
    state = os.path.abspath(arguments.state)
    os.makedirs(state, exist_ok=True)

    import alarm_states
    import metrics
    import redrive
    import schedules
    import tasks
    from sagemaker_local import hooks, processes

    try:
        hooks.check_version()
        _configure(arguments.port, state)
        _log_to(os.path.join(state, "emulator.log"))
        service = hooks.install(state, arguments.port)
        schedules.install()
        tasks.install()
        redrive.install()
        metrics.install()
        alarm_states.install()
    except hooks.HookMissing as error:
        sys.exit(f"starting the local AWS: {error}")
    if arguments.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, name="until-stdin-closes", daemon=True).start()

    from ministack import app

    sys.argv = ["ministack"]  # app.main() has flags of its own
    try:
        app.main()
    except KeyboardInterrupt:
        pass
    finally:
        service.stop()
        processes.stop_all()
        # MiniStack's threads (executions, functions) would hold the process up.
        os._exit(0)


def _configure(port, state):
    """MiniStack reads its settings when it is imported."""
    address = f"http://127.0.0.1:{port}"
    scratch = os.path.join(state, "tmp")
    os.makedirs(scratch, exist_ok=True)
    # Functions inherit this environment: nothing of the caller's own AWS account belongs in it.
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update({
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "SERVICES": ",".join(SERVICES),
        # What the functions get as the address of AWS.
        "AWS_ENDPOINT_URL": address,
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        # MiniStack unpacks functions below the temporary folder.
        "TMPDIR": scratch,
        # A container service is neither needed nor looked for.
        "DOCKER_HOST": "",
    })


def _log_to(path):
    """Everything that is printed or logged goes to the file, the children's words too."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)


def _end_with_stdin():
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
