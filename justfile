# Arguments reach a recipe as they were typed, spaces and all: just client "Spell river"
set positional-arguments

# The environment is the project's own, whichever is active; uv would say so each time.
unexport VIRTUAL_ENV

# Lists the recipes.
_default:
    @just --list --unsorted

# Installs everything: the stack, the worker's torch, the tools of development.
setup:
    uv sync --extra worker --group dev

# What a worker needs, and no tools of development; starts nothing. For a machine that is to run workers alone.
install-worker *ARGS:
    uv sync --inexact --extra worker "$@"

# Writes the gRPC code in textdiffusion/v1 anew from proto/.
proto: _tools
    uv run --no-sync python -m grpc_tools.protoc -Iproto --python_out=. --mypy_out=. --grpc_python_out=. --mypy_grpc_out=. proto/textdiffusion/v1/textdiffusion.proto

# The full stack: just run-launcher --model DIR_OR_HUB_ID --port 8000
run-launcher *ARGS: _runtime
    @exec uv run --no-sync python -m launcher "$@"

# How the processes of the running stack are: just status --json
status *ARGS: _runtime
    @exec uv run --no-sync python -m launcher status "$@"

# The router alone: just run-router --workers 127.0.0.1:50051
run-router *ARGS: _runtime
    @exec uv run --no-sync python -m router "$@"

# One worker alone, on 127.0.0.1:50051, with the demo model unless another is named.
run-worker *ARGS: _runtime
    @exec uv run --no-sync python -m worker --model models/demo "$@"

# Talks to a running server: just client "Spell river"
client *ARGS:
    @exec uv run client/client.py "$@"

# Makes the tables in docs/ anew that come from the code.
docs: _tools
    uv run --no-sync python -m router.pages

# Takes the README's pictures of the playground anew, from the running stack: just pictures --url http://127.0.0.1:8000/
pictures *ARGS: _tools
    @exec uv run --no-sync python -m tests.stack.playground.pictures "$@"

# Formats the code, and repairs what can be repaired.
fmt: _tools
    uv run --no-sync ruff format
    uv run --no-sync ruff check --fix

# Has git check what is staged before each commit.
hooks: _tools
    git config core.hooksPath .hooks

# Style, types, and the import rules of the house.
lint: _tools
    uv run --no-sync ruff check
    uv run --no-sync ruff format --check
    uv run --no-sync mypy
    uv run --no-sync lint-imports

# Several tests at a time; how many and which is for testing/distribution.py to say.
parallel := "-n auto --dist loadscope --no-loadscope-reorder --max-worker-restart 0"

# The tests, several at a time: just test tests/unit/launcher -k signal
test *ARGS: _tools
    @exec uv run --no-sync python -m pytest {{parallel}} "$@"

# Those that start no process and never sleep.
test-unit *ARGS:
    @exec "{{just_executable()}}" test tests/unit "$@"

# Those of one process on real sockets, with stand-ins for the others.
test-integration *ARGS:
    @exec "{{just_executable()}}" test tests/integration "$@"

# Those of several real processes.
test-stack *ARGS:
    @exec "{{just_executable()}}" test tests/stack "$@"

# All tests, and those that fail once more, alone; what passes then is named as flaky.
test-retry: _tools
    @exec uv run --no-sync python -m testing.retry {{parallel}}

# These tests 20 times beside a busy core, or until one fails: just test-repeat tests/unit/launcher -k signal
test-repeat *TESTS: _tools
    @exec uv run --no-sync python -m testing.repeat "$@"

# What happens when something dies, all of it: with the tests that `just test` leaves out because they take minutes.
test-failures *ARGS: _tools
    @exec uv run --no-sync python -m pytest -m "long or not long" tests/stack/failures "$@"

# lm-eval's clients of OpenAI's API against the full stack; the first time, this installs half a gigabyte.
test-lm-eval *ARGS: _tools
    @exec uv run --no-sync python -m pytest -m lm_eval tests/stack/clients "$@"

# Measures speed, and what it costs in accuracy: just bench --shape demo --concurrent 1,4 --skip-oracle
bench *ARGS: (_install "--extra" "worker" "--group" "bench")
    @exec uv run --no-sync python -m benchmarks "$@"

# Watches a worker's memory over ten thousand requests, a third of them cancelled.
bench-memory *ARGS: (_install "--extra" "worker" "--group" "bench")
    @exec uv run --no-sync python -m benchmarks.memory "$@"

# Puts load on any server of OpenAI's API: just bench-serve --url http://127.0.0.1:3001/v1 --request-rate 8 --duration 60
bench-serve *ARGS: (_install "--group" "bench")
    @exec uv run --no-sync python -m benchmarks.serve "$@"

# Measures what the router adds, and how many requests it can take.
bench-router *ARGS: (_install "--group" "bench")
    @exec uv run --no-sync python -m benchmarks.overhead "$@"

# What a stack does under twice the load that it can serve.
bench-overload *ARGS: (_install "--extra" "worker" "--group" "bench")
    @exec uv run --no-sync python -m benchmarks.overload "$@"

# Disturbs a stack at random while it is asked, and counts what becomes of its requests: just soak --faults 20 --minutes 1
soak *ARGS: _runtime
    @exec uv run --no-sync python -m testing.faults "$@"

# Scores the demo model, task by task.
eval-demo *ARGS: _runtime
    @exec uv run --no-sync python -m training.evaluate "$@"

# Trains the demo model anew.
train-demo *ARGS: _runtime
    @exec uv run --no-sync python -m training.train "$@"

# What serving needs; what else is installed stays.
_runtime: (_install "--extra" "worker")

# What developing needs on top.
_tools: (_install "--extra" "worker" "--group" "dev")

_install *WHAT:
    @uv sync --quiet --check --inexact "$@" 2> /dev/null || "{{just_executable()}}" _install_now "$@"

_install_now *WHAT:
    @echo "Installing what is missing; the first time, this downloads PyTorch …" >&2
    @uv sync --inexact "$@"
