# Sourced by the two commands of the README: leaves an environment active in which `python` is the project's.
# An active virtual or conda environment is used as it is (conda's `base` is not, nothing is installed there).
if [ -z "${VIRTUAL_ENV:-}" ] && { [ -z "${CONDA_PREFIX:-}" ] || [ "${CONDA_DEFAULT_ENV:-base}" = base ]; }; then
    if [ ! -x .venv/bin/python ]; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
            echo "error: Python 3.10 or newer is needed, 'python3' is $(python3 --version 2>&1)" >&2
            exit 1
        }
        echo "Making a virtual environment in .venv"
        python3 -m venv .venv
        .venv/bin/python -m pip install --quiet --upgrade pip
    fi
    # shellcheck disable=SC1091
    source .venv/bin/activate
fi
