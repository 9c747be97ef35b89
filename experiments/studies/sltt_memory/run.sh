#!/usr/bin/env bash
# Memory and time of a training step over T, SLTT against BPTT: writes memory.csv. About three minutes on one CPU core.
source "$(dirname "$0")/../../env.sh"
install_project
python benchmarks/sltt_memory.py
